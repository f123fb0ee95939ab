"""Open a video file as a clip: one result, whichever source filter is there.

The filters differ: some turn the picture as the container says and some do not, some show frames that an edit list
hides, each reports another rate. So the container decides (`probe`), and the filter only decodes. Its frames are
matched to the container's times (`match`).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import vapoursynth as vs

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.paths import indexes_dir as cache_dir
from vs_slomo.timing.timecodes import Timecodes

from .filters import BROUGHT_BY, FILTERS, STAMPS, Missing, index_file, plugin
from .match import Matched, Stamps, match
from .probe import UPRIGHT, Container, Orientation, probe

__all__ = [
    "CHROMA",
    "FILTERS",
    "Missing",
    "Opened",
    "cache_dir",
    "check_filter",
    "index_file",
    "open_container",
    "open_file",
    "oriented",
    "plugin",
    "source",
    "source_timecodes",
]

log = logging.getLogger("vs_slomo")


@dataclass(frozen=True, eq=False)
class Opened:
    """A clip, and the file with the times of its frames."""

    clip: vs.VideoNode
    file: Container


def source(path: str | os.PathLike[str], source: str | None = None, *, allow_playlist: bool = False) -> vs.VideoNode:
    """Open a video file: as displayed, in presentation order, at its exact average rate.

    As displayed: turned and mirrored as the container says, without the frames that its edit list hides, with its
    sample aspect ratio. Colours are the frames' own properties. A format or size that changes on the way becomes the
    first frame's. path: a file, or numbered pictures such as "frames/%05d.png", which are read at 25 frames a second.

    source: "ffms2" (the VapourSynth plugin), "bs" (BestSource), "lsmas" (L-SMASH), "pyffms2" (the Python bindings);
        None takes the first of them that is installed and opens the file.
    allow_playlist: read a playlist that leads out of its folder, too.

    What the filter drops, and a variable rate, are logged as warnings. Indexes go to the user's cache directory.
    Raises ArgumentError; SourceError: missing, empty, cut off, no video, no frame shown; no filter opens it.
    """
    check_filter(source)
    opened = open_file(probe(path, allow_playlist=allow_playlist), source)
    file = opened.file
    if file.variable:
        log.warning(
            "%s: variable frame rate; at its average of %.3f fps, frames are off by up to %.0f ms: "
            "slomo(clip, fps_num=..., timecodes=source_timecodes(path)) shows each at its moment",
            file.path.name, file.rate, file.deviation * 1000,
        )  # fmt: skip
    return opened.clip


def source_timecodes(
    path: str | os.PathLike[str], source: str | None = None, *, allow_playlist: bool = False
) -> Timecodes:
    """Return when each frame of `source(path, source)` is shown; exact, for `slomo` and `retime`.

    Raises ArgumentError, also for a file with a single frame, and SourceError.
    """
    check_filter(source)
    return open_file(probe(path, allow_playlist=allow_playlist), source, quiet=True).file.timecodes


def check_filter(source: str | None) -> None:
    """Raise ArgumentError for what is no source filter's name."""
    if source is not None and not (isinstance(source, str) and source in FILTERS):
        raise ArgumentError("source", source, f"None or one of {', '.join(FILTERS)}")


def open_container(file: Container, source: str | None = None) -> vs.VideoNode:
    """Do what `source` does, with a file that has been probed."""
    return open_file(file, source).clip


def open_file(file: Container, source: str | None = None, *, quiet: bool = False) -> Opened:
    """Open a file that has been probed, and give each frame its time. quiet: log no more than errors.

    Raises SourceError.
    """
    reasons = []
    for name in FILTERS if source is None else (source,):
        try:
            if file.damaged and "python" in Path(sys.executable or "").name.lower():  # not inside vspipe
                _try_in_a_child(file, name)
            clip = FILTERS[name](file)
        except Missing:
            reasons.append(f"{name} is not installed{BROUGHT_BY.get(name, '')}")
        except (vs.Error, SourceError, UnicodeError) as error:
            reasons.append(f"{name}: {error}")
        else:
            matched = match(file, clip.num_frames, _stamps(name, file, clip), name)
            if not quiet:
                log.info("%s: opened with %s", file.path.name, name)
                if matched.repaired:
                    log.warning("%s: %s", file.path.name, matched.repaired)
            return Opened(displayed(clip, matched), matched.file)
    raise SourceError(f"{file.path}: no source filter opens it: {'; '.join(reasons)}")


CHILD = """
import sys
from vs_slomo.video.filters import FILTERS
from vs_slomo.video.probe import probe
import logging
logging.disable()
FILTERS[sys.argv[2]](probe(sys.argv[1], allow_playlist=sys.argv[3] == "True")).get_frame(0)
"""
PATIENCE = 600
"""Seconds that a damaged file may take to be indexed in a child process."""


