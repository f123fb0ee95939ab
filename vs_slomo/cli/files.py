"""Which files `render` is given, and where each goes."""

from __future__ import annotations

import glob
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from vs_slomo.errors import ArgumentError, RenderError, SlomoError
from vs_slomo.outputs import make_folder

log = logging.getLogger("vs_slomo")


def expanded(inputs: Sequence[str]) -> list[str]:
    """Return the inputs, with the files that match in place of a pattern such as "*.mkv". Raises ArgumentError."""
    found: list[str] = []
    for given in inputs:
        if os.path.lexists(given) or not glob.has_magic(given):
            found.append(given)
            continue
        matching = sorted(path for path in glob.glob(given, recursive=True) if Path(path).is_file())  # noqa: PTH207
        if not matching:
            raise ArgumentError("input", given, "a file, or a pattern that matches some")
        found += matching
    return list(dict.fromkeys(found))


def is_folder(output: str, inputs: Sequence[str]) -> bool:
    """Return whether an output is a folder, in which each input gets a file."""
    return len(inputs) > 1 or Path(output).is_dir() or output.endswith((os.sep, os.altsep or os.sep))


def targets(inputs: Sequence[str], output: str, to: str | None) -> list[tuple[str, Path]]:
    """Return each input with its output. Raises ArgumentError; a folder that is not there yet is made.

    to: the outputs' ending, where the output is a folder; None keeps the input's, where that is a video's.
    """
    from vs_slomo.video.encoders import CONTAINERS

    if not is_folder(output, inputs):
        if to is not None:
            raise ArgumentError("to", to, "only where the output is a folder (-o FOLDER)")
        return [(inputs[0], Path(output))]
    if to is not None and not re.fullmatch(r"\.?[A-Za-z0-9]{1,16}", to):
        raise ArgumentError("to", to, "an ending such as mkv or mp4")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("output", output, "a folder, where there are several inputs")
    found: dict[str, tuple[str, Path]] = {}
    for given in inputs:
        path = Path(given)
        numbered = "%" in path.name
        usual = path.suffix.lower() in CONTAINERS and not CONTAINERS[path.suffix.lower()].pattern
        ending = f".{to.removeprefix('.')}" if to else path.suffix if usual else ".mkv"
        name = f"{path.absolute().parent.name if numbered else path.stem}{ending}"
        if name.casefold() in found:
            other = found[name.casefold()][0]
            raise ArgumentError("input", given, f"inputs of different names: {other} becomes {folder / name}, too")
        found[name.casefold()] = given, folder / name
    make_folder(folder)
    return [*found.values()]


def each(pairs: Sequence[tuple[str, Path]], make: Callable[[str, Path], object]) -> None:
    """Make every output; one that fails does not stop the others. Raises RenderError at the end if any failed."""
    if len(pairs) == 1:
        make(*pairs[0])
        return
    failed: list[str] = []
    for place, (given, output) in enumerate(pairs, 1):
        log.info("file %d of %d: %s", place, len(pairs), given)
        try:
            make(given, output)
        except SlomoError as error:
            from .app import in_options

            failed.append(given)
            print(f"vs-slomo: {given}: {in_options(error, ['render'])}", file=sys.stderr)
        except Exception:  # noqa: BLE001  # whatever it is, the others do not depend on it
            failed.append(given)
            print(f"vs-slomo: {given}: {traceback.format_exc()}", file=sys.stderr)
    made = len(pairs) - len(failed)
    if failed:
        raise RenderError(f"{made} of {len(pairs)} files are made; failed: {', '.join(failed)}")
    log.info("all %d files are made", made)
