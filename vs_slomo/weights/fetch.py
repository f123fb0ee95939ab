"""Download a model into the user's folder, where `find` knows it by name."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.outputs import new_file
from vs_slomo.paths import models_dir

from .files import convert, kind_of, load, read_info
from .info import ModelInfo
from .stored import ModelFile, plain

if TYPE_CHECKING:
    from .download import Progress

LONGEST_NAME = 100


def fetch(
    url: str,
    *,
    name: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> ModelInfo:
    """Download a model into the per-user directory, where `find` knows it by name.

    Only what loads is kept; a public checkpoint is converted.

    name: by default the file's in the address. sha256: of the file, 64 hexadecimal digits.
    Raises ArgumentError, or WeightsError where the download fails or the file is not a model.
    """
    from .download import checked_url, download, forget, own_part

    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ArgumentError("sha256", sha256, "64 hexadecimal digits")
    checked_url(url)
    if name is None:
        name = PurePosixPath(unquote(urlsplit(url).path)).stem
    if not re.fullmatch(r"\w[\w.+-]*", name) or name == "bundled" or len(name) > LONGEST_NAME:
        raise ArgumentError("name", plain(name), "letters, digits and _ . + -, and not 'bundled'")
    target = models_dir() / f"{name}.safetensors"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with own_part(target.with_name(f".{name}.part")) as part:
            download(url, part, progress)
            try:
                if sha256 is not None:
                    _check_hash(part, sha256.lower())
                _install(part, target, name)
            except WeightsError as error:
                raise WeightsError(str(error).replace(str(part), plain(url))) from error
            finally:
                forget(part)
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written: {error.strerror}") from error
    return read_info(target)


def _install(part: Path, target: Path, name: str) -> None:
    """Put a download in its place: our own format as it is, a public checkpoint converted. Raises WeightsError."""
    with ModelFile(part) as file:
        kind = kind_of(file)
    if kind != "safetensors":
        convert(part, target, name=name)
        return
    load(part)
    with new_file(target, overwrite=True, name="target") as copy:
        shutil.copyfile(part, copy)


def _check_hash(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise WeightsError(f"{path}: has SHA-256 {found}, not {expected}: not the file you expect")
