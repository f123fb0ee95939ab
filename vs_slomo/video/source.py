"""Open a video file as a clip: one result, whichever source filter is there.

The filters differ: some turn the picture as the container says and some do not, some show frames that an edit list
hides, each reports another rate. So the container decides (`container.probe`) and the filter only decodes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.timing.timecodes import Timecodes

from .probe import UPRIGHT, Container, Orientation, probe

log = logging.getLogger("vs_slomo")

FFMS2_PLUGIN = "usr/lib/*/libffms2.so.5"
"""Where Debian 13 puts it, below the root: the host does not look there."""


class Missing(Exception):  # noqa: N818  # never leaves this module
    """A source filter is not installed."""


def source(path: str | os.PathLike[str], source: str | None = None) -> vs.VideoNode:
    """Open a video file: as displayed, in presentation order, at its exact average rate.

    As displayed: turned and mirrored as the container says, without the frames that its edit list hides, with its
    sample aspect ratio. Colours are the frames' own properties. A format or size that changes on the way becomes the
    first frame's.

    source: "ffms2" (the VapourSynth plugin), "bs" (BestSource), "lsmas" (L-SMASH), "pyffms2" (the Python bindings);
        None takes the first of them that is installed and opens the file.

    What the filter drops, and a variable rate, are logged as warnings. Indexes go to the user's cache directory.
    Raises ArgumentError; SourceError: missing, empty, cut off, no video; no filter opens it.
    """
    check_filter(source)
    file = probe(path)
    if file.variable:
        log.warning(
            "%s: variable frame rate; at its average of %.3f fps, frames are off by up to %.0f ms: "
            "slomo(clip, fps_num=..., timecodes=source_timecodes(path)) shows each at its moment",
            file.path.name, file.rate, file.deviation * 1000,
        )  # fmt: skip
    return open_container(file, source)


def source_timecodes(path: str | os.PathLike[str]) -> Timecodes:
    """Return when each frame of a video file is shown, as its container says; exact, for `slomo` and `retime`.

    Raises SourceError; ArgumentError for a file with a single frame, or with two at the same time.
    """
    return probe(path).timecodes


def check_filter(source: str | None) -> None:
    """Raise ArgumentError for what is no source filter's name."""
    if source is not None and source not in FILTERS:
        raise ArgumentError("source", source, f"None or one of {', '.join(FILTERS)}")


def open_container(file: Container, source: str | None = None) -> vs.VideoNode:
    """Do what `source` does, with a file that has been probed."""
    reasons = []
    for name in FILTERS if source is None else (source,):
        try:
            clip = FILTERS[name](file)
        except Missing:
            reasons.append(f"{name} is not installed{BROUGHT_BY.get(name, '')}")
        except (vs.Error, SourceError) as error:
            reasons.append(f"{name}: {error}")
        else:
            log.info("%s: opened with %s", file.path.name, name)
            return displayed(clip, file, name)
    raise SourceError(f"{file.path}: no source filter opens it: {'; '.join(reasons)}")


def displayed(clip: vs.VideoNode, file: Container, name: str) -> vs.VideoNode:
    """Return what a filter made of a file, as the container says it is shown."""
    if clip.format.id == vs.PresetVideoFormat.NONE or not clip.width:
        first = clip.get_frame(0)
        clip = clip.resize.Bicubic(first.width, first.height, format=first.format.id)
        log.warning("%s: changes format or size, all frames become %dx%d", file.path.name, clip.width, clip.height)
    count = len(file.times)
    if clip.num_frames == len(file.shown):
        clip = only(clip, file.shown.tolist())
    elif clip.num_frames < count:
        log.warning("%s: %s drops %d of %d frames", file.path.name, name, count - clip.num_frames, count)
    elif clip.num_frames > count:
        log.warning("%s: %s gives %d frames for %d", file.path.name, name, clip.num_frames, count)
    clip = clip.std.RemoveFrameProps(OWN_PROPS)
    if file.orientation != UPRIGHT:
        clip = oriented(clip, file.orientation)
    if file.sar is not None:
        sar = 1 / file.sar if file.orientation[0] == 0 else file.sar
        clip = clip.std.SetFrameProps(_SARNum=sar.numerator, _SARDen=sar.denominator)
    rate = file.rate or Fraction(25)
    return clip.std.AssumeFPS(fpsnum=rate.numerator, fpsden=rate.denominator)


