"""From a file to a file: the graph, and its frames into ffmpeg together with the rest of what the file holds.

Before the first frame is made, a rehearsal: the same ffmpeg command with one blank frame and a moment of sound. It
shows within a blink whether codec, options, tracks and container go together.
"""

from __future__ import annotations

import logging
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Literal, cast, get_args

import vapoursynth as vs

from vs_slomo.clips.formats import planar_formats
from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.filters.retime import retime
from vs_slomo.filters.slomo import slomo
from vs_slomo.timing.curves import sampler
from vs_slomo.timing.positions import parse_multi
from vs_slomo.timing.timecodes import Timecodes
from vs_slomo.weights import installed

from .probe import Container, Stream, ffmpeg, last_lines, probe, run
from .source import check_filter, open_container

log = logging.getLogger("vs_slomo")

Audio = Literal["copy", "stretch", "drop"]
Progress = Callable[[int, int], None]
"""Called with the frames written, and all of them."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A clip made from a file, and the script that makes the same.

    start, duration, stretch: see `Tracks`.
    """

    clip: vs.VideoNode
    script: str
    file: Container
    start: Fraction
    duration: Fraction | None
    stretch: Fraction


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """What goes with the picture from a file: sound, subtitles, chapters, attachments, tags.

    start, duration: the part of the file, in seconds; a duration of None is up to its end.
    stretch: how many times as long the picture takes. audio: what becomes of the sound.
    """

    file: Container
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    stretch: Fraction = Fraction(1)
    audio: Audio = "copy"


def render(
    input: str | os.PathLike[str],  # noqa: A002  # what the command calls it
    output: str | os.PathLike[str],
    *,
    source: str | None = None,
    span: str = ":",
    audio: Audio | None = None,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    options: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
    **interpolation: Any,
) -> Path:
    """Make a video file from a video file, with its sound, subtitles, chapters, attachments and tags.

    interpolation: arguments of `slomo`: multi, fps_num and fps_den, slow_motion, model, ...; or with a curve, those of
        `retime`. A file with a variable rate gets a constant one, and its frames are met at their true moments.
    source: the source filter (see `source`). span: "A:B", the frames to take (see `parse_span`).
    audio: "copy" where the duration holds, "stretch" (encoded, and slowed down with its pitch kept) or "drop"; None
        copies where the duration holds, and stretches where it does not. Nothing but the picture follows a curve.
    codec, crf, preset, options, overwrite, progress: see `encode`.

    Raises ArgumentError, SourceError, FormatError, WeightsError or RenderError before anything costly starts, and
    RenderError where the encoder fails later. There is either a whole file under `output`, or none of this call's.
    """
    output = check_output(output, overwrite=overwrite)
    if Path(input).exists() and output.exists() and output.samefile(input):
        raise ArgumentError("output", str(output), "another file than the input")
    slow_motion = interpolation.get("slow_motion", False)
    curve = interpolation.get("curve")
    audio = audio or ("drop" if curve is not None else "stretch" if slow_motion else "copy")
    if audio not in get_args(Audio):
        raise ArgumentError("audio", audio, f"one of {', '.join(get_args(Audio))}")
    if audio == "copy" and slow_motion:
        raise ArgumentError("audio", audio, "stretch or drop in slow motion, which lasts longer than its sound")
    if audio != "drop" and curve is not None:
        raise ArgumentError("audio", audio, "drop with a curve, which sound does not follow")
    codec = codec or usual_codec(output)
    encoder_formats(codec)
    quality(encoder(codec), crf, preset)
    check_container(output, options)
    made = graph(input, source=source, span=span, codec=codec, **interpolation)
    tracks = Tracks(file=made.file, start=made.start, duration=made.duration, stretch=made.stretch, audio=audio)
    return encode(
        made.clip,
        output,
        codec=codec,
        crf=crf,
        preset=preset,
        options=options,
        tracks=tracks if curve is None else None,
        overwrite=overwrite,
        progress=progress,
    )


