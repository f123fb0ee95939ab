"""Which clips are accepted, and what the networks see of them.

The networks' input is a clip of its own: the picture at the networks' size, in YUV444, RGB or GRAY, float or half. It
takes one `resize` call a frame. The matrix is applied later, by `rgb_matrix`, so that a missing or strange one cannot
stop a script: it changes what the networks see, but the output's pixels are never converted with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral

import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.errors import ArgumentError, FormatError

from .thumbnails import bare, luma

MIN_SIZE = 16
"""The least width and height of a picture."""

# Kr and Kb of those of ITU-T H.273's matrix coefficients that weight R, G and B; 10 (constant luminance) is near 9.
LUMA: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
BT709, BT601, YCGCO = 1, 6, 8
"""Numbers of H.273."""


def check_clip(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip if it can be interpolated. A GPU-resident one is downloaded first.

    Raises FormatError for: variable format or size, integers of more than 16 bit, chroma of less than a quarter of the
    picture's width or height (the host cannot resize it), less than 16x16 pixels.
    """
    if not isinstance(clip, vs.VideoNode):
        raise ArgumentError("clip", clip, "a vapoursynth.VideoNode")
    if clip.format.id == vs.PresetVideoFormat.NONE or not clip.width or not clip.height:
        raise FormatError(
            "clip: got variable format or size, allowed: one format and size throughout (put a resize in front)"
        )
    if clip.format.sample_type == vs.SampleType.INTEGER and clip.format.bits_per_sample > 16:
        raise FormatError(
            f"clip: got {clip.format.name}, allowed: integers of 8 to 16 bit, half and float (put a resize in front)"
        )
    if max(clip.format.subsampling_w, clip.format.subsampling_h) > 2:
        raise FormatError(
            f"clip: got {clip.format.name}, allowed: chroma of at least a quarter of the picture's width and height "
            "(put a resize in front)"
        )
    if min(clip.width, clip.height) < MIN_SIZE:
        raise FormatError(f"clip: got {clip.width}x{clip.height}, allowed: {MIN_SIZE}x{MIN_SIZE} and larger")
    return clip.std.GPUDownload() if getattr(clip, "gpu_resident", False) else clip


def check_matrix(matrix: int | None) -> int | None:
    """Return the argument `matrix`: an H.273 number that `rgb_matrix` knows. Raises ArgumentError."""
    known = sorted([*LUMA, YCGCO])
    if matrix is None:
        return None
    if not isinstance(matrix, Integral) or isinstance(matrix, bool) or matrix not in known:
        raise ArgumentError("matrix", matrix, f"None or one of {', '.join(map(str, known))}")
    return int(matrix)


def check_progressive(frame: vs.VideoFrame) -> None:
    """Raise FormatError for an interlaced frame or a single field, also where a filter before has left its mark."""
    if frame.props.get("_FieldBased", 0):
        raise FormatError(
            "clip: got an interlaced frame (_FieldBased), allowed: progressive; deinterlace first, "
            "or std.SetFieldBased(0) where frames are whole and a filter left the flag, as inverse telecine (IVTC) does"
        )
    if "_Field" in frame.props:
        raise FormatError(
            "clip: got a single field (_Field, as std.SeparateFields sets it), allowed: whole frames; weave or "
            "deinterlace first, or std.RemoveFrameProps('_Field') if that is done and its filter left the mark"
        )


def network_clip(clip: vs.VideoNode, scale: float, *, half: bool, range_in: int | None) -> vs.VideoNode:
    """Return the clip that `frames.network_planes` reads: the same frames at `scale` times the size.

    half: float16 instead of float32. range_in: 0 (limited) or 1 (full) for frames without `_Range`; None is the host's
    choice. The result is full range. Its size is rounded up; the part of the last pixel past the picture's edge is
    mirrored. `frames.as_rgb` adds the rest of the padding, since the host cannot repeat the edge.
    """
    width, height = math.ceil(clip.width * scale), math.ceil(clip.height * scale)
    formats = {
        vs.ColorFamily.GRAY: (vs.GRAYS, vs.GRAYH),
        vs.ColorFamily.RGB: (vs.RGBS, vs.RGBH),
        vs.ColorFamily.YUV: (vs.YUV444PS, vs.YUV444PH),
    }
    options = {} if range_in is None else {"range_in": range_in}
    return bare(clip).resize.Bilinear(
        width,
        height,
        format=formats[clip.format.color_family][half],
        src_width=width / scale,
        src_height=height / scale,
        **options,
    )


def gray_clip(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip's luma at full size as GRAY8, for classical flow."""
    return luma(clip, vs.GRAY8)


def guessed_matrix(width: int, height: int) -> int:
    """Return the matrix to assume for a picture of this size that names none: BT.601 up to 1024x576, BT.709 above."""
    return BT601 if width <= 1024 and height <= 576 else BT709


def rgb_matrix(props: Mapping[str, object], size: tuple[int, int], fallback: int | None = None) -> Tensor:
    """Return the (3, 3) matrix from full-range Y, U, V (chroma around 0) to R, G, B.

    It is that of the frame's `_Matrix`, else `fallback`, else `guessed_matrix` for the size (width, height). Number 2
    (unspecified), and a `_Matrix` that does not weight R, G and B, count as missing.
    """
    known = (m for m in (props.get("_Matrix"), fallback) if isinstance(m, int) and (m in LUMA or m == YCGCO))
    matrix = next(known, guessed_matrix(*size))
    if matrix == YCGCO:
        return torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]])
    kr, kb = LUMA[matrix]
    kg = 1 - kr - kb
    cr, cb = 2 * (1 - kr), 2 * (1 - kb)
    return torch.tensor([[1, 0, cr], [1, -cb * kb / kg, -cr * kr / kg], [1, cb, 0]])


def planar_formats() -> dict[str, vs.VideoFormat]:
    """Return the formats that both the host and ffmpeg have, by ffmpeg's names."""
    subsampling = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}
    query = vs.core.query_video_format
    found = {"grayf32le": query(vs.GRAY, vs.FLOAT, 32), "gbrpf32le": query(vs.RGB, vs.FLOAT, 32)}
    for bits in (8, 9, 10, 12, 14, 16):
        ending = "" if bits == 8 else f"{bits}le"
        found |= {f"gray{ending}": query(vs.GRAY, vs.INTEGER, bits), f"gbrp{ending}": query(vs.RGB, vs.INTEGER, bits)}
        for name, shift in subsampling.items():
            found[f"yuv{name}p{ending}"] = query(vs.YUV, vs.INTEGER, bits, *shift)
    return found
