"""From a file to a clip: the graph that `render` encodes, and the script that makes the same."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.errors import ArgumentError, FormatError, SourceError
from vs_slomo.filters.options import check_options, check_switch
from vs_slomo.filters.record import MOVING
from vs_slomo.filters.retime import retime
from vs_slomo.filters.slomo import slomo
from vs_slomo.timing.curves import sampler
from vs_slomo.timing.positions import parse_multi
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.weights.files import installed

from .encoders import encoder_name
from .pixels import choose, even, growing, grown
from .preview import beside, middle
from .probe import Container, probe
from .source import check_filter, open_file

log = logging.getLogger("vs_slomo")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A clip made from a file, and the script that makes the same.

    before: the source, as it goes into the interpolation. file: None where the clip is a script's, and no file goes
    along. start, duration, stretch: see `tracks.Tracks`. ahead: for how many frames the host is to be asked at once.
    """

    clip: vs.VideoNode
    before: vs.VideoNode
    script: str
    file: Container | None
    start: Fraction
    duration: Fraction | None
    stretch: Fraction
    ahead: int = 0


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is found once for all processes that make the same graph. borders: in place of "auto"."""

    file: Container
    borders: tuple[int, int, int, int] | None = None


def graph(
    input: str | os.PathLike[str],  # noqa: A002  # what the command calls it
    *,
    source: str | None = None,
    span: str = ":",
    codec: str = "x264",
    progressive: bool = False,
    deinterlace: bool = False,
    preview: bool = False,
    allow_playlist: bool = False,
    known: Known | None = None,
    **interpolation: Any,
) -> Graph:
    """Return the clip that `render` encodes, and the script that makes it; no new frame is made.

    progressive: take frames that are flagged interlaced as they are. deinterlace: make whole frames of interlaced
    ones, by bwdif. allow_playlist: see `source`. preview: the clip is `preview.beside`; the script makes the whole
    result. known: what another process has found of the same call. Raises what `render` raises.
    """
    if preview and interpolation.get("curve") is not None:
        raise ArgumentError("preview", preview, "not together with a curve")
    function, given = chosen(interpolation)
    for name, value in (
        ("progressive", progressive),
        ("deinterlace", deinterlace),
        ("allow_playlist", allow_playlist),
    ):
        check_switch(name, value)
    if progressive and deinterlace:
        raise ArgumentError("deinterlace", deinterlace, "not together with progressive")
    check_filter(source)
    split_span(span)
    check_without_clip(function, given)
    probed = probe(input, allow_playlist=allow_playlist) if known is None else known.file
    file, clip, lines = _opened(
        probed, source, progressive=progressive, deinterlace=deinterlace, quiet=known is not None
    )
    name = lines[0].partition("source(")[2].removesuffix(")")
    codes = Timecodes.constant(clip.num_frames, clip.fps)
    if file.variable:
        codes = file.timecodes
        lines.append(f"codes = source_timecodes({name})")
    first, last = middle(codes) if preview and span == ":" else parse_span(span, codes)
    whole = (first, last) == (0, clip.num_frames)
    if not whole:
        clip, codes = clip[first:last], codes[first:last]
        lines += [f"{part} = {part}[{first}:{last}]" for part in ("clip", "codes")[: 1 + file.variable]]
    stretch = parse_multi(given.get("multi", 2)) if given.get("slow_motion") else Fraction(1)
    rate = file.prevailing or clip.fps
    if file.variable:
        given = _at_true_times(file, given, codes, rate, slow=stretch != 1)
    before = clip
    given |= {} if known is None or known.borders is None else {"borders": known.borders}
    made = function(clip, **given)
    clip = beside(before, made, given) if preview else made
    lines.append(f"clip = {function.__name__}({', '.join(['clip', *(f'{n}={literal(x)}' for n, x in given.items())])})")
    if file.variable and stretch != 1:
        clip = clip.std.AssumeFPS(fpsnum=rate.numerator, fpsden=rate.denominator)
        lines.append(f"clip = clip.std.AssumeFPS(fpsnum={rate.numerator}, fpsden={rate.denominator})")
    pixels, conversion = choose(clip, codec)
    opaque = "_Alpha" not in clip.get_frame(0).props
    if conversion and opaque and any(more := even(clip, pixels, codec)):
        said = "%s: %dx%d grows by %s, repeated: %s does not take that size"
        log.warning(said, file.path.name, clip.width, clip.height, growing(*more), encoder_name(codec))
        clip = grown(clip, *more)
        lines += grown_lines(clip.format, *more)
    if conversion and opaque:
        clip = clip.resize.Bicubic(**conversion)
        arguments = ", ".join(f"{name}={literal(x)}" for name, x in conversion.items())
        lines.append(f"clip = clip.resize.Bicubic({arguments})")
    used = sorted({function.__name__, "source", *(["source_timecodes"] if file.variable else [])})
    head = ["import vapoursynth as vs", "", f"from vs_slomo import {', '.join(used)}", ""]
    return Graph(
        clip=clip,
        before=before,
        script="\n".join([*head, *lines, "clip.set_output()", ""]),
        file=file,
        start=int(file.times[min(first, len(file.times) - 1)]) * file.time_base,
        duration=None if whole else codes.duration,
        stretch=stretch,
        ahead=requests(before, made, given),
    )


def requests(before: vs.VideoNode, after: vs.VideoNode, given: Mapping[str, Any]) -> int:
    """Return how many frames of an interpolated clip to request at once."""
    options = check_options(
        (before.width, before.height), **{name: value for name, value in given.items() if name in MOVING}
    )
    return options.spread.requests(after.num_frames / before.num_frames)


def _opened(
    file: Container, source: str | None, *, progressive: bool, deinterlace: bool, quiet: bool
) -> tuple[Container, vs.VideoNode, list[str]]:
    """Return the file, its clip of progressive frames, and the lines of the script that open it."""
    opened = open_file(file if quiet else refused(file), source)
    chosen = "" if source is None else f", source={source!r}"
    chosen += ", allow_playlist=True" if file.allow_playlist else ""
    clip, more = _whole_frames(opened.clip, opened.file, progressive=progressive, deinterlace=deinterlace)
    return opened.file, clip, [f"clip = source({str(opened.file.path)!r}{chosen})", *more]


def _at_true_times(
    file: Container, given: Mapping[str, Any], codes: Timecodes, rate: Fraction, *, slow: bool
) -> dict[str, Any]:
    """Return the arguments that show each frame of a variable file at its own time, and log the output's rate."""
    given = dict(given) | {"timecodes": codes}
    if "curve" in given or "fps_num" in given:
        log.info("%s: variable frame rate; every frame is met at its own moment", file.path.name)
        return given
    target = rate * parse_multi(given.pop("multi", 2))
    given |= {"fps_num": target.numerator, "fps_den": target.denominator}
    given.pop("slow_motion", None)
    new = float(rate if slow else target)
    said = "%s: variable frame rate, mostly %.6g frames a second; it becomes constant, %.6g"
    log.info(said, file.path.name, float(rate), new)
    return given