def graph(
    input: str | os.PathLike[str],  # noqa: A002
    *,
    source: str | None = None,
    span: str = ":",
    codec: str = "x264",
    **interpolation: Any,
) -> Graph:
    """Return the clip that `render` encodes, and the script that makes it; no frame is made."""
    given = {name: value for name, value in interpolation.items() if value is not None}
    given |= {name: absolute(given[name]) for name in ("model", "curve") if name in given}
    function = slomo if "curve" not in given else retime
    for also in given.keys() & {"multi", "slow_motion"} if function is retime else ():
        raise ArgumentError(also, given[also], "not together with a curve")
    check_filter(source)
    split_span(span)
    check_without_clip(function, given)
    file = probe(input)
    clip = open_container(file, source)
    name = repr(str(file.path.absolute()))
    chosen = "" if source is None else f", source={source!r}"
    lines = [f"clip = source({name}{chosen})"]
    codes = Timecodes.constant(clip.num_frames, clip.fps)
    variable = file.variable and len(file.times) == clip.num_frames  # else the source filter has dropped frames
    if variable:
        log.info("%s: variable frame rate; every frame is met at its own moment", file.path.name)
        codes = file.timecodes
        lines.append(f"codes = source_timecodes({name})")
    first, last = parse_span(span, codes)
    whole = (first, last) == (0, clip.num_frames)
    if not whole:
        clip, codes = clip[first:last], codes[first:last]
        lines += [f"{part} = {part}[{first}:{last}]" for part in ("clip", "codes")[: 1 + variable]]
    rate, stretch = clip.fps, parse_multi(given.get("multi", 2)) if given.get("slow_motion") else Fraction(1)
    if variable:
        given["timecodes"] = codes
        if function is slomo and "fps_num" not in given:
            target = rate * parse_multi(given.pop("multi", 2))
            given |= {"fps_num": target.numerator, "fps_den": target.denominator}
            given.pop("slow_motion", None)
    clip = function(clip, **given)
    lines.append(f"clip = {function.__name__}({', '.join(['clip', *(f'{n}={literal(x)}' for n, x in given.items())])})")
    if variable and stretch != 1:
        clip = clip.std.AssumeFPS(fpsnum=rate.numerator, fpsden=rate.denominator)
        lines.append(f"clip = clip.std.AssumeFPS(fpsnum={rate.numerator}, fpsden={rate.denominator})")
    _, conversion = encodable(clip, codec)
    if conversion:
        clip = clip.resize.Bicubic(**conversion)
        lines.append(
            f"clip = clip.resize.Bicubic({', '.join(f'{name}={literal(x)}' for name, x in conversion.items())})"
        )
    used = sorted({function.__name__, "source", *(["source_timecodes"] if variable else [])})
    head = ["import vapoursynth as vs", "", f"from vs_slomo import {', '.join(used)}", ""]
    return Graph(
        clip=clip,
        script="\n".join([*head, *lines, "clip.set_output()", ""]),
        file=file,
        start=int(file.times[min(first, len(file.times) - 1)]) * file.time_base,
        duration=None if whole else codes.duration,
        stretch=stretch,
    )


def absolute(value: Any) -> Any:
    """Return the name of a file in full, as a script may run elsewhere; a model's own name, or no name, as it is."""
    is_file = isinstance(value, str | os.PathLike) and value not in installed() and Path(value).is_file()
    return str(Path(value).absolute()) if is_file else value


