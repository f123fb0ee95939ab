"""What was made: a look at the finished file before it gets its name, and what is said of it."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import vapoursynth as vs

from vs_slomo.errors import RenderError, SourceError

from .clock import Input
from .contents import Contents, Stream, read_contents
from .encoders import container_of
from .feed import Alpha
from .ffmpeg import unusual
from .looks import look
from .metadata import kept_tags
from .tracks import DISPOSITIONS, Plan, counted

log = logging.getLogger("vs_slomo")

SAME_RATE = 2e-4
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def check_whole(part: Path, frames: int, output: Path, *, counted: bool) -> Contents | None:
    """Return what a finished file holds; None where that cannot be told. Raises RenderError where it is not whole.

    counted: whether it must have that many frames; else it must have one.
    """
    if not part.stat().st_size:
        raise RenderError(f"{output.name}: ffmpeg wrote nothing")
    if not container_of(output).countable:
        return None
    made = Input(part.absolute(), str(part.absolute()))
    try:
        found = read_contents(made)
    except SourceError:  # PyAV is not there to look
        return None
    if found.failed or found.pictures is None:
        if counted:
            raise RenderError(f"{output.name}: the file that ffmpeg made cannot be read ({found.failed or 'no video'})")
        return None
    if counted and not look(made, found.video, output.name).decoded:
        raise RenderError(f"{output.name}: the picture cannot be read again: this kind of file does not take the codec")
    there = int(found.pictures.shown.sum())
    if there < (frames if counted else 1):
        raise RenderError(f"{output.name}: the file that ffmpeg made has {there} of {frames} frames; is the disk full?")
    return found


RAW = ("rawvideo", "wrapped_avframe")
"""Encoders whose frames are raw."""


def check_rehearsal(part: Path, encoder: str, fps: Fraction, output: Path) -> None:
    """Raise RenderError where a rehearsal shows that the container does not hold the codec or the rate.

    Some take a codec that they cannot name for raw frames. MXF turns a rate into the nearest it knows.
    """
    container = container_of(output)
    if not container.countable or not part.is_file() or not part.stat().st_size:
        return
    try:
        found = read_contents(Input(part.absolute(), str(part.absolute())))
    except SourceError:  # PyAV is not there to look
        if container.even:
            raise
        return
    if encoder not in RAW and any(s.index == found.video and s.codec == "rawvideo" for s in found.streams):
        raise RenderError(f"{output.name}: this kind of file does not take {encoder}: it cannot be read again")
    if container.even and found.announced and abs(found.announced / fps - 1) > SAME_RATE:
        raise RenderError(f"{output.name}: {unusual(fps)}")


def report(
    output: Path, clip: vs.VideoNode, alpha: Alpha, plan: Plan | None, found: Contents | None, seconds: float
) -> None:
    """Log what was made, what goes with it and what does not."""
    if alpha.lost and not alpha.told:
        log.warning("transparency is left out: some frames had it")
    length = float(clip.num_frames / clip.fps)
    size = f", {_size(output)}" if output.is_file() else ""
    log.info(
        "%s: %d frames of %dx%d, %.6g frames a second, %.3f s%s, made in %.1f s",
        output, clip.num_frames, clip.width, clip.height, float(clip.fps), length, size, seconds,
    )  # fmt: skip
    if plan is None:
        return
    kept = [track.does for track in plan.kept]
    kept += [f"attachment {stream.attached[0] or stream.index}" for stream in plan.attached]
    kept += [counted(len(plan.covers), "cover picture")] * bool(plan.covers)
    if found is not None:
        kept += [counted(len(found.chapters), "chapter")] * bool(found.chapters)
    if found is not None or not plan.target.sound:  # pictures without sound have no tags either
        _compare(plan, found or Contents())
    log.info("  kept: the picture%s", "".join(f"; {name}" for name in kept))
    if plan.lead:
        log.info("  the picture starts %.3f s after the sound, as in the source", float(plan.lead))
    for what in plan.left:
        log.info("  left out: %s", what)


def _compare(plan: Plan, found: Contents) -> None:
    """Note the tags and tracks that the container did not take after all."""
    if "tags" in plan.tracks.kinds:
        held = {key.lower() for key in found.tags}
        gone = [key for key in kept_tags(plan.tracks.file.tags) if key.lower() not in held]
        if gone:
            plan.left.append(f"tags that {plan.ending} does not hold: {', '.join(gone)[:200]}")
    for kind in ("audio", "subtitle"):
        given = [track.stream for track in plan.kept if track.stream.kind == kind]
        for was, now in zip(given, [stream for stream in found.streams if stream.kind == kind], strict=False):
            if 0 < now.channels < was.channels:
                plan.left.append(f"{was.name}: its {was.channels} channels are mixed into {now.channels}")
            if lost := _lost(was, now):
                plan.left.append(f"{was.name}: {plan.ending} does not hold its {', '.join(lost)}")
    wanted = [track.stream.kind for track in plan.kept] + ["cover"] * len(plan.covers)
    there = ["cover" if stream.cover else stream.kind for stream in found.streams]
    for kind in ("audio", "subtitle", "cover"):
        if there.count(kind) < wanted.count(kind):
            said = "%s: %d of %d %s tracks can be read again"
            log.warning(said, plan.ending, there.count(kind), wanted.count(kind), kind)


def _lost(was: Stream, now: Stream) -> list[str]:
    """Return what a track no longer tells of itself."""
    before, after = kept_tags(was.tags), kept_tags(now.tags)
    lost = [name for name in ("language", "title") if name in before and name not in after]
    marks = [name for bit, name in DISPOSITIONS.items() if bit and (was.disposition & ~now.disposition) >> bit & 1]
    return lost + [f'mark "{name}"' for name in marks]


def _size(path: Path) -> str:
    size = float(path.stat().st_size)
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