def grown_lines(format_: vs.VideoFormat, columns: int, rows: int) -> list[str]:
    """Return the lines of a script that do what `pixels.grown` does."""
    lines = []
    for count, unit, stack, side, size in (
        (columns, 1 << format_.subsampling_w, "StackHorizontal", "left", "width"),
        (rows, 1 << format_.subsampling_h, "StackVertical", "top", "height"),
    ):
        last = ", ".join([f"clip.std.Crop({side}=clip.{size} - {unit})"] * (count // unit))
        lines += [f"clip = vs.core.std.{stack}([clip, {last}])"] if count else []
    return lines


def refused(file: Container) -> Container:
    """Return the file, unless its picture cannot be shown right; say what of it is not passed on."""
    looks, name = file.looks, file.path.name
    if looks.dolby_vision == 5:
        raise SourceError(
            f"{file.path}: its picture is Dolby Vision profile 5, which only Dolby's metadata shows in right colours; "
            "convert it first, for example with ffmpeg's libplacebo filter"
        )
    if looks.dolby_vision is not None:
        log.warning("%s: Dolby Vision metadata (profile %d) is not passed on", name, looks.dolby_vision)
    film = next((s for s in file.streams if s.index == file.video), None)
    if film and film.tags.get("alpha_mode") == "1" and not looks.alpha:  # a stream of its own in VP8 and VP9
        log.warning("%s: transparency is left out: no source filter decodes that of %s", name, film.codec)
    if looks.hdr10_plus:
        log.warning("%s: HDR10+ metadata is not passed on", name)
    if looks.captions:
        log.warning("%s: closed captions within the picture are not passed on", name)
    if looks.spherical:
        log.warning("%s: players will not know that this is a 360 degree video: that is not passed on", name)
    if looks.stereo:
        log.warning("%s: players will not know that this is a stereo 3D video: that is not passed on", name)
    return file


def _whole_frames(
    clip: vs.VideoNode, file: Container, *, progressive: bool, deinterlace: bool
) -> tuple[vs.VideoNode, list[str]]:
    """Return the clip of progressive frames, and the lines of the script that make it. Raises FormatError."""
    turned = file.orientation[0] == 0
    coded = file.looks.size[::-1] if turned else file.looks.size
    if file.looks.decoded and coded != (clip.width, clip.height) and all(0 <= a - b <= 1 for a, b in zip(
        coded, (clip.width, clip.height), strict=True)
    ):  # fmt: skip
        said = f"{coded[0]}x{coded[1]} becomes {clip.width}x{clip.height}"
        log.warning("%s: %s: the host has no odd sizes in this format", file.path.name, said)
    field = int(clip.get_frame(0).props.get("_FieldBased", 0))
    if progressive:
        return clip.std.SetFieldBased(0), ["clip = clip.std.SetFieldBased(0)"]
    if deinterlace:
        if not hasattr(vs.core, "bwdif"):
            raise ArgumentError("deinterlace", True, "False, or install the plugin: pip install vapoursynth-bwdif")
        if not field:
            log.warning("%s: its first frame is not flagged interlaced; deinterlaced all the same", file.path.name)
        order = int(field != 1)
        clip = clip.bwdif.Bwdif(field=order).std.SetFieldBased(0)
        return clip, [f"clip = clip.bwdif.Bwdif(field={order}).std.SetFieldBased(0)"]
    if field:
        raise FormatError(
            f"{file.path.name}: its frames are flagged interlaced; progressive=True (--progressive) takes them as they "
            "are, which is right for films and 25p; deinterlace=True (--deinterlace) makes whole frames of them"
        )
    return clip, []


def absolute(value: Any) -> Any:
    """Return the name of a file in full, as a script may run elsewhere; a model's own name, or no name, as it is."""
    is_file = isinstance(value, str | os.PathLike) and value not in installed() and os.path.isfile(value)  # noqa: PTH113
    return str(Path(value).absolute()) if is_file else value


WIDE = 1 << 31
"""Rates of numbers below this can be halved."""


def chosen(interpolation: Mapping[str, Any]) -> tuple[Callable[..., vs.VideoNode], dict[str, Any]]:
    """Return the filter that makes the new frames, and what it is given. Raises ArgumentError.

    interpolation: options of `slomo` or `retime`; None stands for the default.
    """
    given = {name: value for name, value in interpolation.items() if value is not None}
    given |= {name: absolute(given[name]) for name in ("model", "curve") if name in given}
    if "curve" not in given:
        return slomo, given
    if also := given.keys() & {"multi", "slow_motion"}:
        raise ArgumentError(min(also), given[min(also)], "not together with a curve")
    return retime, given


def check_without_clip(function: Callable[..., vs.VideoNode], given: Mapping[str, Any]) -> None:
    """Raise what the function says of its arguments whatever the clip: one of half the target rate stands in for it."""
    options = {name: value for name, value in given.items() if name not in {"timecodes", "borders", "sc_clip"}}
    if function is retime:
        sampler(options["curve"], Fraction(1), 1)
        options |= {"curve": [(0, 0)], "length": 1}
    number, part = given.get("fps_num"), given.get("fps_den", 1)
    rate = Fraction(1, 1000 if "fps_num" in given else 1)  # a target rate must not be below the clip's own
    if type(number) is int and type(part) is int and 0 < number < WIDE and 0 < part < WIDE:
        rate = Fraction(number, 2 * part)
    function(vs.core.std.BlankClip(length=1, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True), **options)


def literal(value: object) -> str:
    """Return an argument as it is written in a script."""
    if isinstance(value, Timecodes):
        return "codes"
    if isinstance(value, vs.PresetVideoFormat):
        return f"vs.{value.name}"
    return repr(str(value)) if isinstance(value, Fraction | os.PathLike) else repr(value)


def parse_span(text: str, codes: Timecodes) -> tuple[int, int]:
    """Return the first frame of "A:B" and the one behind the last, as in a slice of Python.

    A and B are frame numbers, or seconds as in "1.5s:4s"; what is left out is the start or the end.
    Raises ArgumentError.
    """

    def frame(end: str, latest: int) -> int:
        if not end.endswith("s"):
            return int(end)
        seconds = Fraction(end[:-1])
        if seconds >= codes.duration:
            return codes.frames + (seconds > codes.duration)
        return min(math.floor(codes.position(seconds) + Fraction(1, 2)), latest)

    begins, ends = split_span(text)
    first, last = frame(begins or "0", codes.frames - 1), frame(ends or str(codes.frames), codes.frames)
    if not first < last <= codes.frames:
        lasts = f"{math.floor(codes.duration * 1000) / 1000}s"
        raise ArgumentError("span", text, f'"A:B" with 0 <= A < B <= {codes.frames}, or in seconds up to {lasts}')
    return first, last


def split_span(text: str) -> tuple[str, str]:
    """Return A and B of "A:B", both in frames or both in seconds. Raises ArgumentError."""
    number, moment = r"\d{1,18}", r"(?:0|\d{0,18}\.?\d{1,18}s)"  # 0 is the start in both
    for part in number, moment:
        if isinstance(text, str) and (found := re.fullmatch(f"({part})?:({part})?", text.replace(" ", ""))):
            return found[1] or "", found[2] or ""
    raise ArgumentError("span", text, '"A:B", both frame numbers, as in "100:250", or both seconds, as in "1.5s:4s"')
