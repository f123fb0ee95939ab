"""One part: frames of the whole clip into a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import vapoursynth as vs

from vs_slomo.stops import Stops
from vs_slomo.video.feed import Progress, feed

from .cut import Join, Segment
from .folder import Part
from .joining import look

if TYPE_CHECKING:
    from vs_slomo.video.encode import Picture

TAGS = {"libx265": ("-tag:v", "hvc1")}
"""Headers in the container's own place, not among the frames."""


def make(
    picture: Picture,
    segment: Segment,
    path: Path,
    *,
    join: Join,
    options: Sequence[str],
    stopped: Stops,
    progress: Progress | None = None,
    frames: Iterator[vs.VideoFrame] | None = None,
) -> Part:
    """Encode a segment into a file, and return the part once it is whole; else no file is left. Raises RenderError.

    frames: those of the segment; None asks the clip for them.
    """
    clip = picture.clip[segment.first : segment.last]
    encoder = [*picture.behind, *options, *TAGS.get(picture.encoder, ())]
    arguments = [*picture.input(), "-map", "0:v", *encoder, "-f", join.part, str(path.absolute())]
    try:
        feed(arguments, clip, stopped, picture.alpha, progress, frames)
        return look(path, segment, clip.fps)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
