"""Which files `render` is given, and where each goes."""

from __future__ import annotations

import glob
import logging
import os
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


def is_numbered(path: Path) -> bool:
    """Return whether an input names numbered pictures, not a film that is called so."""
    return "%" in path.name and not os.path.lexists(path)


def is_folder(output: str, inputs: Sequence[str], to: str | None) -> bool:
    """Return whether an output is a folder, in which each input gets a file."""
    named = output.endswith((os.sep, os.altsep or os.sep)) or (to is not None and not Path(output).suffix)
    return named or len(inputs) > 1 or Path(output).is_dir()


def targets(inputs: Sequence[str], output: str, to: str | None) -> list[tuple[str, Path]]:
    """Return each input with its output. Raises ArgumentError; a folder that is not there yet is made.

    to: the outputs' ending, where the output is a folder; None keeps the input's, where that is a video's.
    """
    from vs_slomo.video.encoders import CONTAINERS

    if not is_folder(output, inputs, to):
        if to is not None:
            raise ArgumentError("to", to, "only where the output is a folder (-o FOLDER)")
        if not Path(output).suffix:
            allowed = (
                "a file with an ending that says its container, or a folder: one that is there, or with / at its end"
            )
            raise ArgumentError("output", output, allowed)
        return [(inputs[0], Path(output))]
    endings = [name.removeprefix(".") for name, container in CONTAINERS.items() if not container.pattern]
    if to is not None and to.removeprefix(".").lower() not in endings:
        raise ArgumentError("to", to, f"one of {', '.join(endings)}")
    folder = Path(output)
    single = folder.suffix.lower() in CONTAINERS and not output.endswith((os.sep, os.altsep or os.sep))
    if len(inputs) > 1 and single and not folder.is_dir():
        allowed = f"a folder, where there are several inputs: {output}/; numbered pictures have one name, as f%04d.png"
        raise ArgumentError("output", output, allowed)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("output", output, "a folder, where there are several inputs")
    found: dict[str, tuple[str, Path]] = {}
    for given in inputs:
        path = Path(given)
        usual = path.suffix.lower() in CONTAINERS and not CONTAINERS[path.suffix.lower()].pattern
        ending = f".{to.removeprefix('.')}" if to else path.suffix if usual else ".mkv"
        name = f"{path.absolute().parent.name if is_numbered(path) else path.stem}{ending}"
        if _is_same(path, folder / name):
            raise ArgumentError("output", output, f"another folder than that of {given}, or another ending (--to)")
        if name.casefold() in found:
            other = found[name.casefold()][0]
            raise ArgumentError("input", given, f"inputs of different names: {other} becomes {folder / name}, too")
        found[name.casefold()] = given, folder / name
    make_folder(folder)
    return [*found.values()]


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except (OSError, ValueError):  # one is not there, or no file system has such a name
        return False


def each(pairs: Sequence[tuple[str, Path]], make: Callable[[str, Path], object], *, overwrite: bool) -> None:
    """Make every output; one that fails does not stop the others. Raises RenderError at the end if any failed.

    Of several, those that are there already are left alone: the same command goes on with the others. With overwrite
    they are made anew.
    """
    if len(pairs) == 1:
        make(*pairs[0])
        return
    failed: list[str] = []
    there = 0
    for place, (given, output) in enumerate(pairs, 1):
        if not overwrite and output.is_file():
            log.warning("file %d of %d: %s is there already (--overwrite replaces it)", place, len(pairs), output)
            there += 1
            continue
        log.info("file %d of %d: %s", place, len(pairs), given)
        try:
            make(given, output)
        except SlomoError as error:
            from .app import in_options

            failed.append(given)
            said = str(in_options(error, ["render"])).removeprefix(f"{given}: ")
            print(f"vs-slomo: {given}: {said}", file=sys.stderr)
        except BrokenPipeError:  # whoever reads the progress has gone
            raise
        except Exception:  # noqa: BLE001  # whatever it is, the others do not depend on it
            failed.append(given)
            print(f"vs-slomo: {given}: {traceback.format_exc()}", file=sys.stderr)
    made = f"{len(pairs) - len(failed) - there} of {len(pairs)} files are made"
    made += f"; already there: {there}" if there else ""
    if failed:
        raise RenderError(f"{made}; failed: {', '.join(failed)}")
    log.info("%s", made)
