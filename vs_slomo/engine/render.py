"""The last step of a frame: the motion brought to the planes' size, both planes moved and mixed, the result rounded.

`plain` is the formula in PyTorch, for every device. The others do the same in fewer passes over memory: with OpenCV
on the CPU, and, as the paper fuses, as one Triton kernel on CUDA.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from dataclasses import replace

import cv2
import torch
from torch import Tensor

from vs_slomo.model.fusion import agreed, stilled, within
from vs_slomo.model.superslomo import Motion
from vs_slomo.model.warp import resize_field

EXACT_REMAP = int(cv2.__version__.partition(".")[0]) >= 5
"""Before version 5, OpenCV's remap knows only 32nds of a pixel."""
BLOCK = 256


def render(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: int | None = None,
) -> Tensor:
    """Return planes (1, C, h, w) at the motion's time, from those of both frames, on their device.

    motion: its t is a number. ratio_x, ratio_y: the planes' resolution as a part of the motion's, powers of two.
    origin: x and y where the planes begin, in their own pixels. peak: the largest value that integers may have.
    Integer planes give the same type, rounded; all others float32.
    """
    peak = None if plane0.is_floating_point() else peak
    if plane0.device.type == "cuda" and motion.fusion == "paper" and has_triton():
        return fused(motion, plane0, plane1, ratio_x, ratio_y, origin, peak)
    a, b = plane0.float(), plane1.float()
    if motion.fusion != "paper" and peak is None and not torch.isfinite(a.square().sum() + b.square().sum()):
        motion = replace(motion, fusion="paper")  # a mean would spread what is no number, or whose square is none
    way = with_opencv if a.device.type == "cpu" and EXACT_REMAP else plain
    values = way(motion, a, b, ratio_x, ratio_y, origin, peak or 1)
    return values if peak is None else values.round_().clamp_(0, peak).to(plane0.dtype)


def plain(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: float = 1,
) -> Tensor:
    """Return what `Motion` says, float32: the twin of the others."""
    return motion.resized(ratio_x, ratio_y).render(plane0, plane1, *origin, peak)


def with_opencv(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: float = 1,
) -> Tensor:
    """Return the same, by OpenCV's resize and remap: exact to a float's rounding, half of the time or less."""
    (x, y), (height, width) = origin, plane0.shape[-2:]
    fields = _fields(motion, min(ratio_x, 1), min(ratio_y, 1))
    fields[0:4:2] *= ratio_x
    fields[1:4:2] *= ratio_y
    if max(ratio_x, ratio_y) > 1:
        small = fields
        fields = torch.empty(5, round(small.shape[1] * max(ratio_y, 1)), round(small.shape[2] * max(ratio_x, 1)))
        for field, target in zip(small.numpy(), fields.numpy(), strict=True):
            cv2.resize(field, target.shape[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    fields = fields[:, y : y + height, x : x + width]
    weight = torch.sigmoid(fields[4] + _odds(motion))
    agreeing, way = motion.fusion != "paper", cv2.INTER_LINEAR
    if agreeing:
        fields[0:4] = torch.cat(stilled(fields[None, 0:2], fields[None, 2:4]), dim=1)[0]
        way = cv2.INTER_CUBIC
    fields[0:4:2] += torch.arange(width)
    fields[1:4:2] += torch.arange(height).view(-1, 1)
    warped = torch.empty(2, *plane0.shape)
    for planes, field, targets in zip((plane0, plane1), (fields[0:2], fields[2:4]), warped, strict=True):
        x_map, y_map = field.numpy()
        for plane, target in zip(planes[0].numpy(), targets[0].numpy(), strict=True):
            cv2.remap(plane, x_map, y_map, way, dst=target, borderMode=cv2.BORDER_REPLICATE)
    if not agreeing:
        return torch.lerp(warped[1], warped[0], weight)
    between = (fields[2:4] - fields[0:2])[None]
    return within(agreed(warped[0], warped[1], weight[None, None], between, motion.t, peak, _mean), plane0, plane1)


def _mean(planes: Tensor, size: int) -> Tensor:
    """Return `fusion.mean` by OpenCV: its time does not grow with the size."""
    out = torch.empty_like(planes)
    for plane, target in zip(planes[0].numpy(), out[0].numpy(), strict=True):
        cv2.blur(plane, (size, size), dst=target, borderType=cv2.BORDER_REPLICATE)
    return out


def _fields(motion: Motion, shrink_x: float, shrink_y: float) -> Tensor:
    """Return Ft0 and Ft1 in the motion's own pixels and the logit as one (5, h, w), shrunk for smaller planes."""
    return resize_field(torch.cat((motion.ft0, motion.ft1, motion.logit), dim=1).float(), shrink_x, shrink_y)[0]


def _odds(motion: Motion) -> float:
    """Return what is added to the logit for t, see `fusion.weight0`."""
    if not isinstance(motion.t, float):
        raise TypeError("the motion's t must be a number")
    return math.log((1 - motion.t) / motion.t)


@functools.cache
def has_triton() -> bool:
    """Whether there is Triton, and what it needs to build a kernel."""
    return importlib.util.find_spec("triton") is not None


def fused(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: int | None = None,
) -> Tensor:
    """Return the same as `render`, by one kernel: every pixel is read and written once."""
    from .cuda.kernels import render_kernel

    fields = _fields(motion, min(ratio_x, 1), min(ratio_y, 1)).contiguous()
    plane0, plane1 = plane0.contiguous(), plane1.contiguous()
    channels, height, width = plane0.shape[-3:]
    out = torch.empty_like(plane0, dtype=plane0.dtype if peak is not None else torch.float32)
    render_kernel[(-(-width // BLOCK), height)](
        fields,
        plane0,
        plane1,
        out,
        *fields.shape[1:],
        height,
        width,
        *origin,
        ratio_x,
        ratio_y,
        _odds(motion),
        float(peak or 0),
        CHANNELS=channels,
        INTEGER=peak is not None,
        BLOCK=BLOCK,
    )
    return out
