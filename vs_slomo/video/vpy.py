"""A VapourSynth script as an input: its output 0 is encoded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.errors import ArgumentError, FormatError, SourceError
from vs_slomo.timing.positions import parse_multi
from vs_slomo.timing.timecodes import Timecodes

from .probe import Container, probe
from .script import Graph, check_without_clip, chosen, parse_span, requests

MOVES = ("multi", "fps_num", "curve")
"""Options that ask for new frames; without one of them a script's clip is encoded as it is."""


def is_script(path: object) -> bool:
    """Return whether an input is a script."""
    return isinstance(path, str | os.PathLike) and os.fspath(path).lower().endswith(".vpy")


def script_graph(
    path: str | os.PathLike[str],
    *,
    tracks_from: str | os.PathLike[str] | None = None,
    span: str = ":",
    text: str | None = None,
    file: Container | None = None,
    **interpolation: Any,
) -> Graph:
    """Return what `render` encodes of a script.

    tracks_from: the file that sound and the rest come from. text: the script, where the path is another machine's.
    file: that of `tracks_from`, where it is known. Raises what `graph` raises, and SourceError where the script fails.
    """
    for name in ("source", "progressive", "deinterlace", "allow_playlist"):
        if value := interpolation.pop(name, None):
            raise ArgumentError(name, value, "not with a script, which opens its files itself")
    interpolation.pop("codec", None)
    function, given = chosen(interpolation)
    if given and not any(name in given for name in MOVES):
        name = next(iter(given))
        raise ArgumentError(
            name,
            given[name],
            "with a script only where new frames are asked for: with multi, with fps_num/fps_den or with curve",
        )
    script = Path(path)
    if text is None:
        text = _read(script)
    if given:
        check_without_clip(function, given)
    if tracks_from is not None and file is None:
        file = probe(tracks_from)
    clip = output_of(script, text)
    fps = clip.fps
    codes = Timecodes.constant(clip.num_frames, fps)
    first, last = parse_span(span, codes)
    whole = (first, last) == (0, clip.num_frames)
    before = clip = clip if whole else clip[first:last]
    if given:
        clip = function(clip, **given)
    stretch = parse_multi(given.get("multi", 2)) if given.get("slow_motion") else Fraction(1)
    return Graph(
        clip=clip,
        before=before,
        script=f"{text}\n# {span} {_told(given)}\n",
        file=file,
        start=(file.first if file else Fraction(0)) + first / fps,
        duration=None if whole else codes[first:last].duration,
        stretch=stretch,
        ahead=requests(before, clip, given) if given else 0,
    )


def _told(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in sorted(given.items()))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def output_of(path: Path, text: str) -> vs.VideoNode:
    """Run a script as vspipe does, in its folder, and return its output 0. Raises SourceError and FormatError."""
    vs.clear_outputs()
    folder = path.absolute().parent
    there = contextlib.chdir(folder) if folder.is_dir() else contextlib.nullcontext()
    names = {"__file__": str(path.absolute()), "__name__": "__vapoursynth__"}
    sys.path.insert(0, str(folder))
    try:
        with there, contextlib.redirect_stdout(sys.stderr):
            exec(compile(text, str(path), "exec"), names)  # noqa: S102  # it is what the user wants to run
        out = vs.get_outputs().get(0)
    except SyntaxError as error:
        raise SourceError(f"{path}: line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = [n for code, n in _lines(error) if code == str(path)]
        where = f"line {lines[-1]}: " if lines else ""
        raise SourceError(f"{path}: {where}{str(error) or type(error).__name__}") from error
    finally:
        sys.path.remove(str(folder))
        vs.clear_outputs()
    if not isinstance(out, vs.VideoOutputTuple):
        raise SourceError(f"{path}: sets no clip as its output 0: clip.set_output()")
    clip = out.clip if out.alpha is None else out.clip.std.ClipToProp(out.alpha, "_Alpha")
    if clip.format.id == vs.PresetVideoFormat.NONE or not clip.width:
        raise FormatError(f"{path}: its output 0 changes format or size; choose one with resize")
    if not clip.fps:
        raise FormatError(f"{path}: its output 0 has no constant rate; give it one: clip.std.AssumeFPS(fpsnum=25)")
    return clip


def _lines(error: BaseException) -> list[tuple[str, int]]:
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return found
