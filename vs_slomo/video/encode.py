"""A clip into a file with ffmpeg, and what goes with it.

Before the first frame is made, a rehearsal: the same ffmpeg command with one blank frame and a moment of sound. It
shows within a blink whether codec, options, tracks and container go together.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import vapoursynth as vs

from vs_slomo import outputs
from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.given import file_name, text, texts
from vs_slomo.stops import Stops, stops

from .clock import NUMBERED, numbered, picture_name
from .colours import change_for
from .contents import Stream
from .encoders import (
    WORTH_A_MENTION,
    check_kind,
    container_flags,
    container_of,
    encoder_name,
    encoder_row,
    quality,
    usual_codec,
)
from .feed import Alpha, Progress, fed, in_order, is_opaque
from .ffmpeg import run
from .pixels import (
    Pixels,
    choose,
    colour_arguments,
    device_arguments,
    even,
    growing,
    grown,
    hdr_arguments,
    picture_filters,
    raw_input,
    taken_pixels,
)
from .report import RAW, check_rehearsal, check_whole, report
from .segments.job import Job, Segments, pieces
from .tracks import Plan, Track, companion_folder, input_arguments, make_plan, output_arguments, write_inputs
from .wanted import Tracks

log = logging.getLogger("vs_slomo")

REHEARSED = 0.1
"""Seconds of the other tracks that are tried."""


def check_output(output: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return the path if a file can be written there. Raises ArgumentError."""
    output = file_name("output", output)
    if os.path.isdir(output.parent) and (os.path.isdir(output) or not output.suffix):  # noqa: PTH112  # of any name
        raise ArgumentError(
            "output", str(output), "a file with an ending that says its container, such as .mp4 or .mkv"
        )
    if is_sequence(output):
        if not os.path.isdir(output.parent):  # noqa: PTH112
            raise ArgumentError("output", str(output), f"a file in a folder that exists, {output.parent} does not")
        if not overwrite and (there := numbered(output)):
            taken = picture_name(output.name, min(there))
            allowed = f"numbers that are not there yet, {taken} is, or overwrite=True"
            raise ArgumentError("output", str(output), allowed)
        return output
    outputs.check_output(output, overwrite=overwrite)
    return output


def check_encoding(
    output: Path, codec: str | None, crf: float | None, preset: str | None, options: Sequence[str]
) -> tuple[str, list[str]]:
    """Return codec and options. Raises ArgumentError for values that no encoder takes."""
    codec = usual_codec(output) if codec is None else text("codec", codec, "the name of an encoder")
    taken_pixels(codec)
    quality(encoder_name(codec), crf, preset)
    return codec, texts("options", options, "a list of texts, as ffmpeg takes them")


def is_sequence(output: Path) -> bool:
    """Return whether an output is numbered pictures."""
    return container_of(output).pattern and bool(NUMBERED.search(output.name)) and output.name.count("%") == 1


