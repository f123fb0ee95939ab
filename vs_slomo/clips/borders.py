"""Black bars: areas that are not picture. Nothing is moved in them, and nothing from them is moved into the picture.

With "auto" the clip's bars are the narrowest of a few frames: spread over the clip, or its first ones where a player's
clip has no known end. They are measured when the first new frame is requested, since a script must not request frames
while it loads. A pair of frames that has a picture in the bars (subtitles, a scene of another shape) is interpolated as
a whole.
"""

from __future__ import annotations

from numbers import Integral

import numpy as np
import vapoursynth as vs

from vs_slomo.errors import ArgumentError
from vs_slomo.model.box import Box

from .formats import MIN_SIZE
from .select import is_endless

Borders = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the picture."""

SAMPLES = 8
"""The number of frames that "auto" measures."""
MEAN, PEAK = 4 / 255, 12 / 255
"""How much brighter than black a bar's row may be, as a part of the range: on average, and its brightest pixel."""
FOUND = "SlomoBorders"
TOLD = ("CropLeftValue", "CropTopValue", "CropRightValue", "CropBottomValue")
"""Where frames have these four properties, as the plugin autocrop sets them, these are their bars."""


def check(borders: Borders | str | None) -> Borders | str | None:
    """Return the argument `borders`. Raises ArgumentError."""
    if borders is None or (isinstance(borders, str) and borders == "auto"):
        return borders
    allowed = 'None, "auto" or (left, top, right, bottom) in whole pixels'
    if not isinstance(borders, tuple | list) or len(borders) != 4:
        raise ArgumentError("borders", borders, allowed)
    if not all(isinstance(x, Integral) and not isinstance(x, bool) and x >= 0 for x in borders):
        raise ArgumentError("borders", borders, allowed)
    left, top, right, bottom = map(int, borders)
    return left, top, right, bottom


def check_fits(borders: Borders, clip: vs.VideoNode) -> None:
    """Raise ArgumentError where the borders leave too little of the clip, or cut through a chroma sample."""
    box = inside(borders, clip.width, clip.height)
    step_x, step_y = 1 << clip.format.subsampling_w, 1 << clip.format.subsampling_h
    if box is None or any(x % step for x, step in zip(borders, (step_x, step_y) * 2, strict=True)):
        raise ArgumentError(
            "borders",
            borders,
            f"multiples of {step_x} in width and {step_y} in height that leave {MIN_SIZE}x{MIN_SIZE} of "
            f"{clip.width}x{clip.height}",
        )


def inside(borders: Borders, width: int, height: int) -> Box | None:
    """Return the part of a picture inside the borders; None where that is less than 16x16."""
    left, top, right, bottom = borders
    box = Box(left, top, width - right, height - bottom)
    return box if min(box.right - box.left, box.bottom - box.top) >= MIN_SIZE else None


def find(clip: vs.VideoNode) -> vs.VideoNode:
    """Return a tiny clip of one frame with the clip's bars in its property `SlomoBorders`, four whole numbers.

    It requests SAMPLES frames of the clip. If the bars would leave less than 16x16, there are none.
    """
    steps = {p: 1 << s for p, s in enumerate((clip.format.subsampling_w, clip.format.subsampling_h) * 2)}
    frames = SAMPLES if is_endless(clip) else clip.num_frames
    places = sorted({frames * (2 * i + 1) // (2 * SAMPLES) for i in range(SAMPLES)})
    blank = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=1, keep=True)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
        decision, *samples = f
        out = decision.copy()
        narrowest = np.min([bars(frame) for frame in samples], axis=0)
        borders = [int(x) // steps[p] * steps[p] for p, x in enumerate(narrowest)]
        left, top, right, bottom = borders
        fits = inside((left, top, right, bottom), samples[0].width, samples[0].height)
        out.props[FOUND] = borders if fits else [0, 0, 0, 0]
        return out

    found = blank.std.ModifyFrame([blank, *(clip[p] for p in places)], decide)
    found.std.SetVideoCache(mode=1, fixedsize=1, maxsize=1)
    return found


def bars(frame: vs.VideoFrame) -> Borders:
    """Return how many columns and rows are black at each edge of a frame, or what its properties say (TOLD).

    A black frame counts in full.
    """
    if all(name in frame.props for name in TOLD):
        left, top, right, bottom = (max(0, int(frame.props[name])) for name in TOLD)
        return left, top, right, bottom
    planes = range(3) if frame.format.color_family == vs.ColorFamily.RGB else range(1)
    luma = np.max([np.asarray(frame[p]) for p in planes], axis=0)
    peak, black = 1.0, 0.0
    if frame.format.sample_type == vs.SampleType.INTEGER:
        peak = float(2**frame.format.bits_per_sample - 1)
        limited = frame.format.color_family != vs.ColorFamily.RGB and frame.props.get("_Range", 0) == 0
        black = float(16 << frame.format.bits_per_sample - 8) if limited else 0.0
    counts = []
    for axis in (0, 1):  # columns, then rows
        mean, brightest = luma.mean(axis, dtype=np.float32), luma.max(axis)
        lit = np.flatnonzero((mean > black + MEAN * peak) | (brightest > black + PEAK * peak))
        counts.append((int(lit[0]), len(mean) - 1 - int(lit[-1])) if len(lit) else (len(mean), len(mean)))
    (left, right), (top, bottom) = counts
    return left, top, right, bottom
