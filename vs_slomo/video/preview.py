"""A look before the work: a few seconds of source and result, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

import vapoursynth as vs

from vs_slomo.filters.baselines import sample
from vs_slomo.timing.timecodes import Timecodes

SECONDS = Fraction(4)
WIDEST = 1920
"""Wider pictures are halved, so that both fit on a screen."""
TIMING = ("multi", "fps_num", "fps_den", "timecodes", "slow_motion")


def middle(codes: Timecodes) -> tuple[int, int]:
    """Return the first frame of SECONDS in the middle, and the one behind the last."""
    rest = codes.duration - SECONDS
    if rest <= 0:
        return 0, codes.frames
    return floor(codes.position(rest / 2)), ceil(codes.position(rest / 2 + SECONDS))


def beside(source: vs.VideoNode, result: vs.VideoNode, given: Mapping[str, Any]) -> vs.VideoNode:
    """Return the source, each frame until the next one comes, on the left of what `slomo` made of it.

    given: its arguments.
    """
    held = sample(source, sc=False, **{name: given[name] for name in TIMING if name in given})
    halves = [clip.text.Text(f" {title} ", alignment=7) for clip, title in ((held, "source"), (result, "vs_slomo"))]
    both = vs.core.std.StackHorizontal(halves)
    if result.width <= WIDEST:
        return both
    step_x, step_y = 2 << result.format.subsampling_w, 2 << result.format.subsampling_h
    return both.resize.Bicubic(both.width // 2 // step_x * step_x, both.height // 2 // step_y * step_y)
