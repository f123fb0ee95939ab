"""What a clip must be, and what the networks see of it.

The networks' input is a clip of its own: the picture at the networks' size in YUV444, RGB or GRAY of float or half,
one `resize` call a frame. The matrix is left to `rgb_matrix`, so that a missing or strange one cannot stop a script: it
changes what the networks see, never a pixel that comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral

import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.errors import ArgumentError, FormatError

MIN_SIZE = 16

# Kr and Kb of ITU-T H.273's matrix coefficients that are a weighting of R, G and B; 10 (constant luminance) is near 9.
LUMA: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
YCGCO = 8


def check_clip(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip if it can be interpolated (a GPU-resident one is downloaded first).

    Raises FormatError: variable format or size, integers of more than 16 bit, chroma of less than a quarter of the
    picture's width or height (the host's limit in resizing), smaller than 16x16.
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
    """Raise FormatError for an interlaced frame."""
    if frame.props.get("_FieldBased", 0):
        raise FormatError("clip: got an interlaced frame (_FieldBased), allowed: progressive; deinterlace first")


def network_clip(clip: vs.VideoNode, scale: float, *, half: bool, range_in: int | None) -> vs.VideoNode:
    """Return the clip that `frames.read_rgb` reads: same frames, `scale` times the size, full-range float or half.

    The size is rounded up. What of the last pixel lies past the picture's edge is mirrored: the host does not
    repeat the edge, so the rest of the padding is left to the reader.
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
    """Return the clip's luma as GRAY8: for classical flow."""
    matrix = {"matrix": 1} if clip.format.color_family == vs.ColorFamily.RGB else {}
    return bare(clip).resize.Bilinear(format=vs.GRAY8, **matrix)


def bare(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip without the properties that are no matter to the networks, and stop a resize where strange."""
    return clip.std.RemoveFrameProps(["_Matrix", "_Transfer", "_Primaries", "_FieldBased", "_Alpha"])


def rgb_matrix(props: Mapping[str, object], size: tuple[int, int], fallback: int | None = None) -> Tensor:
    """Return the (3, 3) matrix from full-range Y, U, V (chroma around 0) to R, G, B.

    The frame's `_Matrix`, else `fallback`, else a guess by size (width, height): BT.601 up to 1024x576, BT.709 above.
    2 (unspecified) and what is no weighting of R, G and B count as missing.
    """
    width, height = size
    guess = 6 if width <= 1024 and height <= 576 else 1
    known = (m for m in (props.get("_Matrix"), fallback) if isinstance(m, int) and (m in LUMA or m == YCGCO))
    matrix = next(known, guess)
    if matrix == YCGCO:
        return torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, 0.0], [1.0, -1.0, -1.0]])
    kr, kb = LUMA[matrix]
    kg = 1 - kr - kb
    cr, cb = 2 * (1 - kr), 2 * (1 - kb)
    return torch.tensor([[1, 0, cr], [1, -cb * kb / kg, -cr * kr / kg], [1, cb, 0]])


def planar_formats() -> dict[str, vs.VideoFormat]:
    """Return the host's formats by ffmpeg's names, as far as both have them."""
    subsampling = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}
    query = vs.core.query_video_format
    found = {"grayf32le": query(vs.GRAY, vs.FLOAT, 32), "gbrpf32le": query(vs.RGB, vs.FLOAT, 32)}
    for bits in (8, 9, 10, 12, 14, 16):
        ending = "" if bits == 8 else f"{bits}le"
        found |= {f"gray{ending}": query(vs.GRAY, vs.INTEGER, bits), f"gbrp{ending}": query(vs.RGB, vs.INTEGER, bits)}
        for name, shift in subsampling.items():
            found[f"yuv{name}p{ending}"] = query(vs.YUV, vs.INTEGER, bits, *shift)
    return found