def check_container(output: Path, options: Sequence[str]) -> None:
    """Raise ArgumentError where neither the output's ending nor an option names a container that ffmpeg knows."""
    check_kind(output, options)
    if container_of(output).pattern and not is_sequence(output):
        allowed = f"a name with a place for numbers, such as {output.stem}%05d{output.suffix}"
        raise ArgumentError("output", str(output), allowed)
    if "-f" in options:
        return
    nothing = ["-f", "rawvideo", "-video_size", "16x16", "-framerate", "1", "-i", os.devnull, "-c", "copy"]
    with stops(), tempfile.TemporaryDirectory() as folder:
        said = run([*nothing, str(Path(folder) / f"x{output.suffix}")]).stderr.decode(errors="replace")
    if "choose an output format" in said or "find a suitable output format" in said:
        known = f"{', '.join(WORTH_A_MENTION)} or another that ffmpeg knows"
        raise ArgumentError("output", str(output), f"a file with an ending that says its container: {known}")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A clip as it is encoded. before, behind: ffmpeg's arguments before the input of frames, and before the output.

    encoder: its name for ffmpeg. container: arguments for the output's container. growth, conversion: what became of
    the clip that was given. ahead: how many frames are asked for at once, at least.
    """

    clip: vs.VideoNode
    pixels: Pixels
    alpha: Alpha
    encoder: str
    before: list[str]
    behind: list[str]
    container: list[str]
    growth: tuple[int, int]
    conversion: dict[str, Any]
    ahead: int = 0

    def input(self, lead: Fraction = Fraction(0)) -> list[str]:
        """Return ffmpeg's arguments for the frames, which begin `lead` seconds late."""
        late = ["-itsoffset", f"{float(lead):.6f}"] if lead else []
        raw = raw_input(self.clip, self.pixels.raw)
        return ["-copyts", *self.before, *late, *raw]


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
    segments: Segments | None = None,
    ahead: int = 0,
) -> Path:
    """Encode a clip with ffmpeg, and return the file's path.

    The clip needs a rate; it is converted to what the encoder takes: RGB becomes YUV 4:2:0 (not in GIF, PNG, FFV1 and
    their like), float becomes 10 bit if the encoder has it, what has too many bits is dithered, an odd size grows by a
    column or row where the format needs that. Transparency is kept where codec and container take it. Colours (matrix,
    transfer, primaries, range, chroma location), sample aspect ratio and HDR10 metadata are those of its first frame.

    output: its ending chooses the container; "frames/%05d.png" writes numbered pictures. An existing file is an error
        unless `overwrite`.
    codec: "x264", "x265", "av1" (SVT-AV1), "vp9", "prores", or any encoder of the ffmpeg at hand; None is what the
        container is usually filled with.
    crf: the quality, by the option that the encoder knows; preset: its speed. None is a crf of 18 with x264 and x265,
        and else the encoder's default.
    options: further output options for ffmpeg. tracks: what goes with the picture. segments: how it is cut; None makes
        it in one piece. ahead: how many frames the host is asked for at once, at least.

    Raises ArgumentError and RenderError. The file is written under a name of its own and renamed when it is whole.
    """
    output = check_output(output, overwrite=overwrite)
    if not isinstance(clip, vs.VideoNode) or clip.format.id == vs.PresetVideoFormat.NONE or not clip.width:
        raise ArgumentError("clip", clip, "a vapoursynth.VideoNode of one format and size")
    codec, options = check_encoding(output, codec, crf, preset, options)
    if clip.fps == 0:
        raise ArgumentError("clip", "no frame rate", "a clip with a rate (std.AssumeFPS)")
    check_container(output, options)
    began = time.monotonic()
    highest = container_of(output).highest
    if highest and clip.fps > highest:
        log.warning("%s: most players show at most %d frames a second of this kind", output.name, highest)
    prepared = partial(prepare, clip, output, codec=codec, crf=crf, preset=preset, options=options)
    picture = prepared()
    sequence = is_sequence(output)
    opened = outputs.new_sequence if sequence else outputs.new_file
    found = None
    with stops() as stopped:
        try:
            if change := _colour_change(picture, output, options, stopped):
                picture = prepared(change=change)
            picture = replace(picture, ahead=ahead)
            with pieces(picture, output, [*options], segments) as job:
                with opened(output, overwrite=overwrite) as part:
                    plan, complete = _run(picture, part, output, tracks, [*options], stopped, progress, job)
                    if complete and not sequence:
                        found = check_whole(part, clip.num_frames, output, counted=not options)
                if job is not None:
                    job.folder.remove()
        except BrokenPipeError:  # of the progress: whoever read it has gone
            raise
        except OSError as error:
            raise RenderError(f"{output.name} cannot be written: {error.strerror or error}") from error
        report(output, picture.clip, picture.alpha, plan, found, time.monotonic() - began)
    return output


def _colour_change(picture: Picture, output: Path, options: Sequence[str], stopped: Stops) -> dict[str, int]:
    """Return arguments of `resize` that make players show the picture's colours where the file cannot store them."""
    row = encoder_row(picture.encoder)
    exact = picture.encoder in RAW or (row.rgb and not row.quality)
    make = partial(_encode_blank, picture, options, stopped)
    return change_for(picture.clip, make, output, picture.encoder, exact=exact)


def _encode_blank(picture: Picture, options: Sequence[str], stopped: Stops, path: str) -> None:
    """Run the command for the picture with one blank frame."""
    arguments = [*picture.input(), "-map", "0:v", *picture.behind, *picture.container, *options, path]
    fed(arguments, picture.clip.std.BlankClip(length=1), stopped, picture.alpha)()


def prepare(
    clip: vs.VideoNode,
    output: Path,
    *,
    codec: str,
    crf: float | None,
    preset: str | None,
    options: Sequence[str] = (),
    change: Mapping[str, Any] = MappingProxyType({}),
) -> Picture:
    """Return a clip as it is encoded. Raises ArgumentError.

    change: more arguments for `resize`. With them, the warnings are not repeated.
    """
    name = encoder_name(codec)
    row = encoder_row(name)
    first = clip.get_frame(0)
    has_alpha = isinstance(first.props.get("_Alpha"), vs.VideoFrame)
    wanted = has_alpha and container_of(output).alpha and row.alpha
    pixels, conversion = choose(clip, codec, alpha=wanted)
    conversion |= change
    level = logging.DEBUG if change else logging.WARNING
    alpha = Alpha(pixels.alpha)
    if has_alpha and not pixels.alpha and not is_opaque(first.props["_Alpha"]):
        alpha.told = True
        takes = "x.mov with prores, x.webm with vp9, x.mkv with ffv1, %05d.png and .gif keep it"
        log.log(level, "transparency is left out: %s does not keep it in %s (%s)", name, output.suffix, takes)
    if any(more := even(clip, pixels, codec)):
        said = "%dx%d grows by %s, repeated: %s does not take that size"
        log.log(level, said, clip.width, clip.height, growing(*more), name)
    clip = converted(clip, more, conversion)
    props = clip.get_frame(0).props
    family = pixels.format.color_family
    colours = colour_arguments(props, family)
    behind = [
        *("-c:v:0", name, "-pix_fmt:v:0", pixels.name, *quality(name, crf, preset, options), *row.flags),
        *(row.with_alpha if pixels.alpha and wanted else ()),
        *("pc" if row.full and part == "tv" else part for part in colours),
        *(*picture_filters(name, props), *device_arguments(name, options), *hdr_arguments(name, props)),
        *("-fps_mode", "passthrough"),
    ]
    return Picture(
        clip=clip,
        pixels=pixels,
        alpha=alpha,
        encoder=name,
        before=colours,
        behind=behind,
        container=container_flags(output, name),
        growth=more,
        conversion=conversion,
    )