def check_without_clip(function: Callable[..., vs.VideoNode], given: Mapping[str, Any]) -> None:
    """Raise what the function says of its arguments whatever the clip: a frame that lasts long stands in for it."""
    options = {name: value for name, value in given.items() if name not in {"timecodes", "borders", "sc_clip"}}
    if function is retime:
        sampler(options["curve"], Fraction(1), 1)
        options |= {"curve": [(0, 0)], "length": 1}
    lasts = 1000 if "fps_num" in given else 1  # a target rate must not be below the clip's own
    function(vs.core.std.BlankClip(length=1, fpsnum=1, fpsden=lasts, keep=True), **options)


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

    def frame(end: str) -> int:
        if not end.endswith("s"):
            return int(end)
        seconds = Fraction(end[:-1])
        return round(codes.position(seconds)) if seconds <= codes.duration else codes.frames + 1

    first, last = (frame(end or str(default)) for end, default in zip(split_span(text), (0, codes.frames), strict=True))
    if not first < last <= codes.frames:
        lasts = f"{math.floor(codes.duration * 1000) / 1000}s"
        raise ArgumentError("span", text, f'"A:B" with 0 <= A < B <= {codes.frames}, or in seconds up to {lasts}')
    return first, last


def split_span(text: str) -> tuple[str, str]:
    """Return A and B of "A:B", both in frames or both in seconds. Raises ArgumentError."""
    number, moment = r"\d+", r"(?:0|\d*\.?\d+s)"  # 0 is the start in both
    for part in number, moment:
        if found := re.fullmatch(f"({part})?:({part})?", str(text).replace(" ", "")):
            return found[1] or "", found[2] or ""
    raise ArgumentError("span", text, '"A:B", both frame numbers, as in "100:250", or both seconds, as in "1.5s:4s"')


def check_output(output: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the path if a file can be written there. Raises ArgumentError."""
    output = Path(output)
    if not output.parent.is_dir():
        raise ArgumentError("output", str(output), f"a file in a folder that exists, {output.parent} does not")
    if output.is_dir() or not output.suffix:
        raise ArgumentError(
            "output", str(output), "a file with an ending that says its container, such as .mp4 or .mkv"
        )
    if output.exists() and not overwrite:
        raise ArgumentError("output", str(output), "a file that is not there yet, or overwrite (--overwrite)")
    return output


def check_container(output: Path, options: Sequence[str]) -> None:
    """Raise ArgumentError where ffmpeg knows no container by the output's ending, nor is told one by an option."""
    if "-f" in options:
        return
    nothing = ["-f", "rawvideo", "-video_size", "16x16", "-framerate", "1", "-i", os.devnull, "-c", "copy"]
    with tempfile.TemporaryDirectory() as folder:
        said = run([*nothing, str(Path(folder) / f"x{output.suffix}")]).stderr.decode(errors="replace")
    if re.search("(choose an|find a suitable) output format", said):
        known = f"{', '.join(CONTAINERS)} or another that ffmpeg knows"
        raise ArgumentError("output", str(output), f"a file with an ending that says its container: {known}")


CONTAINERS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".mxf")
"""Those that are worth a mention."""