def _try_in_a_child(file: Container, name: str) -> None:
    """Let a process of its own open a damaged file first: a filter that crashes or hangs there is not used.

    Its index is kept, so that this costs little more than a start of Python. Raises SourceError.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", CHILD, os.fspath(file.path), name, str(file.allow_playlist)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE, env=environment)
    except subprocess.TimeoutExpired:
        raise SourceError(f"does not come to an end with this damaged file (tried for {PATIENCE} s)") from None
    if done.returncode < 0:
        raise SourceError("crashes with this damaged file (tried in a process of its own)")


def _stamps(name: str, file: Container, clip: vs.VideoNode) -> Stamps | None:
    """Return the times that a filter gives its frames; None where it gives none."""
    try:
        if name in STAMPS:
            stamps = STAMPS[name](file)
            return stamps if stamps and len(stamps.ticks) == clip.num_frames else None
        if clip.num_frames in (len(file.times), len(file.shown)):
            return None
        first = clip.get_frame(0)
        if "_AbsoluteTime" not in first.props:
            return None
        log.info("%s: reading the times of %d frames", file.path.name, clip.num_frames)
        seconds = [Fraction(float(frame.props["_AbsoluteTime"])) for frame in clip.frames(close=True)]
        return Stamps([round(second / file.time_base) for second in seconds], file.time_base)
    except (Missing, vs.Error, KeyError, OSError):
        return None


def displayed(clip: vs.VideoNode, matched: Matched) -> vs.VideoNode:
    """Return what a filter made of a file, as the container says it is shown."""
    file = matched.file
    if clip.format.id == vs.PresetVideoFormat.NONE or not clip.width:
        first = clip.get_frame(0)
        clip = clip.resize.Bicubic(first.width, first.height, format=first.format.id)
        log.warning("%s: changes format or size, all frames become %dx%d", file.path.name, clip.width, clip.height)
    clip = only(clip, matched.kept)
    clip = clip.std.RemoveFrameProps(OWN_PROPS)
    if file.orientation != UPRIGHT:
        clip = oriented(clip, file.orientation)
    if file.sar is not None:
        sar = 1 / file.sar if file.orientation[0] == 0 else file.sar
        clip = clip.std.SetFrameProps(_SARNum=sar.numerator, _SARDen=sar.denominator)
    rate = file.rate or Fraction(25)
    return clip.std.AssumeFPS(fpsnum=rate.numerator, fpsden=rate.denominator)


OWN_PROPS = ["_SARNum", "_SARDen", "_AbsoluteTime", "Rotation", "Flip", "FlipVertical", "FlipHorizontal"]
"""Properties that filters disagree about, or that are no longer true."""


def only(clip: vs.VideoNode, kept: list[int]) -> vs.VideoNode:
    """Return the frames of these numbers, which ascend."""
    if kept == list(range(clip.num_frames)):
        return clip
    cuts = [0, *(n for n, (a, b) in enumerate(pairwise(kept), 1) if b != a + 1), len(kept)]
    parts = [clip[kept[a] : kept[b - 1] + 1] for a, b in pairwise(cuts)]
    return parts[0] if len(parts) == 1 else vs.core.std.Splice(parts)


CHROMA: dict[int, tuple[float, float]] = {0: (0, 0.5), 1: (0.5, 0.5), 2: (0, 0), 3: (0.5, 0), 4: (0, 1), 5: (0.5, 1)}
"""`_ChromaLocation`: where a chroma sample lies among its luma samples, from left to right and from top to bottom."""


def oriented(clip: vs.VideoNode, orientation: Orientation) -> vs.VideoNode:
    """Turn and mirror a clip, its chroma location and its transparency with it."""
    first = clip.get_frame(0).props
    if "_Alpha" in first:
        alpha = _turned(clip.std.PropToClip("_Alpha"), orientation)
        turned = _placed(_turned(clip, orientation), first.get("_ChromaLocation", -1), orientation)
        return turned.std.ClipToProp(alpha, "_Alpha")
    return _placed(_turned(clip, orientation), first.get("_ChromaLocation", -1), orientation)


def _turned(clip: vs.VideoNode, orientation: Orientation) -> vs.VideoNode:
    a, b, c, d = orientation
    if a == 0:
        clip = clip.std.Transpose()
    if a + c < 0:
        clip = clip.std.FlipHorizontal()
    return clip.std.FlipVertical() if b + d < 0 else clip


def _placed(clip: vs.VideoNode, location: object, orientation: Orientation) -> vs.VideoNode:
    """Return a turned clip with the chroma location that it has now."""
    a, b, c, d = orientation
    x, y = before = CHROMA.get(location if isinstance(location, int) else -1, (0.5, 0.5))
    if a == 0:
        x, y = y, x
    x = 1 - x if a + c < 0 else x
    y = 1 - y if b + d < 0 else y
    if (x, y) == before:
        return clip
    # No number stands for samples at the right: the middle is next to it.
    place = {at: number for number, at in CHROMA.items()}[min(x, 0.5), y]
    return clip.std.SetFrameProps(_ChromaLocation=place)
