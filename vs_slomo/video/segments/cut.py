"""Where a render is cut, and whether it can be cut at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vs_slomo.errors import ArgumentError

USUAL = 10.0
"""Seconds of output in a segment."""


@dataclass(frozen=True)
class Segment:
    """Frames first to last - 1 of the output."""

    number: int
    first: int
    last: int

    @property
    def frames(self) -> int:
        """How many there are."""
        return self.last - self.first


def check_seconds(seconds: float) -> Fraction:
    """Return a segment's length. Raises ArgumentError."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | Fraction) or not 0 < seconds < 1e9:
        raise ArgumentError("segment", seconds, "a number of seconds above 0")
    return Fraction(seconds).limit_denominator(1_000_000) or Fraction(1, 1_000_000)


def cut(frames: int, fps: Fraction, seconds: Fraction) -> list[Segment]:
    """Return segments of about so many seconds, equally long up to a frame; a single one where it is less than two."""
    count = max(1, frames // max(1, round(seconds * fps)))
    ends = [frames * n // count for n in range(count + 1)]
    return [Segment(n, a, b) for n, (a, b) in enumerate(pairwise(ends))]


@dataclass(frozen=True, kw_only=True)
class Join:
    """How the parts of an encoder's output are joined.

    part: the container of each part, by its ending; it must keep the frames' own clock. pipe: the one in which the
    joined stream is handed to ffmpeg: it must keep clock, order and colours. Matroska's clock has milliseconds, so it
    takes only what is shown in the order in which it is stored, into Matroska.
    """

    part: str
    pipe: str


PREDICTED = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "mp4", ".webm": "mp4"}
JOINS: dict[str, dict[str, Join]] = {
    "libx264|libx264rgb|libx265|libsvtav1|libaom-av1|libvpx-vp9": {
        ending: Join(part="mp4", pipe=pipe) for ending, pipe in PREDICTED.items()
    },
    "prores.*": {".mov": Join(part="mov", pipe="mov"), ".mkv": Join(part="mov", pipe="matroska")},
    "ffv1": {".mkv": Join(part="mov", pipe="matroska")},
}
"""By a pattern of encoders' names, and by the output's ending: what was tried and joins exactly."""

WHOLE = re.compile(
    r"-(vf|af|filter\w*|lavfi|map\w*|ss|t|to|r|fpsmax|f|fs|[ad]?v?frames|movflags|metadata|b|vb|minrate|maxrate"
    r"|bufsize|pass|passlogfile|bsf|absf|vbsf|c|codec|vcodec|fps_mode|vsync|shortest|attach|program|timecode|i"
    r"|stats_mode|copyts|start_at_zero|itsoffset|disposition|tag|vtag|aspect|force_key_frames|open_?gop)"
)
"""Options of ffmpeg that concern the whole output: they filter, map, cut, or choose a rate, muxer, codec or tags."""
OTHER_TRACKS = re.compile(r":(a|s|d|t)\b")
WHOLE_PARAMETERS = re.compile(r"(^|:)(bitrate|vbv|pass|stats|nal-hrd|hrd|tbr|rc|open[-_]?gop)", re.IGNORECASE)


def is_usual(fps: Fraction) -> bool:
    """Return whether ffmpeg recognizes a rate by times in milliseconds (libavformat, `get_std_framerate`)."""
    if fps * Fraction(1001, 1000) in (12, 15, 24, 30, 48, 60):
        return True
    return (fps * (12 if fps <= 30 else 1)).denominator == 1 if fps <= 60 else fps in (80, 120, 240)


def joining(
    output: Path, encoder: str, options: Sequence[str], *, alpha: bool, fps: Fraction = Fraction(25)
) -> Join | str:
    """Return how the output's parts are joined, or why it must be made in one piece."""
    ending = output.suffix.lower()
    found = next((row for pattern, row in JOINS.items() if re.fullmatch(pattern, encoder)), {})
    if ending not in found:
        return f"parts of {encoder} in {ending} are not known to join exactly"
    if alpha and encoder.startswith("libvpx"):
        return "transparency of VP9 is not kept in parts"
    for name, value in pairwise([*options, ""]):
        option = name.partition(":")[0]
        if WHOLE.fullmatch(option) and not (option in ("-b", "-c", "-codec") and OTHER_TRACKS.search(name)):
            return f"{name} concerns the whole output"
        if option.endswith(("-params", "opts")) and WHOLE_PARAMETERS.search(value):
            return f"{name} {value} concerns the whole output"
    if found[ending].pipe == "matroska" and not is_usual(fps):
        return f"parts of {encoder} in {ending} at {fps} frames a second do not join exactly"
    return found[ending]