def encode(
    clip: vs.VideoNode,
    output: str | os.PathLike[str],
    *,
    codec: str | None = None,
    crf: float | None = None,
    preset: str | None = None,
    options: Sequence[str] = (),
    tracks: Tracks | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Encode a clip with ffmpeg, and return the file's path.

    The clip needs a rate; it is converted to what the encoder takes: RGB becomes YUV 4:2:0, float becomes 10 bit if
    the encoder has it, what has too many bits is dithered. Colours (matrix, transfer, primaries, range, chroma
    location), sample aspect ratio and HDR10 metadata are those of its first frame.

    output: its ending chooses the container. An existing file is an error unless `overwrite`.
    codec: "x264", "x265", "av1" (SVT-AV1), "vp9", "prores", or any encoder of the ffmpeg at hand; None is
        "vp9" in .webm, else "x264".
    crf, preset: the encoder's own; None is a crf of 18 with x264 and x265, and else the encoder's default.
    options: further output options for ffmpeg. tracks: what goes with the picture.

    Raises ArgumentError and RenderError. The file is written under a name of its own and renamed when it is whole.
    """
    output = check_output(output, overwrite=overwrite)
    if clip.fps == 0:
        raise ArgumentError("clip", "no frame rate", "a clip with a rate (std.AssumeFPS)")
    codec = codec or usual_codec(output)
    name, ending = encoder(codec), output.suffix.lower()
    check_container(output, options)
    pixel_format, conversion = encodable(clip, codec)
    if conversion:
        clip = clip.resize.Bicubic(**conversion)
    props = clip.get_frame(0).props
    colours = colour_arguments(props)
    picture = [
        *("-c:v", name, "-pix_fmt", pixel_format, *quality(name, crf, preset)),
        *(*colours, *aspect_arguments(props), *hdr_arguments(name, props)),
        *(*container_arguments(name, ending), *options),
    ]
    lasts = clip.num_frames / clip.fps
    partial = output.absolute().with_name(f"{output.stem}.partial{output.suffix}")
    with tempfile.TemporaryDirectory() as folder:

        def run_with(clip: vs.VideoNode, tracks: Tracks | None, progress: Progress | None) -> None:
            inputs, maps = track_arguments(tracks, lasts, ending, Path(folder)) if tracks else ([], [])
            raw = [*colours, *raw_input(clip)]
            feed([*raw, *inputs, "-map", "0:v", *maps, *picture, str(partial)], clip, progress)

        try:
            run_with(clip.std.BlankClip(length=1), tracks and replace(tracks, duration=REHEARSAL), None)
            run_with(clip, tracks, progress)
            partial.replace(output)
        finally:
            partial.unlink(missing_ok=True)
    return output


REHEARSAL = Fraction(1, 10)
"""Seconds of the other tracks that are tried."""


def feed(arguments: Sequence[str], clip: vs.VideoNode, progress: Progress | None) -> None:
    """Run ffmpeg with a clip's frames on its standard input. Raises RenderError."""
    # In a group of its own, so that Ctrl-C in a terminal does not reach it: it ends when this says so.
    own: dict[str, Any] = {"creationflags": 0x200} if sys.platform == "win32" else {"process_group": 0}
    command = [ffmpeg(), "-hide_banner", "-v", "error", "-y", *arguments]
    log.debug("%s", subprocess.list2cmdline(command))
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, **own) as process,
    ):
        pipe = cast("IO[bytes]", process.stdin)
        try:
            clip.output(pipe, progress_update=progress)
            pipe.close()
        except OSError:  # ffmpeg has ended before its input did; its status says whether that was meant
            pass
        except BaseException as error:
            process.kill()
            if isinstance(error, vs.Error):
                raise RenderError(f"a frame could not be made: {str(error).strip().splitlines()[-1]}") from error
            raise
        finally:
            with suppress(OSError):
                pipe.close()
        status = process.wait()
        said.seek(0)
        text = said.read().decode(errors="replace")
    if status:
        raise RenderError(f"ffmpeg failed: {last_lines(text) or f'it ended with status {status}'}")
    # Its own complaints begin with the part that has them; encoders chat without.
    if complaints := last_lines("\n".join(line for line in text.splitlines() if line.startswith("["))):
        log.warning("ffmpeg: %s", complaints)


ENCODERS = {"x264": "libx264", "x265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9", "prores": "prores_ks"}
"""What ffmpeg calls them."""
SEMI_PLANAR = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "p016le": "yuv420p16le",
}
"""What hardware encoders take: the same numbers, U and V side by side."""


def usual_codec(output: Path) -> str:
    """Return the codec for an output where none is asked for: .webm holds no H.264."""
    return "vp9" if output.suffix.lower() == ".webm" else "x264"


def encoder(codec: str) -> str:
    """Return ffmpeg's name of an encoder."""
    return ENCODERS.get(codec, codec)


