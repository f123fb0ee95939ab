"""What all layouts of model files share: a file that is read in pieces, and tensors that are still in the file.

A size that a file claims is checked against the file's own size before memory is allocated for it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vs_slomo.errors import WeightsError

HEADER = 16 << 20
"""The most bytes that are read of headers and pickles."""
DATA = 1 << 30
"""The most bytes of tensor data that are read from one file."""


class ModelFile:
    """A regular file, opened once and read piece by piece.

    It is never mapped into memory: if another process cut a mapped file short, this process would be killed.
    Raises WeightsError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise WeightsError(f"{path}: is not a regular file: give a model as a file of its own")
            # Non-blocking, for a pipe may have taken the file's place since.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            handle = os.open(path, flags)
            try:
                found = os.fstat(handle)
                if not stat.S_ISREG(found.st_mode):
                    raise WeightsError(f"{path}: is not a regular file: give a model as a file of its own")
            except BaseException:
                os.close(handle)
                raise
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        self.file = os.fdopen(handle, "rb")
        self.size = found.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, at: int, count: int) -> bytearray:
        """Return `count` bytes from position `at`."""
        if not 0 <= at <= at + count <= self.size:
            raise self.damaged(f"it claims {at + count} bytes and has {self.size}")
        found = bytearray(count)
        try:
            self.file.seek(at)
            filled = self.file.readinto(found)
        except OSError as error:
            raise WeightsError(f"{self.path}: cannot be read: {error.strerror}") from error
        if filled != count:
            raise self.damaged("it became shorter while it was read")
        return found

    def damaged(self, reason: object) -> WeightsError:
        """Return the error for a file that breaks the rules of its own layout."""
        return WeightsError(f"{self.path}: is truncated or damaged ({plain(str(reason))}): download it again")


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers of one type that lie together in a file. dtype: torch's name for it. size: of one number, in bytes."""

    dtype: str
    size: int
    nbytes: int
    read: Callable[[], bytearray] = field(repr=False)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that is still in its file: a view of a storage, as `torch.as_strided` takes it."""

    storage: Storage
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0

    def fits(self) -> bool:
        """Whether every element lies in the storage."""
        if len(self.shape) != len(self.stride) or min((*self.shape, *self.stride, self.offset), default=0) < 0:
            return False
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        return 0 in self.shape or (last + 1) * self.storage.size <= self.storage.nbytes


@dataclass(frozen=True)
class Contents:
    """What a file holds. facts: returns arguments for `ModelInfo`. tensors: by our names, not checked yet."""

    facts: Callable[[], dict[str, Any]]
    tensors: Mapping[str, object]


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def plain(text: str, most: int = 200) -> str:
    """Return one line of at most `most` characters that cannot control a terminal."""
    text = text if len(text) <= most else f"{text[:most]}…"
    return text if text.isprintable() else ascii(text)


def describe(content: object) -> str:
    """Name what a file holds in a few words."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    names = [plain(str(name), 60) for _, name in zip(range(4), content, strict=False)]
    more = f" and {len(content) - 4} more" if len(content) > 4 else ""
    return ", ".join(names) + more or "nothing"
