"""Where the cuts are, as a clip of frame properties.

Two frames of one scene hold the same structure, moved; across a cut most of it is nowhere to be found. So each block
of one small luma picture is looked for in the other one, in all places within its reach, both ways, by the structure
term of SSIM (Wang et al., 2004): what light and contrast do matters little, where a thing has moved to not at all.
Black bars that both have are left out before, since they would always be found.

    score = 1 - mean over the blocks of  max over the places of  (2 cov + c) / (var + var' + c)
"""

from __future__ import annotations

from numbers import Real

import cv2
import numpy as np
import vapoursynth as vs
from numpy.lib.stride_tricks import sliding_window_view

from vs_slomo.errors import ArgumentError
from vs_slomo.timing.positions import Times

from .formats import bare
from .frames import following, select

NEXT, PREV = "_SceneChangeNext", "_SceneChangePrev"
SCORE = "SlomoCutScore"
THRESHOLD = 0.37
"""Of the score, in [0, 1]: between the marked cuts, 0.41 and more, and the fastest pans, 0.34 (docs/footage.md)."""

SEEN, SIZE, BLOCK, REACH = (96, 64), (48, 32), 8, 6
"""The picture asked for; what is compared of it; its blocks, and how far one may have moved: an eighth of the width."""
BLACK, LEAST = 0.06, 1 / 3
"""What is darker may be a bar, if so much of the picture's width or height is left."""
NOISE = 0.02
"""Standard deviation, in [0, 1], below which a block counts as flat."""
WHITE = 0.97
"""What is this bright has burnt out: it neither proves a cut nor the lack of one."""
SAME = 0.01
"""Pictures with a mean difference below this are no cut, whatever their structure."""
MOST = 16
"""Pairs of frames that are compared to know of one step."""


def check_threshold(threshold: float) -> None:
    """Raise ArgumentError for what no score can be compared with."""
    if not isinstance(threshold, Real) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise ArgumentError("sc_threshold", threshold, "a number in [0, 1]")


def detect(clip: vs.VideoNode, threshold: float = THRESHOLD) -> vs.VideoNode:
    """Return a tiny clip whose frame k says whether there is a cut between frames k and k + 1 of `clip`.

    Its properties `_SceneChangeNext` and `_SceneChangePrev` are both 1 at a cut and 0 elsewhere. What the
    clip's own frames say (`_SceneChangeNext` of k, `_SceneChangePrev` of k + 1: misc.SCDetect,
    mv.SCDetection) counts where it is there; elsewhere the pictures are compared, a cut is what scores above
    the threshold, and the score stands in `SlomoCutScore`. The last frame is no cut.
    """
    last = clip.num_frames - 1
    matrix = {"matrix": 1} if clip.format.color_family == vs.ColorFamily.RGB else {}
    small = bare(clip).std.RemoveFrameProps(SCORE)
    small = small.resize.Bilinear(*SEEN, format=vs.GRAYS, **matrix)

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        this, after = f
        marked = this.copy()
        said = [frame.props[name] for frame, name in ((this, NEXT), (after, PREV)) if name in frame.props]
        if said or n == last:
            cut = any(said) and n < last
        else:
            marked.props[SCORE] = score(np.asarray(this[0]), np.asarray(after[0]))
            cut = marked.props[SCORE] > threshold
        marked.props[NEXT] = marked.props[PREV] = int(cut)
        return marked

    return small.std.ModifyFrame([small, following(small)], decide)


def score(a: np.ndarray, b: np.ndarray) -> float:
    """Return how much of two pictures' structure is found in only one of them: 0 none, 1 all.

    a, b: (h, w) float luma in [0, 1]. What lies outside [0, 1] is clamped, NaN is 0.
    """
    a, b = (np.nan_to_num(x).clip(0, 1) for x in (a, b))
    if np.abs(a - b).mean() < SAME:
        return 0.0
    lit = np.maximum(a, b) > BLACK
    inside = within(lit.any(1)), within(lit.any(0))
    a, b = (cv2.resize(x[inside], SIZE, interpolation=cv2.INTER_AREA) for x in (a, b))
    intact = (blocks(a < WHITE) * blocks(b < WHITE)).mean(2)
    found = (found_in(a, b) + found_in(b, a)) / 2
    return float(((1 - found) * intact).sum() / max(intact.sum(), 1))


def within(lit: np.ndarray) -> slice:
    """Return the rows (or columns) between bars. lit: which ones are not black in both pictures."""
    found = np.flatnonzero(lit)
    if len(found) < LEAST * len(lit):
        return slice(None)
    first, last = found[0], found[-1]
    # A row beside a bar holds some of it.
    return slice(first + (first > 0), last + 1 - (last < len(lit) - 1))


def found_in(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how like each block of `a` the likest place of `b` within its reach is: (rows, columns), at most 1."""
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

    cut: as `detect` returns it. A step over several source frames is a cut where one of their pairs is; of a step
    over more than MOST nothing is said, so that whoever wants to know compares both pictures.
    """
    none = cut.std.BlankClip(keep=True).std.SetFrameProps(**{NEXT: 0, PREV: 0})
    unsaid = cut.std.BlankClip(keep=True)
    choices = vs.core.std.Interleave([cut, none, unsaid], modify_duration=False)  # 3k: what is decided of k
    cycle, period = times.period
    behind = [times.crossed(n) for n in range(period)]
    pairs = [[3 * k for k in c] if 0 < len(c) <= MOST else [2 if c else 1] for c in behind]
    layers = [
        select(choices, 3 * cycle, [p[min(i, len(p) - 1)] for p in pairs], clip.num_frames)
        for i in range(max(map(len, pairs)))
    ]
    after = layers[0] if len(layers) == 1 else layers[0].std.ModifyFrame(layers, first_cut)
    clip = clip.std.RemoveFrameProps([NEXT, PREV, SCORE]).std.CopyFrameProps(after, props=[NEXT, SCORE])
    return clip.std.CopyFrameProps((none[0] + after)[:-1], props=[PREV])


def first_cut(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:  # noqa: ARG001  # the host's names
    """Return the first of the frames that says there is a cut, else the last."""
    return next((frame for frame in f if frame.props.get(NEXT)), f[-1])
