"""Duplicated frames: which frames repeat the previous one, and what replaces them.

Only some frames of such a clip bring a new picture; the others repeat it, so motion stops and jumps. `place` tells for
any moment between which two pictures it lies, and how far from the first. Repeated frames are then made from the
pictures around them. Two things are measured, both on one thumbnail:

    frame         0     1     2     3     4     5
    repeats       no    yes   no    yes   no    no        threshold on the largest difference of a block
    has moved     -     -     0.02  -     0.02  0.01      mean difference
    lies at t of  0     1/2   0     1/2   0     0
    pictures      0     0, 2  2     2, 4  4     5

A frame shows a picture at the picture's own time or later, never earlier. So with a regular pattern (3:2, 24 in 30) a
picture's time is up to one frame before the frame that first shows it. Pictures are taken as evenly spaced where that
makes their motion steadier. Otherwise (frames are missing, or held as long as an animator wished) a picture's time is
that of the frame that first shows it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import fmean, median
from typing import Any

import numpy as np
import vapoursynth as vs

from vs_slomo.timing.positions import Times

from .cuts import NEXT
from .select import per_output_frame, shifted
from .thumbnails import luma

THRESHOLD = 0.018
"""For the mean difference of the block that differs most, in [0, 1]. Compression and noise change a repeated frame less
(0.016 at a standard deviation of 10/255); motion changes it more (docs/footage.md)."""
MAX_GAP = 5
"""The most frames that one picture may stand for."""
FINEST, FEWEST = 6, 3
"""The largest denominator of an even step, and the least number of steps that make a pattern."""
MARGIN = 0.8
"""Even steps must lower the unsteadiness to this part of it: lost frames that look regular are more common."""
TINY = 1e-5
"""`SlomoMoved` below this counts as no motion."""
SIZE, BLOCK = (192, 128), 8
"""Of the thumbnail, and the side of its blocks; in pixels."""

REPEATS, MOVED = "SlomoRepeats", "SlomoMoved"
FIRST, SECOND, T_NUM, T_DEN = "SlomoFirst", "SlomoSecond", "SlomoTNum", "SlomoTDen"


def detect(clip: vs.VideoNode, threshold: float = THRESHOLD) -> vs.VideoNode:
    """Return a tiny clip whose frame k says whether frame k of `clip` repeats frame k - 1.

    Its properties: `SlomoRepeats` (0 or 1; 0 for the first frame), and `SlomoMoved`, the mean difference of both
    frames' luma in [0, 1].
    """
    small = luma(clip, vs.GRAYS, SIZE)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        decision, this, previous = f
        out = decision.copy()
        difference = np.nan_to_num(np.abs(np.asarray(this[0]) - np.asarray(previous[0])))
        blocks = difference.reshape(SIZE[1] // BLOCK, BLOCK, SIZE[0] // BLOCK, BLOCK).mean((1, 3))
        out.props[REPEATS] = int(n > 0 and blocks.max() < threshold)
        out.props[MOVED] = float(difference.mean())
        return out

    blank = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=clip.num_frames, keep=True)
    return blank.std.ModifyFrame([blank, small, shifted(small, -1)], decide)


def place(t: Fraction, fresh: Mapping[int, float], max_gap: int = MAX_GAP) -> tuple[int, int, Fraction]:
    """Return the two frames that the moment t lies between, and how far it is from the first to the second.

    The frames are offsets from frame 0. t: in [0, 1), from frame 0 to frame 1. fresh: the frames around it, of the same
    scene, that bring a new picture; each offset with how much has moved since the previous frame. Returns (0, 1, t)
    where nothing is repeated, and where pictures are more than max_gap frames apart.
    """
    untouched = (0, 1, t)
    ticks = sorted(fresh)
    here = bisect_right(ticks, 0)
    if here == 0:
        return untouched
    start, stop = here - 1, here
    while start > 0 and ticks[start] - ticks[start - 1] <= max_gap:
        start -= 1
    while stop < len(ticks) and ticks[stop] - ticks[stop - 1] <= max_gap:
        stop += 1
    ticks = ticks[start:stop]
    if all(b - a == 1 for a, b in pairwise(ticks)):
        return untouched
    moments = spaced(ticks, [fresh[tick] for tick in ticks[1:]])
    i = bisect_right(moments, t) - 1
    if i == len(ticks) - 1:
        return untouched
    return ticks[i], ticks[i + 1], (t - moments[i]) / (moments[i + 1] - moments[i])


def spaced(ticks: Sequence[int], moved: Sequence[float]) -> Sequence[Fraction]:
    """Return the times of the pictures that are first shown at `ticks`. moved: how much moves from each to the next.

    They are the ticks; or evenly spaced times up to one frame before them, where these make the motion steadier.
    """
    shown = [Fraction(tick) for tick in ticks]
    step = even_step(ticks)
    if step is None:
        return shown
    start = min(tick - step * i for i, tick in enumerate(ticks))
    even = [start + step * i for i in range(len(ticks))]
    return even if unsteadiness(even, moved) < MARGIN * unsteadiness(shown, moved) else shown


def even_step(ticks: Sequence[int]) -> Fraction | None:
    """Return the simplest even distance of pictures, each first shown less than a frame after its time, if any."""
    gaps = len(ticks) - 1
    if gaps < FEWEST:
        return None
    for denominator in range(1, FINEST + 1):
        low, high = ((ticks[-1] - ticks[0] + end) * denominator / gaps for end in (-1, 1))
        for numerator in range(math.ceil(low), math.floor(high) + 1):
            step = Fraction(numerator, denominator)
            late = [tick - step * i for i, tick in enumerate(ticks)]
            if max(late) - min(late) < 1:
                return step
    return None


def unsteadiness(moments: Sequence[Fraction], moved: Sequence[float]) -> float:
    """Return how much the speed varies: the mean distance of its logarithm from the median speed's."""
    speeds = [math.log(max(m, TINY) / (b - a)) for (a, b), m in zip(pairwise(moments), moved, strict=True)]
    return fmean(abs(speed - median(speeds)) for speed in speeds)


