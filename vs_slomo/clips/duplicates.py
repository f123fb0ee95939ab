"""Duplicated frames: which ones repeat the one before, and what belongs in their place.

The pictures of a clip come at some of its frames, the others repeat them. Left as they are, motion stops and jumps.
`place` tells for any moment between which two pictures it lies and how far from the first; what repeats a picture is
made anew from its neighbours. It reads two things, both from one small luma:

    frame         0     1     2     3     4     5
    repeats       no    yes   no    yes   no    no        threshold on the largest difference of a block
    has moved     -     -     0.02  -     0.02  0.01      mean difference
    lies at t of  0     1/2   0     1/2   0     0
    pictures      0     0, 2  2     2, 4  4     5

A picture comes at the first frame that is due or late, never early: so at a regular pattern (3:2, 24 in 30) it lies up
to one frame before the frame that shows it. There the pictures are evenly spaced, if so their motion is the steadier;
else, where frames are missing or drawn at will, a picture lies where it is shown first.
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
from .frames import along, shifted

THRESHOLD = 0.018
"""Of the mean difference of the block that differs most, in [0, 1]: above what compression and noise do to a repeated
frame (0.016 at a standard deviation of 10/255), below what moves in a frame (docs/footage.md)."""
MAX_GAP = 5
FINEST, FEWEST = 6, 3
"""The largest denominator of an even step, and how many steps must be seen to speak of one."""
MARGIN = 0.8
"""Of the unsteadiness: how much even steps must take away. Lost frames that look regular are the commoner case."""
TINY = 1e-5
"""Of `SlomoMoved`: what counts as no motion."""
SIZE, BLOCK = (192, 128), 8

REPEATS, MOVED = "SlomoRepeats", "SlomoMoved"
FIRST, SECOND, T_NUM, T_DEN = "SlomoFirst", "SlomoSecond", "SlomoTNum", "SlomoTDen"


def detect(clip: vs.VideoNode, threshold: float = THRESHOLD) -> vs.VideoNode:
    """Return a tiny clip whose frame k says whether frame k of `clip` repeats frame k - 1.

    Its properties: `SlomoRepeats` (0 or 1; the first frame repeats nothing), and `SlomoMoved`, the mean difference of
    both frames' luma in [0, 1].
    """
    matrix = {"matrix": 1} if clip.format.color_family == vs.ColorFamily.RGB else {}
    bare = clip.std.RemoveFrameProps(["_Matrix", "_Transfer", "_Primaries", "_FieldBased", "_Alpha"])
    small = bare.resize.Bilinear(*SIZE, format=vs.GRAYS, **matrix)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        out, this, before = f[0].copy(), np.asarray(f[1][0]), np.asarray(f[2][0])
        difference = np.nan_to_num(np.abs(this - before))
        blocks = difference.reshape(SIZE[1] // BLOCK, BLOCK, SIZE[0] // BLOCK, BLOCK).mean((1, 3))
        out.props[REPEATS] = int(n > 0 and blocks.max() < threshold)
        out.props[MOVED] = float(difference.mean())
        return out

    blank = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=clip.num_frames, keep=True)
    return blank.std.ModifyFrame([blank, small, shifted(small, -1)], decide)


def place(t: Fraction, fresh: Mapping[int, float], max_gap: int = MAX_GAP) -> tuple[int, int, Fraction]:
    """Return two frames, as offsets from frame 0, and how far from the first to the second the moment t lies.

    t: in [0, 1), from frame 0 to frame 1. fresh: the frames around, of the same scene, that are pictures of their own
    and how much has moved since the frame before, by offset. Where nothing is repeated, and where pictures are more
    than max_gap frames apart: (0, 1, t).
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
    """Return when the pictures that are first shown at `ticks` were taken, moved[i] apart from one to the next.

    At the ticks; or evenly spaced up to one frame before them, where that is possible and their motion the steadier.
    """
    shown = [Fraction(tick) for tick in ticks]
    step = even_step(ticks)
    if step is None:
        return shown
    start = min(tick - step * i for i, tick in enumerate(ticks))
    even = [start + step * i for i in range(len(ticks))]
    return even if unsteadiness(even, moved) < MARGIN * unsteadiness(shown, moved) else shown


def even_step(ticks: Sequence[int]) -> Fraction | None:
    """Return the simplest even distance of pictures that are each shown at the first frame due or late, if any."""
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
    """Return how far speeds lie from the middle one, as the mean of their logarithms' distances."""
    speeds = [math.log(max(m, TINY) / (b - a)) for (a, b), m in zip(pairwise(moments), moved, strict=True)]
    return fmean(abs(speed - median(speeds)) for speed in speeds)


def plan(times: Times, repeated: vs.VideoNode, cut: vs.VideoNode, max_gap: int) -> vs.VideoNode:
    """Return a tiny clip that says of each output frame what it is made of.

    repeated: as `detect` returns it. cut: as `cuts.detect` does. Its properties: `SlomoFirst` and `SlomoSecond`, as
    offsets from the frame that `times` gives, and `SlomoTNum` / `SlomoTDen`, t in [0, 1); `_SceneChangeNext` as that
    frame has it.
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

    # Whether there is a cut behind the last of these frames, only the one after it could tell.
    around = [along(shifted(decided if o < max_gap else repeated, o), times) for o in offsets]
    return around[0].std.ModifyFrame(around, decide)


def planned(props: Mapping[str, Any]) -> tuple[int, int, Fraction]:
    """Return what `place` returned, from the properties of a frame of `plan`."""
    return props[FIRST], props[SECOND], Fraction(props[T_NUM], props[T_DEN])


def pick(clip: vs.VideoNode, times: Times, told: vs.VideoNode, which: str, max_gap: int) -> vs.VideoNode:
    """Return the frames that `plan`, told, has as FIRST or SECOND (`which`); no others are asked for."""
    offsets = range(1 - max_gap, 2) if which == FIRST else range(1, max_gap + 1)
    nodes = {o: along(shifted(clip, o), times) for o in offsets}
    blank = nodes[1].std.BlankClip(keep=True)
    return blank.std.FrameEval(lambda n, f: nodes[f.props[which]], told, list(nodes.values()))  # noqa: ARG005