def converted(clip: vs.VideoNode, growth: tuple[int, int], conversion: Mapping[str, Any]) -> vs.VideoNode:
    """Return the clip as the encoder takes it."""
    if any(growth):
        clip = grown(clip, *growth)
    return clip.resize.Bicubic(**conversion) if conversion else clip


def _run(
    picture: Picture,
    part: Path,
    output: Path,
    tracks: Tracks | None,
    options: list[str],
    stopped: Stops,
    progress: Progress | None,
    job: Job | None,
) -> tuple[Plan | None, bool]:
    """Rehearse, then encode into `part`; return what went along, and whether ffmpeg took all frames.

    job: makes the picture in parts; they are joined into `part` with what goes along.
    """
    if job is not None:
        job.folder.note_joined(part.name)  # a run that is killed leaves it
    blank = picture.clip.std.BlankClip(length=1)
    end = [*picture.behind, *picture.container, *options, str(part.absolute())]
    _encode_blank(picture, options, stopped, str(part.absolute()))
    check_rehearsal(part, picture.encoder, picture.clip.fps, output)

    def last(lead: Fraction, more: Sequence[str]) -> bool:
        if job is None:
            given = [*picture.input(lead), *more]
            with closing(in_order(picture.clip, stopped, picture.ahead)) as frames:
                return fed([*given, *end], picture.clip, stopped, picture.alpha, progress, frames)()
        job.make(stopped, progress)
        return job.join(part, lead, [*more, *picture.container, *options], stopped)

    if tracks is None:
        return None, last(Fraction(0), ["-map", "0:v"])
    lasts = picture.clip.num_frames / picture.clip.fps
    plan = make_plan(tracks, output, picture.clip.fps)
    with tempfile.TemporaryDirectory(dir=companion_folder(plan, output)) as name:
        folder = Path(name)
        write_inputs(plan, folder, stopped.check)

        def arguments(seconds: float | None = None) -> list[str]:
            given = input_arguments(plan, folder, seconds=seconds)
            return [*given, "-map", "0:v", *output_arguments(plan, folder, lasts)]

        def rehearse() -> None:
            given = [*picture.input(plan.lead), *arguments(REHEARSED)]
            fed([*given, *end], blank, stopped, picture.alpha)()

        try:
            rehearse()
        except RenderError as error:
            _mend(plan, folder, rehearse, error)
            rehearse()
        return plan, last(plan.lead, arguments())


def _mend(plan: Plan, folder: Path, attempt: Callable[[], object], error: RenderError) -> None:
    """Find the tracks that do not go into the container: encode them, else leave them out. Changes the plan.

    Raises the error itself where each goes alone.
    """
    kept, attached, covers = plan.kept, plan.attached, plan.covers

    def alone(**only: list[Any]) -> None:
        plan.kept, plan.attached, plan.covers = (only.get(name, []) for name in ("kept", "attached", "covers"))

    good_tracks, good_attached, good_covers = list[Track](), list[Stream](), list[Stream]()
    for track in kept:
        alone(kept=[track])
        good_tracks += [track] if goes(plan, track, folder, attempt) else []
    for stream in attached:
        alone(attached=[stream])
        good_attached += [stream] if goes(plan, stream, folder, attempt) else []
    for stream in covers:
        alone(covers=[stream])
        good_covers += [stream] if goes(plan, stream, folder, attempt) else []
    changed = any(track.changed for track in kept)
    if (good_tracks, good_attached, good_covers) == (kept, attached, covers) and not changed:
        raise error
    plan.kept, plan.attached, plan.covers = good_tracks, good_attached, good_covers
    write_inputs(plan, folder)


def goes(plan: Plan, item: Track | Stream, folder: Path, attempt: Callable[[], object]) -> bool:
    """Return whether the container takes a track, alone in its plan, encoded if need be."""
    codecs, stream = [""], item if isinstance(item, Stream) else item.stream
    if isinstance(item, Track):
        again = plan.target.sound if stream.kind == "audio" else plan.target.text
        codecs = [*dict.fromkeys(filter(None, (item.codec, again)))]
    write_inputs(plan, folder)
    why = ""
    for codec in codecs:
        if isinstance(item, Track) and codec != item.codec:
            item.codec, item.changed = codec, True
        try:
            attempt()
        except RenderError as failed:
            why = str(failed).removeprefix("ffmpeg failed: ")
            continue
        if isinstance(item, Track) and item.changed:
            log.warning("%s: %s does not take it as it is; encoded with %s", stream.name, plan.ending, codec)
        return True
    plan.leave(stream.name, why)
    return False