def plan(times: Times, repeated: vs.VideoNode, cut: vs.VideoNode, max_gap: int) -> vs.VideoNode:
    """Return a tiny clip that tells for each output frame what it is made of.

    repeated: as `detect` returns it. cut: as `cuts.detect` returns it. Its properties: `SlomoFirst` and `SlomoSecond`,
    as offsets from the frame k that `times` gives; `SlomoTNum` / `SlomoTDen`, t in [0, 1); and frame k's
    `_SceneChangeNext`.
    """
    offsets = range(1 - max_gap, max_gap + 1)
    last = repeated.num_frames - 1
    decided = repeated.std.CopyFrameProps(cut, props=[NEXT])

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        k, t = times.at(n)
        inside = {o: frame.props for o, frame in zip(offsets, f, strict=True) if 0 <= min(k, last) + o <= last}
        cuts = [o for o, props in inside.items() if props.get(NEXT)]
        begin = max((o + 1 for o in cuts if o < 0), default=offsets[0])
        end = min((o for o in cuts if o >= 0), default=offsets[-1])
        fresh = {o: float(p[MOVED]) for o, p in inside.items() if begin <= o <= end and not p[REPEATS]}
        out = f[-offsets[0]].copy()
        out.props[FIRST], out.props[SECOND], t = place(t, fresh, max_gap)
        out.props[T_NUM], out.props[T_DEN] = t.numerator, t.denominator
        return out

    # A cut after the last of these frames does not matter, and knowing it would take one more source frame.
    around = [per_output_frame(shifted(decided if o < max_gap else repeated, o), times) for o in offsets]
    return around[0].std.ModifyFrame(around, decide)


def planned(props: Mapping[str, Any]) -> tuple[int, int, Fraction]:
    """Return what `place` returned, from the properties of a frame of `plan`."""
    return props[FIRST], props[SECOND], Fraction(props[T_NUM], props[T_DEN])


def pick(clip: vs.VideoNode, times: Times, decisions: vs.VideoNode, which: str, max_gap: int) -> vs.VideoNode:
    """Return the clip's frames that the plan names. decisions: as `plan` returns it. which: FIRST or SECOND.

    No other frames are requested.
    """
    offsets = range(1 - max_gap, 2) if which == FIRST else range(1, max_gap + 1)
    nodes = {o: per_output_frame(shifted(clip, o), times) for o in offsets}
    blank = nodes[1].std.BlankClip(keep=True)
    return blank.std.FrameEval(lambda n, f: nodes[f.props[which]], decisions, list(nodes.values()))  # noqa: ARG005