OWN_PROPS = ["_SARNum", "_SARDen", "_AbsoluteTime", "Rotation", "Flip", "FlipVertical", "FlipHorizontal"]
"""What filters disagree about, or what holds no longer."""


def only(clip: vs.VideoNode, shown: list[bool]) -> vs.VideoNode:
    """Return the frames that are shown."""
    runs = [(show, [n for n, _ in run]) for show, run in groupby(enumerate(shown), key=lambda item: item[1])]
    parts = [clip[run[0] : run[-1] + 1] for show, run in runs if show]
    return parts[0] if len(parts) == 1 else vs.core.std.Splice(parts)


CHROMA: dict[int, tuple[float, float]] = {0: (0, 0.5), 1: (0.5, 0.5), 2: (0, 0), 3: (0.5, 0), 4: (0, 1), 5: (0.5, 1)}
"""`_ChromaLocation`: where a chroma sample lies among its luma samples, from left to right and from top to bottom."""


def oriented(clip: vs.VideoNode, orientation: Orientation) -> vs.VideoNode:
    """Turn and mirror a clip, and its chroma location with it."""
    a, b, c, d = orientation
    x, y = location = CHROMA.get(clip.get_frame(0).props.get("_ChromaLocation", -1), (0.5, 0.5))
    if a == 0:
        clip, (x, y) = clip.std.Transpose(), (y, x)
    if a + c < 0:
        clip, x = clip.std.FlipHorizontal(), 1 - x
    if b + d < 0:
        clip, y = clip.std.FlipVertical(), 1 - y
    if (x, y) != location:
        # No number stands for samples at the right: the middle is next to it.
        place = {at: number for number, at in CHROMA.items()}[min(x, 0.5), y]
        clip = clip.std.SetFrameProps(_ChromaLocation=place)
    return clip


def index_file(file: Container, ending: str) -> str:
    """Return where a file's index goes: in the user's cache directory, under a name that no other content has."""
    stat = file.path.stat()
    content = f"{file.path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return str(cache_dir() / f"{file.path.stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.{ending}")


def cache_dir() -> Path:
    """Return the directory of the indexes: `$VS_SLOMO_HOME/indexes`, else the platform's place for caches.

    Where it cannot be made, it is a temporary one.
    """
    from platformdirs import user_cache_dir

    home = os.environ.get("VS_SLOMO_HOME") or user_cache_dir("vs_slomo", appauthor=False)
    path = Path(home) / "indexes"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return path


def plugin(namespace: str) -> Any:
    """Return a plugin of the host. Raises Missing."""
    if namespace == "ffms2" and not hasattr(vs.core, namespace):
        for path in Path("/").glob(FFMS2_PLUGIN):
            try:
                vs.core.std.LoadPlugin(str(path))
            except vs.Error as error:  # Debian 12's is too old for the host
                log.debug("%s: %s", path, error)
    if not hasattr(vs.core, namespace):
        raise Missing
    return getattr(vs.core, namespace)


def open_ffms2(file: Container) -> vs.VideoNode:
    """Open with the ffms2 plugin."""
    return plugin("ffms2").Source(str(file.path), track=file.video, cachefile=index_file(file, "ffindex"))


def open_bs(file: Container) -> vs.VideoNode:
    """Open with BestSource; since R20 it turns the picture itself unless it is told not to."""
    function = plugin("bs").VideoSource
    options = {"apply_rotation": False} if "apply_rotation" in function.signature else {}
    return function(str(file.path), track=file.video, cachepath=str(cache_dir()), **options)


def open_lsmas(file: Container) -> vs.VideoNode:
    """Open with L-SMASH, coded frames only (no repeated fields), as with the others."""
    return plugin("lsmas").LWLibavSource(
        str(file.path), stream_index=file.video, cachefile=index_file(file, "lwi"), repeat=False
    )


def open_pyffms2(file: Container) -> vs.VideoNode:
    """Open with the ffms2 bindings, for machines whose libffms2 is no plugin for this host."""
    try:
        from .pyffms2 import open_file
    except (ImportError, OSError):
        raise Missing from None
    return open_file(file.path, file.video, index_file(file, "pyffindex"))


FILTERS: dict[str, Callable[[Container], vs.VideoNode]] = {
    "ffms2": open_ffms2,
    "bs": open_bs,
    "lsmas": open_lsmas,
    "pyffms2": open_pyffms2,
}
"""In the order in which they are tried."""
BROUGHT_BY = {"bs": " (extra: cli)", "lsmas": " (extra: cli)", "pyffms2": " (extra: ffms2)"}