def encoder_formats(codec: str) -> dict[str, vs.VideoFormat]:
    """Return the YUV and gray formats that an encoder takes, by ffmpeg's names. Raises ArgumentError."""
    text = run(["-h", f"encoder={encoder(codec)}"]).stdout.decode(errors="replace")
    if "Encoder " not in text:
        raise ArgumentError("codec", codec, f"{', '.join(ENCODERS)} or an encoder of {ffmpeg()} (ffmpeg -encoders)")
    formats = planar_formats()
    formats |= {name: formats[planar] for name, planar in SEMI_PLANAR.items()}
    listed = re.search("Supported pixel formats: (.*)", text)
    taken = {
        name: format_
        for name, format_ in formats.items()
        if (not listed or name in listed[1].split()) and format_.color_family != vs.RGB and format_.bits_per_sample < 32
    }
    if "Supported sample" in text or not any(format_.color_family == vs.YUV for format_ in taken.values()):
        raise ArgumentError("codec", codec, "an encoder that takes planar YUV from memory")
    return taken


def encodable(clip: vs.VideoNode, codec: str) -> tuple[str, dict[str, Any]]:
    """Return the format to encode in, by ffmpeg's name, and the arguments of the `resize` that leads there, if any."""
    is_rgb, is_float = clip.format.color_family == vs.RGB, clip.format.sample_type == vs.FLOAT
    bits = 10 if is_float else clip.format.bits_per_sample
    if is_rgb:
        bits = min(bits, 10)
    across, down = (1, 1) if is_rgb else (clip.format.subsampling_w, clip.format.subsampling_h)

    def loss(item: tuple[str, vs.VideoFormat]) -> tuple[int, ...]:
        to = item[1]
        coarser = max(0, to.subsampling_w - across) + max(0, to.subsampling_h - down)
        wider = to.bits_per_sample - bits
        other = (to.color_family == vs.GRAY) != (clip.format.color_family == vs.GRAY)
        colourless = other and to.color_family == vs.GRAY
        return colourless, max(0, -wider), coarser, other, wider, -to.subsampling_w - to.subsampling_h

    name, chosen = min(encoder_formats(codec).items(), key=loss)
    if chosen.id == clip.format.id:
        return name, {}
    conversion: dict[str, Any] = {"format": vs.PresetVideoFormat(chosen.id)}
    if is_rgb:
        wide = clip.get_frame(0).props.get("_Primaries") == BT2020
        small = clip.width <= 1024 and clip.height <= 576
        conversion["matrix"] = BT2020 if wide else 6 if small else 1
    if is_float or chosen.bits_per_sample < clip.format.bits_per_sample:
        conversion["dither_type"] = "error_diffusion"
    return name, conversion


BT2020 = 9


def raw_input(clip: vs.VideoNode) -> list[str]:
    """Return the arguments that describe a clip's raw frames to ffmpeg."""
    names = {format_.id: name for name, format_ in planar_formats().items()}
    return [
        *("-f", "rawvideo", "-pixel_format", names[clip.format.id]),
        *("-video_size", f"{clip.width}x{clip.height}", "-framerate", str(clip.fps), "-i", "pipe:0"),
    ]


def quality(name: str, crf: float | None, preset: str | None) -> list[str]:
    """Return the arguments for an encoder's quality and speed. Raises ArgumentError."""
    largest = 51 if name in {"libx264", "libx265"} else 63
    if crf is not None and not 0 <= crf <= largest:
        raise ArgumentError("crf", crf, f"0 to {largest} with {name}")
    if crf is None and name in {"libx264", "libx265"}:
        crf = 18
    constant = [] if crf is None else ["-crf", f"{crf:g}"]
    if constant and name.startswith(("libvpx", "libaom")):
        constant += ["-b:v", "0"]  # else the rate is bounded too
    return constant + ([] if preset is None else ["-preset", preset])


def colour_arguments(props: Mapping[str, Any]) -> list[str]:
    """Return the arguments that tell colours, which raw frames do not.

    They stand before the input and before the output: which of them counts depends on ffmpeg's version.
    """
    arguments = []
    for name, tag in (("colorspace", "_Matrix"), ("color_primaries", "_Primaries"), ("color_trc", "_Transfer")):
        if (value := props.get(tag, UNSPECIFIED)) not in (UNSPECIFIED, 0):
            arguments += [f"-{name}", str(int(value))]
    if "_Range" in props:
        arguments += ["-color_range", "pc" if props["_Range"] else "tv"]
    if "_ChromaLocation" in props:
        arguments += ["-chroma_sample_location", str(int(props["_ChromaLocation"]) + 1)]
    return arguments


