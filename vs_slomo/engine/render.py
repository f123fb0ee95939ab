"""The last step of a frame: bring the motion to the planes' size, warp both planes, fuse them, round.

`plain` is the formula in PyTorch, for every device. The others do the same in fewer passes over memory: `with_opencv`
on the CPU, and `by_kernel`, each fusion's Triton kernels, on CUDA.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import replace

import cv2
import torch
from torch import Tensor

from vs_slomo.model.fusion import PLAIN, Moving, Warped, Way
from vs_slomo.model.superslomo import Motion
from vs_slomo.model.warp import resize_field

EXACT_REMAP = int(cv2.__version__.partition(".")[0]) >= 5
"""Before version 5, OpenCV's remap rounds positions to 1/32 of a pixel."""


def render(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: int | None = None,
) -> Tensor:
    """Return planes (1, C, h, w) at the motion's time, made from both frames' planes, on their device.

    motion: its t is a number. ratio_x, ratio_y: the planes' size as a part of the picture's; powers of two.
    origin: x and y in the picture where the planes begin, in their own pixels. peak: the largest value of integers.
    Integer planes give the same type, rounded; all others float32.
    """
    peak = None if plane0.is_floating_point() else peak
    if plane0.device.type == "cuda" and has_triton():
        made = by_kernel(motion, plane0, plane1, ratio_x, ratio_y, origin, peak)
        if made is not None:
            return made
    a, b = plane0.float(), plane1.float()
    if motion.fusion.spreads and peak is None and not torch.isfinite(a.square().sum() + b.square().sum()):
        motion = replace(motion, fusion=PLAIN)  # NaN, infinity, or overflow: it would spread to the neighbours
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
    """Return what `Motion.render` makes, float32: the others must give the same."""
    return motion.for_planes(ratio_x, ratio_y).render(plane0, plane1, *origin, peak)


class OpenCV(Way):
    """Planes of batch 1 on the CPU, by OpenCV's remap and blur: exact up to rounding, in half of the time or less."""

    def warp(self, moving: Moving, sampling: str) -> Warped:
        """Warp by `cv2.remap`."""
        interpolation = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}[sampling]
        height, width = moving.plane0.shape[-2:]
        across, down = torch.arange(width), torch.arange(height).view(-1, 1)
        sources, warped = torch.empty(2, 2, height, width), torch.empty(2, *moving.plane0.shape)
        for flow, source in zip((moving.ft0, moving.ft1), sources, strict=True):
            torch.add(flow[0, 0], across, out=source[0])
            torch.add(flow[0, 1], down, out=source[1])
        for planes, source, targets in zip((moving.plane0, moving.plane1), sources, warped, strict=True):
            x_map, y_map = source.numpy()
            for plane, target in zip(planes[0].numpy(), targets[0].numpy(), strict=True):
                cv2.remap(plane, x_map, y_map, interpolation, dst=target, borderMode=cv2.BORDER_REPLICATE)
        return Warped(warped[0], warped[1], sources[0][None], sources[1][None])

    def mean(self, planes: Tensor, size: int) -> Tensor:
        """Average by `cv2.blur`, whose time does not grow with the size."""
        out = torch.empty_like(planes)
        for plane, target in zip(planes[0].numpy(), out[0].numpy(), strict=True):
            cv2.blur(plane, (size, size), dst=target, borderType=cv2.BORDER_REPLICATE)
        return out


def with_opencv(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: float = 1,
) -> Tensor:
    """Return the same as `plain`, by OpenCV's resize, remap and blur."""
    (x, y), (height, width) = origin, plane0.shape[-2:]
    grow_x, grow_y = _growth(motion, ratio_x, ratio_y)
    fields = _fields(motion, min(grow_x, 1), min(grow_y, 1))
    fields[0:4:2] *= grow_x
    fields[1:4:2] *= grow_y
    if max(grow_x, grow_y) > 1:
        small = fields
        fields = torch.empty(5, round(small.shape[1] * max(grow_y, 1)), round(small.shape[2] * max(grow_x, 1)))
        for field, target in zip(small.numpy(), fields.numpy(), strict=True):
            cv2.resize(field, target.shape[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    fields = fields[None, :, y : y + height, x : x + width]
    moving = Moving(plane0, plane1, fields[:, 0:2], fields[:, 2:4], fields[:, 4:5], _number(motion), peak)
    return motion.fusion.fuse(moving, OpenCV())


def _growth(motion: Motion, ratio_x: float, ratio_y: float) -> tuple[float, float]:
    """Return the planes' size as a part of the motion's. ratio_x, ratio_y: as a part of the picture's."""
    own_x, own_y = motion.ratio
    return ratio_x / own_x, ratio_y / own_y


def _fields(motion: Motion, shrink_x: float, shrink_y: float) -> Tensor:
    """Return Ft0, Ft1 and the logit as one (5, h, w), shrunk for smaller planes. Flows keep the motion's own pixels."""
    return resize_field(torch.cat((motion.ft0, motion.ft1, motion.logit), dim=1).float(), shrink_x, shrink_y)[0]


def _number(motion: Motion) -> float:
    """Return the motion's t."""
    if not isinstance(motion.t, float):
        raise TypeError("the motion's t must be a number")
    return motion.t


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def by_kernel(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: int | None = None,
) -> Tensor | None:
    """Return the same as `render`, by Triton kernels; None where the fusion has none."""
    from .cuda.render import KERNELS, Given

    kernel = KERNELS.get(type(motion.fusion))
    if kernel is None:
        return None
    fields = motion.ft0.contiguous(), motion.ft1.contiguous(), motion.logit.contiguous()
    planes, grow = (plane0.contiguous(), plane1.contiguous()), _growth(motion, ratio_x, ratio_y)
    return kernel(Given(*fields, *planes, grow, origin, _number(motion), peak))
