"""Files that a worker needs: read where it sees the same file, else sent there once per machine."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from vs_slomo import outputs
from vs_slomo.errors import RenderError

ENDS = 1 << 20
"""Bytes of a file's beginning and of its end that are compared."""
PIECE = 16 << 20
"""Bytes that are sent at once."""
LARGEST = 4 << 30
"""Bytes of a file that may be sent."""


@dataclass(frozen=True)
class Shipped:
    """A file of the driver's. sample: a hash of its ends. pieces: references to its content, or none."""

    path: str
    size: int
    sample: str
    pieces: Sequence[Any] = field(default_factory=tuple)

    @staticmethod
    def of(path: Path) -> Shipped:
        """Return a file without its content."""
        return Shipped(str(path.absolute()), path.stat().st_size, sample(path))

    def is_here(self) -> bool:
        """Return whether this machine has the same file under the same name."""
        try:
            return self._is(Path(self.path))
        except OSError:
            return False

    def _is(self, path: Path) -> bool:
        return path.is_file() and path.stat().st_size == self.size and sample(path) == self.sample

    def with_content(self, put: Callable[[bytes], Any]) -> Shipped:
        """Return it with its content; put keeps bytes where workers get them. Raises RenderError for a large file."""
        if self.size > LARGEST:
            raise RenderError(
                f"{self.path}: a worker does not see this file, and it is too large to be sent: "
                f"{self.size / 1e9:.3g} GB, and at most {LARGEST / 1e9:.3g} GB are; put it where all machines see it "
                "under the same name"
            )
        with Path(self.path).open("rb") as file:
            pieces = [put(data) for data in iter(lambda: file.read(PIECE), b"")]
        return Shipped(self.path, self.size, self.sample, tuple(pieces))

    def local(self, get: Callable[[Any], bytes]) -> Path:
        """Return the file on this machine; it is fetched where it is not here yet. get: what belongs to `put`."""
        if self.is_here():
            return Path(self.path)
        folder = _folder() / hashlib.sha256(f"{self.path}{self.size}{self.sample}".encode()).hexdigest()[:24]
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / Path(self.path).name
        with FileLock(folder / "lock"):
            if not self._is(path):
                if self.size and not self.pieces:
                    raise RenderError(f"{self.path}: a worker does not see this file, and it was not sent")
                with outputs.new_file(path, overwrite=True) as part, part.open("wb") as file:
                    for piece in self.pieces:
                        file.write(get(piece))
        return path


def sample(path: Path) -> str:
    """Return a hash of a file's first and last MiB."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        found.update(file.read(ENDS))
        file.seek(max(0, path.stat().st_size - ENDS))
        found.update(file.read(ENDS))
    return found.hexdigest()


def _folder() -> Path:
    """Return this user's folder on this machine for files that were sent."""
    folder = Path(tempfile.gettempdir()) / f"vs_slomo-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and (folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077):
        raise RenderError(f"{folder}: is another user's, or open to others")
    return folder
