"""Detect scene cuts; the result is a clip of frame properties.

Two frames of one scene show the same structure, moved; across a cut, most of it is gone. So each block of a small luma
picture is searched for in the other frame's, at all places within its reach, and the other way round. Blocks are
compared by the structure term of SSIM (Wang et al., 2004): changes of light and contrast matter little, and motion does
not matter at all. Black bars that both frames have are cropped first, since they would always be found.

    score = 1 - mean over the blocks of  max over the places of  (2 cov + c) / (var + var' + c)
"""

from __future__ import annotations

from functools import partial
from numbers import Real

import cv2
import numpy as np
import vapoursynth as vs
from numpy.lib.stride_tricks import sliding_window_view

from vs_slomo.errors import ArgumentError
from vs_slomo.timing.positions import Times

from .select import Pattern, next_frames, select
from .thumbnails import luma

NEXT, PREV = "_SceneChangeNext", "_SceneChangePrev"
SCORE = "SlomoCutScore"
THRESHOLD = 0.37
"""Scores above it, in [0, 1], are cuts: real cuts score 0.41 and more, the fastest pans 0.34 (docs/footage.md)."""

SEEN, SIZE, BLOCK, REACH = (96, 64), (48, 32), 8, 6
"""In pixels: the thumbnail; the picture compared, without bars; a block's side; how far one may have moved (1/8 of the
width)."""
BLACK, LEAST = 0.06, 1 / 3
"""Darker rows and columns may be bars, if at least this part of the picture's width or height is left."""
NOISE = 0.02
"""Blocks with a standard deviation below this count as flat; the range is [0, 1]."""
WHITE = 0.97
"""Brighter pixels are burnt out: they count neither for a cut nor against it."""
SAME = 0.01
"""Pictures with a smaller mean difference are no cut, whatever their structure is."""
MOST = 16
"""The most pairs of frames that are compared for one step of the output."""


def check_threshold(threshold: float) -> None:
    """Raise ArgumentError unless the threshold is a number in [0, 1]."""
    if not isinstance(threshold, Real) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise ArgumentError("sc_threshold", threshold, "a number in [0, 1]")


def detect(clip: vs.VideoNode, threshold: float = THRESHOLD) -> vs.VideoNode:
    """Return a tiny clip whose frame k says whether there is a cut between frames k and k + 1 of `clip`.

    Its properties `_SceneChangeNext` and `_SceneChangePrev` are both 1 at a cut and 0 elsewhere. Where the clip's own
    frames have `_SceneChangeNext` (frame k) or `_SceneChangePrev` (frame k + 1), as misc.SCDetect and mv.SCDetection
    set them, these count. Elsewhere the pictures are compared: a score above the threshold is a cut, and the score
    stands in `SlomoCutScore`. After the last frame there is no cut.
    """
    last = clip.num_frames - 1
    small = luma(clip.std.RemoveFrameProps(SCORE), vs.GRAYS, SEEN)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        this, next_ = f
        marked = this.copy()
        said = [frame.props[name] for frame, name in ((this, NEXT), (next_, PREV)) if name in frame.props]
        if said or n == last:
            cut = any(said) and n < last
        else:
            marked.props[SCORE] = score(np.asarray(this[0]), np.asarray(next_[0]))
            cut = marked.props[SCORE] > threshold
        marked.props[NEXT] = marked.props[PREV] = int(cut)
        return marked

    return small.std.ModifyFrame([small, next_frames(small)], decide)


def score(a: np.ndarray, b: np.ndarray) -> float:
    """Return how much of two pictures' structure is found in only one of them: 0 is none, 1 is all.

    a, b: (h, w) float luma in [0, 1]. Values are clamped to [0, 1], and NaN becomes 0.
    """
    a, b = (np.nan_to_num(x).clip(0, 1) for x in (a, b))
    if np.abs(a - b).mean() < SAME:
        return 0.0
    lit = np.maximum(a, b) > BLACK
    inside = between_bars(lit.any(1)), between_bars(lit.any(0))
    a, b = (cv2.resize(x[inside], SIZE, interpolation=cv2.INTER_AREA) for x in (a, b))
    intact = (blocks(a < WHITE) * blocks(b < WHITE)).mean(2)
    found = (found_in(a, b) + found_in(b, a)) / 2
    return float(((1 - found) * intact).sum() / max(intact.sum(), 1))