UNSPECIFIED = 2


def aspect_arguments(props: Mapping[str, Any]) -> list[str]:
    """Return the arguments that tell the sample aspect ratio."""
    sar = props.get("_SARNum"), props.get("_SARDen")
    return ["-vf", f"setsar={sar[0]}/{sar[1]}"] if all(sar) else []


@dataclass(frozen=True)
class Hdr:
    """How an encoder is told of HDR10's metadata: its option, two keys, and units to 1 and to 1 cd/m²."""

    option: str
    display: str
    light: str
    units: tuple[int, int] = (50000, 10000)

    def number(self, value: float, *, luminance: bool) -> str:
        """Return a number as the encoder reads it."""
        unit = self.units[luminance]
        return f"{value:g}" if unit == 1 else f"{value * unit:.0f}"


HDR = {
    "libx264": Hdr("-x264-params", "mastering-display", "cll"),
    "libx265": Hdr("-x265-params", "master-display", "max-cll"),
    "libsvtav1": Hdr("-svtav1-params", "mastering-display", "content-light", (1, 1)),
}


def hdr_arguments(name: str, props: Mapping[str, Any]) -> list[str]:
    """Return the arguments for HDR10's metadata, mastering display and content light level, where a frame has them."""
    parts = ("PrimariesX", "PrimariesY", "WhitePointX", "WhitePointY", "MaxLuminance", "MinLuminance")
    display: list[Any] = [props.get(f"MasteringDisplay{part}") for part in parts]
    light: list[Any] = [props.get(f"ContentLightLevel{part}") for part in ("Max", "Average")]
    if None in display and None in light:
        return []
    if name not in HDR:
        log.warning("%s: HDR10 metadata is not passed on; it is with %s", name, ", ".join(HDR))
        return []
    to = HDR[name]
    values = []
    if None not in display:
        x, y, *rest = display
        points = {"G": (x[1], y[1]), "B": (x[2], y[2]), "R": (x[0], y[0]), "WP": rest[:2], "L": rest[2:]}
        text = [
            f"{key}({','.join(to.number(value, luminance=key == 'L') for value in point)})"
            for key, point in points.items()
        ]
        values.append(f"{to.display}={''.join(text)}")
    if None not in light:
        values.append(f"{to.light}={int(light[0])},{int(light[1])}")
    return [to.option, ":".join(values)]


def container_arguments(name: str, ending: str) -> list[str]:
    """Return what a container needs to be played everywhere."""
    if ending not in MP4:
        return []
    return ["-movflags", "+faststart", *(["-tag:v", "hvc1"] if name == "libx265" else [])]


MP4 = (".mp4", ".m4v", ".mov")
TEXT_SUBTITLES = {**dict.fromkeys(MP4, "mov_text"), ".webm": "webvtt", ".mkv": "srt"}
"""What containers take. Matroska takes all but MP4's own as they are."""
PICTURE_SUBTITLES = ("hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub")
OWN_TAGS = ("major_brand=", "minor_version=", "compatible_brands=", "encoder=")
"""Tags that tell of the old file only."""


