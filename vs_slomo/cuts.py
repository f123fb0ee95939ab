"""Where the cuts are, as a clip of frame properties."""

from __future__ import annotations

from collections.abc import Sequence

import vapoursynth as vs

from .frames import remap

NEXT, PREV = "_SceneChangeNext", "_SceneChangePrev"
THRESHOLD = 0.12
"""Of the mean absolute difference of two frames' luma, in [0, 1]."""
SIZE = (96, 64)


def detect(clip: vs.VideoNode, threshold: float = THRESHOLD) -> vs.VideoNode:
    """Return a tiny clip whose frame k says whether there is a cut between frames k and k + 1 of `clip`.

    Its properties `_SceneChangeNext` and `_SceneChangePrev` are both 1 at a cut and 0 elsewhere. What the
    clip's own frames say (`_SceneChangeNext` of k, `_SceneChangePrev` of k + 1: misc.SCDetect,
    mv.SCDetection) counts where it is there; elsewhere the pictures are compared. The last frame is no cut.
    """
    last = clip.num_frames - 1
    width, height = SIZE
    small = clip.std.RemoveFrameProps(["_Matrix", "_FieldBased", "_Alpha"])
    matrix = {"matrix": 1} if clip.format.color_family == vs.ColorFamily.RGB else {}
    small = small.resize.Bilinear(width, height, format=vs.GRAYS, **matrix)
    compared = small.std.PlaneStats(following(small))

    def decide(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        compared_frame, this, after = f
        said = [frame.props[name] for frame, name in ((this, NEXT), (after, PREV)) if name in frame.props]
        cut = any(said) if said else float(compared_frame.props["PlaneStatsDiff"]) > threshold
        marked = compared_frame.copy()
        marked.props[NEXT] = marked.props[PREV] = int(cut and n < last)
        return marked

    return compared.std.ModifyFrame([compared, clip, following(clip)], decide)


def mark(clip: vs.VideoNode, cut: vs.VideoNode, after: Sequence[int | None]) -> vs.VideoNode:
    """Return the clip with the scene-change properties of its own cuts.

    cut: as `detect` returns it. after: for each frame of `clip`, the frame of `cut` that decides whether
    a cut lies right behind it; None where there cannot be one.
    """
    none = cut.num_frames
    decided = cut + cut.std.BlankClip(length=1).std.SetFrameProps(**{NEXT: 0, PREV: 0})
    behind = [none if k is None else k for k in after]
    clip = clip.std.CopyFrameProps(remap(decided, behind), props=[NEXT])
    return clip.std.CopyFrameProps(remap(decided, [none, *behind[:-1]]), props=[PREV])


def following(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip whose frame k is frame k + 1; the last one is repeated."""
    return clip[1:] + clip[-1] if clip.num_frames > 1 else clip
