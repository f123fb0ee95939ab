"""From frames of the host to tensors, and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo.errors import FormatError
from vs_slomo.model.box import Box
from vs_slomo.model.unet import MULTIPLE
from vs_slomo.model.warp import padded

PlaneGroup = tuple[tuple[int, ...], float, float]
"""Planes of one size, and that size as a part of the picture's in x and y."""


def plane_groups(video_format: vs.VideoFormat) -> tuple[PlaneGroup, ...]:
    """Return which planes can be moved together: R, G and B; luma alone; both chroma planes."""
    x, y = 2.0**-video_format.subsampling_w, 2.0**-video_format.subsampling_h
    planes = tuple(range(video_format.num_planes))
    if x == y == 1:
        return ((planes, 1.0, 1.0),)
    return ((planes[:1], 1.0, 1.0), (planes[1:], x, y))


def read_planes(frame: vs.VideoFrame, planes: Iterable[int]) -> Tensor:
    """Return (1, C, h, w) float32 on the CPU, with the frame's own numbers, whatever its sample type is."""
    stacked = np.stack([np.asarray(frame[p]) for p in planes])
    return torch.from_numpy(stacked.astype(np.float32, copy=False)).unsqueeze(0)


def raw_planes(frame: vs.VideoFrame, planes: Iterable[int]) -> Tensor:
    """Return (1, C, h, w) on the CPU, with the frame's own numbers and sample type."""
    return torch.from_numpy(np.stack([np.asarray(frame[p]) for p in planes])).unsqueeze(0)


def write_planes(
    frame: vs.VideoFrame,
    planes: Iterable[int],
    values: Tensor,
    box: Box | None = None,
    ratio_x: float = 1,
    ratio_y: float = 1,
) -> None:
    """Write (1, C, h, w) into a writable frame. For an integer format, floats are rounded and clamped to its range.

    box: the part of the picture that is written; None is all of it. ratio_x, ratio_y: see `plane_groups`.
    """
    if frame.format.sample_type == vs.SampleType.INTEGER and values.is_floating_point():
        values = values.round().clamp(0, 2**frame.format.bits_per_sample - 1)
    values = values.float() if values.is_floating_point() else values
    for p, plane in zip(planes, values[0].cpu().numpy(), strict=True):
        whole = np.asarray(frame[p])
        np.copyto(whole if box is None else box.of(whole, ratio_x, ratio_y), plane, casting="unsafe")


def network_planes(frame: vs.VideoFrame, box: Box | None = None) -> Tensor:
    """Return what `as_rgb` takes, on the CPU: the planes of a frame of `formats.network_clip`, in their own type.

    box: the part of the frame; None is all of it.
    """
    planes = raw_planes(frame, range(frame.format.num_planes))
    return planes if box is None else box.of(planes)


def as_rgb(planes: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Return planes of a frame of `formats.network_clip` as RGB, (1, 3, h, w) float32 in [0, 1], on their device.

    planes: (1, 1, ...) GRAY or (1, 3, ...), float16 or float32. matrix: (3, 3), from YUV; None for RGB and GRAY.
    Values are clamped to [0, 1], and NaN becomes 0. The padding repeats the right and the bottom edge until h and w
    are multiples of 32.
    """
    planes = planes.float()
    if planes.shape[1] == 1:
        planes = planes.expand(1, 3, -1, -1)
    elif matrix is not None:
        planes = torch.einsum("rc,bchw->brhw", matrix.to(planes.device, non_blocking=planes.is_cuda), planes)
    return padded(planes.nan_to_num(0.0).clamp(0, 1), MULTIPLE)


def read_rgb(frame: vs.VideoFrame, matrix: Tensor) -> Tensor:
    """Return a frame of `formats.network_clip` as `as_rgb` makes it, on the CPU. matrix: unused for RGB and GRAY."""
    return as_rgb(network_planes(frame), matrix if frame.format.color_family == vs.ColorFamily.YUV else None)


def identical(a: vs.VideoFrame, b: vs.VideoFrame) -> bool:
    """Whether both frames hold the same pixels, alpha included."""
    if not all(np.array_equal(np.asarray(a[p]), np.asarray(b[p])) for p in range(a.format.num_planes)):
        return False
    alphas = [alpha(a), alpha(b)]
    return alphas[0] is None or alphas[1] is None or identical(alphas[0], alphas[1])


def alpha(frame: vs.VideoFrame) -> vs.VideoFrame | None:
    """Return the frame's alpha plane, a GRAY frame in its property `_Alpha`, if it has one.

    Raises FormatError where its size is not the frame's.
    """
    value = frame.props.get("_Alpha")
    if not isinstance(value, vs.VideoFrame):
        return None
    if (value.width, value.height) != (frame.width, frame.height):
        own = f"{frame.width}x{frame.height}"
        raise FormatError(f"clip: got an alpha of {value.width}x{value.height}, allowed: the picture's own size, {own}")
    return value


def new_frame(source: vs.VideoFrame) -> vs.VideoFrame:
    """Return a writable copy, without the host's reserved frame properties that are true of the source alone."""
    frame = source.copy()
    for name in ("_PictType", "_AbsoluteTime"):
        frame.props.pop(name, None)
    return frame
