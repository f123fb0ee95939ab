"""One part: frames of the whole clip into a file of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vapoursynth as vs

from vs_slomo.errors import RenderError
from vs_slomo.stops import Stops
from vs_slomo.video.feed import Progress, fed

from .cut import Join, Segment
from .folder import Part
from .joining import look

if TYPE_CHECKING:
    from vs_slomo.video.encode import Picture

TAGS = {"libx265": ("-tag:v", "hvc1")}
"""Headers in the container's own place, not among the frames."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(encoder: str, cores: int) -> int:
    """Return how many threads an encoder gets for each part, about as many as it takes by itself.

    x264, x265 and libaom make other bits with another number, so all parts of a job have the same, whoever makes them.
    For x265 it is how many frames it works on at once.
    """
    if encoder == "libx265":
        return 1 + sum(cores >= more for more in (4, 8, 16))
    return min(16, max(2, cores * 3 // 2))


def make(picture: Picture, segment: Segment, path: Path, **how: Any) -> Part:
    """Encode a segment into a file, and return the part once it is whole; else no file is left. Raises RenderError.

    how: what `begin` is told.
    """
    return begin(picture, segment, path, **how)()


def begin(
    picture: Picture,
    segment: Segment,
    path: Path,
    *,
    join: Join,
    options: Sequence[str],
    threads: int,
    stopped: Stops,
    progress: Progress | None = None,
    frames: Iterator[vs.VideoFrame] | None = None,
) -> Callable[[], Part]:
    """Give all frames of a segment to an encoder, and return what waits for its end, as `make` does.

    threads: of the encoder. frames: those of the segment; None asks the clip for them.
    """
    clip = picture.clip[segment.first : segment.last]
    encoder = [*picture.behind, "-threads:v", str(threads), *options, *TAGS.get(picture.encoder, ())]
    arguments = [*picture.input(), "-map", "0:v", *encoder, "-f", join.part, str(path.absolute())]
    with _removed(path):
        end = fed(arguments, clip, stopped, picture.alpha, progress, frames)

    def whole() -> Part:
        try:
            with _removed(path):
                end()
                return look(path, segment, clip.fps)
        except RenderError as error:
            raise RenderError(f"segment {segment.number}: {error}") from error

    return whole


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    """Leave no file where the block fails."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise
