"""One function makes every output file of the project: whole, or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ArgumentError

NOT_YET = "a file that is not there yet, or overwrite"


def check_output(path: Path, *, overwrite: bool, name: str = "output") -> None:
    """Raise ArgumentError where `new_file` would not put a file: see there. Writes nothing."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        folder = path.parent
        if not folder.is_dir():
            raise ArgumentError(name, str(path), f"a file in a folder that exists, {folder} does not") from None
        return
    except (OSError, ValueError) as error:
        raise ArgumentError(name, str(path), f"a name that the file system takes ({error})") from None
    if not stat.S_ISREG(found.st_mode):
        raise ArgumentError(name, str(path), "a regular file; what is there is something else, and is left alone")
    if not overwrite:
        raise ArgumentError(name, str(path), NOT_YET)


@contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool, name: str = "output") -> Iterator[Path]:
    """Give an empty temporary file beside `path` to write, and move it there once it is whole.

    The temporary file has a random name of its own in the same folder and the ending of `path`. When the block ends
    well, it is flushed to the disk and renamed; when the block fails, it is removed. Nothing else is ever removed.
    Permissions are those of the file that is replaced, else what the process gives to new files (umask).

    path: a new name, or with `overwrite` a regular file. A link, a folder, a pipe or a device is never followed or
    replaced. name: the argument that errors name. Raises ArgumentError, or OSError from the file system.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite, name=name)
    part = _create_beside(path)
    try:
        with suppress(OSError):
            part.chmod(stat.S_IMODE(os.lstat(path).st_mode))
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        check_output(path, overwrite=overwrite, name=name)  # it may have come while the block ran
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = True, name: str = "output") -> None:
    """Write a UTF-8 text file by `new_file`."""
    with new_file(path, overwrite=overwrite, name=name) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True, name: str = "output") -> None:
    """Write a binary file by `new_file`."""
    with new_file(path, overwrite=overwrite, name=name) as part:
        part.write_bytes(data)


def _create_beside(path: Path) -> Path:
    """Create an empty file of a short random name in the folder of `path`, with its ending."""
    while True:
        part = path.with_name(f".{secrets.token_hex(6)}{path.suffix[:16]}")
        try:
            # 0o666 and the umask: what a plain open gives. Exclusive, so that nothing there is opened or followed.
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return part