def track_arguments(tracks: Tracks, picture: Fraction, ending: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return the inputs and the output options for what goes with a picture of so many seconds.

    Input 0 is the picture. Input 1 holds chapters and tags, in a file in `folder`; input 2 is the source file.
    """
    metadata = folder / "metadata.txt"
    metadata.write_text(ffmetadata(tracks), encoding="utf-8")
    maps = ["-map_metadata", "1", "-map_chapters", "1"]
    sound = () if tracks.audio == "drop" else tracks.file.of_kind("audio")
    if sound:
        maps += [*streams(sound), *audio_arguments(tracks, ending, picture)]
    texts = {s: codec for s in tracks.file.of_kind("subtitle") if (codec := subtitle_codec(s, ending))}
    maps += streams(texts)
    for place, codec in enumerate(texts.values()):
        maps += [f"-c:s:{place}", codec]
    if texts and (tracks.start or tracks.stretch != 1):
        # What has begun before the part starts with it, if it lasts so long.
        times = {"pts": r"max(PTS\,0)", "dts": r"max(DTS\,0)", "duration": r"(DURATION+min(PTS\,0))"}
        retimed = ":".join(f"{name}={time}*{tracks.stretch}" for name, time in times.items())
        maps += ["-copypriorss:s", "1", "-bsf:s", rf"noise=drop=lte(pts+duration\,0),setts={retimed}"]
    if ending == ".mkv" and (attached := tracks.file.of_kind("attachment")):
        maps += [*streams(attached), "-c:t", "copy"]
    inputs = ["-f", "ffmetadata", "-i", str(metadata)]
    if sum(option == "-map" for option in maps):
        part = ["-ss", seconds(tracks.start)] if tracks.start else []
        part += ["-t", seconds(tracks.duration)] if tracks.duration is not None else []
        inputs += [*part, "-i", str(tracks.file.path)]
    return inputs, maps


def streams(chosen: Iterable[Stream]) -> list[str]:
    """Return the arguments that take streams from the source file."""
    return [argument for stream in chosen for argument in ("-map", f"2:{stream.index}")]


def audio_arguments(tracks: Tracks, ending: str, picture: Fraction) -> list[str]:
    """Return how the sound is written: copied, or encoded and as much slower as the picture, with its pitch kept."""
    if tracks.audio == "copy":
        # Packets from before the part would begin before the picture.
        return ["-c:a", "copy", *(["-copypriorss:a", "0"] if tracks.start else [])]
    codec = ["-c:a", "libopus" if ending == ".webm" else "aac", "-b:a", "192k"]
    if tracks.stretch == 1:
        return codec
    if "Unknown filter" in run(["-h", "filter=rubberband"]).stdout.decode():
        # One atempo goes down to a half.
        steps = math.ceil(math.log2(tracks.stretch))
        slower = ",".join([f"atempo={float(tracks.stretch) ** (-1 / steps):.12g}"] * steps)
    else:
        slower = f"rubberband=tempo={float(1 / tracks.stretch):.12g}:window=short"
    # Silence before a late start gets longer too; that behind the end is for what the filters hold back.
    silence = "aresample=async=1:first_pts=0,apad=pad_dur=1"
    return ["-af", f"{silence},{slower},atrim=end={seconds(picture)}", *codec]


def subtitle_codec(stream: Stream, ending: str) -> str | None:
    """Return how subtitles are written; None where the container does not take them."""
    if ending == ".mkv" and stream.codec != "mov_text":
        return "copy"
    if ending in TEXT_SUBTITLES and stream.codec not in PICTURE_SUBTITLES:
        return "copy" if stream.codec == TEXT_SUBTITLES[ending] else TEXT_SUBTITLES[ending]
    log.warning("subtitles (stream %d, %s): %s does not take them, .mkv does", stream.index, stream.codec, ending)
    return None


def ffmetadata(tracks: Tracks) -> str:
    """Return the file's tags and its chapters, at their new times, as FFMETADATA."""
    tags, chapters = tracks.file.chapters()
    lines = [";FFMETADATA1", *(tag for tag in tags if not tag.startswith(OWN_TAGS))]
    end_of_part = tracks.start + tracks.duration if tracks.duration is not None else None
    for chapter in chapters:
        start = max(chapter.start, tracks.start)
        end = chapter.end if end_of_part is None else min(chapter.end, end_of_part)
        if start < end:
            times = [round((time - tracks.start) * tracks.stretch * 1_000_000) for time in (start, end)]
            lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={times[0]}", f"END={times[1]}", *chapter.tags]
    return "\n".join([*lines, ""])


def seconds(time: Fraction) -> str:
    """Return a time for ffmpeg, to the microsecond."""
    return f"{float(time):.6f}"
