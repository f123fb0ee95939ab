"""One function makes every output file of the project: whole, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import ArgumentError
from .given import file_name
from .stops import stops

NOT_YET = "a file that is not there yet, or overwrite=True"


def check_output(path: Path, *, overwrite: bool, name: str = "output") -> None:
    """Raise ArgumentError where `new_file` would not put a file: see there. Writes nothing."""
    file_name(name, path)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        folder = path.parent
        if not folder.is_dir():
            raise ArgumentError(name, str(path), f"a file in a folder that exists, {folder} does not") from None
        return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ArgumentError(name, str(path), f"a name that the file system takes ({why})") from None
    if not stat.S_ISREG(found.st_mode):
        raise ArgumentError(name, str(path), "a regular file; what is there is something else, and is left alone")
    if not overwrite:
        raise ArgumentError(name, str(path), NOT_YET)


def make_folder(path: str | os.PathLike[str], *, name: str = "output") -> Path:
    """Make a folder where there is none, and return its path. Raises ArgumentError."""
    path = file_name(name, path, "the name of a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(name, str(path), f"a folder that can be made ({error.strerror})") from None
    return path


@contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool, name: str = "output") -> Iterator[Path]:
    """Give an empty temporary file beside `path` to write, and move it there once it is whole.

    The temporary file has a random name of its own in the same folder and the ending of `path`. When the block ends
    well, it is flushed to the disk and renamed; when the block fails, it is removed. Nothing else is ever removed.
    A signal that comes meanwhile is obeyed when the block is left (`stops`).
    Permissions are those of the file that is replaced, else what the process gives to new files (umask).

    path: a new name, or with `overwrite` a regular file. A link, a folder, a pipe or a device is never followed or
    replaced. name: the argument that errors name. Raises ArgumentError, or OSError from the file system.
    """
    path = file_name(name, path)
    check_output(path, overwrite=overwrite, name=name)
    with stops():
        part = _create_beside(path, name)
        try:
            with suppress(OSError):
                part.chmod(stat.S_IMODE(os.lstat(path).st_mode))
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            check_output(path, overwrite=overwrite, name=name)  # it may have come while the block ran
            _move(part, path, overwrite=overwrite, name=name)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def new_sequence(pattern: str | os.PathLike[str], *, overwrite: bool, name: str = "output") -> Iterator[Path]:
    """Give a name such as "%05d.png" in an empty temporary folder to write files by, and move them beside `pattern`.

    When the block ends well, all files of the folder get their places; nothing is replaced unless `overwrite`, and
    then regular files only. When it fails, or a place is taken, none of them does.
    """
    pattern = file_name(name, pattern)
    if not os.path.isdir(pattern.parent):  # noqa: PTH112  # of any name
        raise ArgumentError(name, str(pattern), f"a file in a folder that exists, {pattern.parent} does not")
    with stops():
        try:
            folder = Path(tempfile.mkdtemp(prefix=".", dir=pattern.parent))
        except OSError as error:
            raise _not_writable(pattern, name, error) from None
        moved: list[Path] = []
        try:
            yield folder / pattern.name
            made = sorted(folder.iterdir())
            mask = os.umask(0)
            os.umask(mask)
            for part in made:
                check_output(pattern.with_name(part.name), overwrite=overwrite, name=name)
                part.chmod(0o666 & ~mask)
            for part in made:
                there = pattern.with_name(part.name)
                new = not os.path.lexists(there)
                _move(part, there, overwrite=overwrite, name=name)
                if new:
                    moved.append(there)
        except BaseException:
            for there in moved:
                there.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = True, name: str = "output") -> None:
    """Write a UTF-8 text file by `new_file`."""
    with new_file(path, overwrite=overwrite, name=name) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True, name: str = "output") -> None:
    """Write a binary file by `new_file`."""
    with new_file(path, overwrite=overwrite, name=name) as part:
        part.write_bytes(data)


def _create_beside(path: Path, name: str) -> Path:
    """Create an empty file of a short random name in the folder of `path`, with its ending."""
    while True:
        part = path.with_name(f".{secrets.token_hex(6)}{path.suffix[:16]}")
        try:
            # 0o666 and the umask: what a plain open gives. Exclusive, so that nothing there is opened or followed.
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            raise _not_writable(path, name, error) from None
        return part


def _move(part: Path, path: Path, *, overwrite: bool, name: str) -> None:
    """Give a finished file its name; without `overwrite` only if no one else has taken it meanwhile."""
    if overwrite:
        part.replace(path)
        return
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise ArgumentError(name, str(path), NOT_YET) from None
    except OSError:  # a file system without links
        part.replace(path)


def _not_writable(path: Path, name: str, error: OSError) -> ArgumentError:
    return ArgumentError(name, str(path), f"a file in a folder that can be written to ({error.strerror})")