def between_bars(lit: np.ndarray) -> slice:
    """Return the rows (or columns) between black bars. lit: which of them are not black in both pictures."""
    found = np.flatnonzero(lit)
    if len(found) < LEAST * len(lit):
        return slice(None)
    first, last = found[0], found[-1]
    # The row beside a bar is partly bar itself.
    return slice(first + (first > 0), last + 1 - (last < len(lit) - 1))


def found_in(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how similar each block of `a` is to the best place of `b` within its reach: (rows, columns), at most 1."""
    b = cv2.copyMakeBorder(b, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT_101)
    mean, square = (box(b, -1, (BLOCK, BLOCK), anchor=(0, 0)) for box in (cv2.boxFilter, cv2.sqrBoxFilter))
    of_a = blocks(a)
    of_a = of_a - of_a.mean(2, keepdims=True)
    rows, columns, area = of_a.shape

    span = 2 * REACH + 1
    places = sliding_window_view(b, (BLOCK, BLOCK))
    around = sliding_window_view(places, (span, span), (0, 1))[::BLOCK, ::BLOCK]
    covariance = of_a[:, :, None] @ around.reshape(rows, columns, area, span**2) / area
    of_b = sliding_window_view(square - mean**2, (span, span))[: a.shape[0] : BLOCK, : a.shape[1] : BLOCK]
    variance = (of_a**2).mean(2)[..., None] + of_b.reshape(rows, columns, span**2).clip(0)
    like: np.ndarray = ((2 * covariance[:, :, 0] + NOISE**2) / (variance + NOISE**2)).max(2)
    return like


def blocks(x: np.ndarray) -> np.ndarray:
    """Return (h, w) as (rows, columns, BLOCK · BLOCK)."""
    tiles = sliding_window_view(x, (BLOCK, BLOCK))[::BLOCK, ::BLOCK]
    return tiles.reshape(*tiles.shape[:2], BLOCK**2)


def mark(clip: vs.VideoNode, cut: vs.VideoNode, times: Times) -> vs.VideoNode:
    """Return the clip, timed by `times`, with the scene-change properties of its own cuts.

    cut: as `detect` returns it. A step over several source frames is a cut if there is a cut between any two of them.
    A step over more than MOST frames gets no properties, so that later filters compare both pictures themselves.
    """
    none = cut.std.BlankClip(keep=True).std.SetFrameProps(**{NEXT: 0, PREV: 0})
    unsaid = cut.std.BlankClip(keep=True)
    choices = vs.core.std.Interleave([cut, none, unsaid], modify_duration=False)  # 3k: the decision for k
    cycle, period = times.period

    def pair(n: int, i: int) -> int:
        crossed = times.crossed(n)
        if not 0 < len(crossed) <= MOST:
            return 2 if crossed else 1
        return 3 * crossed[min(i, len(crossed) - 1)]

    layers = [
        select(choices, 3 * cycle, Pattern(period, partial(pair, i=i)), clip.num_frames)
        for i in range(max(1, min(times.most_crossed, MOST)))
    ]
    step = layers[0] if len(layers) == 1 else layers[0].std.ModifyFrame(layers, first_cut)
    clip = clip.std.RemoveFrameProps([NEXT, PREV, SCORE]).std.CopyFrameProps(step, props=[NEXT, SCORE])
    return clip.std.CopyFrameProps((none[0] + step)[:-1], props=[PREV])


def first_cut(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
    """Return the first frame that marks a cut, else the last one."""
    return next((frame for frame in f if frame.props.get(NEXT)), f[-1])
