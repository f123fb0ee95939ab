"""Luma of a clip, small or at full size: what cuts and duplicates are found in, and what classical flow sees."""

from __future__ import annotations

import vapoursynth as vs

UNUSED = ("_Matrix", "_Transfer", "_Primaries", "_FieldBased", "_Alpha")
"""Properties that do not matter for luma and for the networks; with strange values they stop a resize."""


def bare(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip without the properties in UNUSED."""
    return clip.std.RemoveFrameProps(list(UNUSED))


def luma(clip: vs.VideoNode, pixels: int, size: tuple[int, int] | None = None) -> vs.VideoNode:
    """Return the clip's luma. pixels: the format, GRAY8 or GRAYS. size: width and height; None is the clip's own."""
    matrix = {"matrix": vs.MATRIX_BT709} if clip.format.color_family == vs.ColorFamily.RGB else {}
    return bare(clip).resize.Bilinear(*(size or ()), format=pixels, **matrix)
