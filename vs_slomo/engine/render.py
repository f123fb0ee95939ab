"""The last step of a frame: bring the motion to the planes' size, warp both planes, fuse them, round.

`plain` is the formula in PyTorch, for every device. The others do the same in fewer passes over memory: `with_opencv`
on the CPU, and `by_kernel`, each fusion's Triton kernels, on CUDA.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vs_slomo.model.agreement import clamped, limits
from vs_slomo.model.bands import in_bands
from vs_slomo.model.fusion import PLAIN, Moving, Warped, Way
from vs_slomo.model.steady import enlarged
from vs_slomo.model.superslomo import Motion
from vs_slomo.model.warp import resize_field

from . import cuda

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
    Integer planes with a peak give the same type, rounded; all others float32.
    """
    peak = None if plane0.is_floating_point() else peak
    if plane0.device.type == "cuda" and cuda.kernels_work(plane0.device):
        made = by_kernel(motion, plane0, plane1, ratio_x, ratio_y, origin, peak)
        if made is not None:
            return made
    a, b = in_float(plane0), in_float(plane1)
    if motion.fusion is not PLAIN and peak is None and not torch.isfinite(a.square().sum() + b.square().sum()):
        motion = replace(motion, fusion=PLAIN)  # NaN, infinity, or overflow: it would spread to the neighbours
    dtype = torch.float32 if peak is None else plane0.dtype
    if a.device.type == "cpu" and EXACT_REMAP:
        return with_opencv(motion, a, b, ratio_x, ratio_y, origin, peak or 1, dtype)
    return rounded(plain(motion, a, b, ratio_x, ratio_y, origin, peak or 1), dtype, peak or 1)


def in_float(plane: Tensor) -> Tensor:
    """Return a plane as float32, on the CPU by one thread: several would wait for each other longer than it takes."""
    if plane.device.type != "cpu":
        return plane.float()
    return torch.from_numpy(plane.numpy().astype(np.float32, copy=False))


def rounded(values: Tensor, dtype: torch.dtype, peak: float) -> Tensor:
    """Return values in a type. For integers they are rounded and clamped to [0, peak]; floats stay float32."""
    return values if dtype.is_floating_point else values.round_().clamp_(0, peak).to(dtype)


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
    """Planes of batch 1 on the CPU, by OpenCV's remap: exact up to rounding, in half of the time or less.

    top: the row of the planes at which the flows begin; they may have fewer rows than the planes.
    """

    def __init__(self, top: int = 0) -> None:
        self.top = top

    def warp(self, moving: Moving, sampling: str) -> Warped:
        """Warp by `cv2.remap`."""
        interpolation = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}[sampling]
        height, width = moving.ft0.shape[-2:]
        across, down = torch.arange(width), torch.arange(self.top, self.top + height).view(-1, 1)
        sources = torch.empty(2, 2, height, width)
        warped = torch.empty(2, *moving.plane0.shape[:2], height, width)
        for flow, source in zip((moving.ft0, moving.ft1), sources, strict=True):
            torch.add(flow[0, 0], across, out=source[0])
            torch.add(flow[0, 1], down, out=source[1])
        for planes, source, targets in zip((moving.plane0, moving.plane1), sources, warped, strict=True):
            x_map, y_map = source.numpy()
            for plane, target in zip(planes[0].numpy(), targets[0].numpy(), strict=True):
                cv2.remap(plane, x_map, y_map, interpolation, dst=target, borderMode=cv2.BORDER_REPLICATE)
        return Warped(warped[0], warped[1], sources[0][None], sources[1][None])


def with_opencv(
    motion: Motion,
    plane0: Tensor,
    plane1: Tensor,
    ratio_x: float,
    ratio_y: float,
    origin: tuple[int, int] = (0, 0),
    peak: float = 1,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the same as `plain`, by OpenCV's resize and remap in bands of rows, `rounded` to a type."""
    (x, y), (height, width) = origin, plane0.shape[-2:]
    grow_x, grow_y = _growth(motion, ratio_x, ratio_y)
    fields = _fields(motion, min(grow_x, 1), min(grow_y, 1))
    fields.numpy()[0:4:2] *= grow_x
    fields.numpy()[1:4:2] *= grow_y
    t, fusion, reach = _number(motion), motion.fusion, motion.fusion.reach
    allowed = limits(plane0, plane1) if fusion.overshoots else None

    def fused(rows: slice) -> tuple[Tensor]:
        top, bottom = max(0, rows.start - reach), min(height, rows.stop + reach)
        own = _enlarged_rows(fields, max(grow_x, 1), max(grow_y, 1), y + top, y + bottom)
        own = own[None, ..., x : x + width]
        moving = Moving(plane0, plane1, own[:, 0:2], own[:, 2:4], own[:, 4:5], t, peak)
        made = fusion.fuse(moving, OpenCV(top))[..., rows.start - top : rows.stop - top, :]
        return (rounded(made if allowed is None else clamped(made, *allowed), dtype, peak),)

    return in_bands(fused, plane0, reach)[0]


def _enlarged_rows(fields: Tensor, grow_x: float, grow_y: float, top: int, bottom: int) -> Tensor:
    """Return rows `top` to `bottom` of (5, h, w) fields, enlarged by powers of two, as when all are."""
    if grow_x == grow_y == 1:
        return fields[:, top:bottom]
    first, last = max(0, math.floor(top / grow_y) - 1), math.ceil(bottom / grow_y) + 1  # a row more on both sides
    small = fields[:, first:last]
    large = enlarged(small[None], grow_x, grow_y)[0]
    return large[:, top - round(first * grow_y) : bottom - round(first * grow_y)]


def _growth(motion: Motion, ratio_x: float, ratio_y: float) -> tuple[float, float]:
    """Return the planes' size as a part of the motion's. ratio_x, ratio_y: as a part of the picture's."""
    own_x, own_y = motion.ratio
    return ratio_x / own_x, ratio_y / own_y


def _fields(motion: Motion, shrink_x: float, shrink_y: float) -> Tensor:
    """Return Ft0, Ft1 and the logit as one (5, h, w), shrunk for smaller planes. Flows keep the motion's own pixels."""
    parts = motion.ft0, motion.ft1, motion.logit
    if motion.ft0.device.type == "cpu":
        joined = torch.from_numpy(np.concatenate([x.float().numpy() for x in parts], 1))
    else:
        joined = torch.cat(parts, dim=1).float()
    return resize_field(joined, shrink_x, shrink_y)[0]


def _number(motion: Motion) -> float:
    """Return the motion's t."""
    if not isinstance(motion.t, float):
        raise TypeError("the motion's t must be a number")
    return motion.t


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
    grow = _growth(motion, ratio_x, ratio_y)
    fields = _fields(motion, min(grow[0], 1), min(grow[1], 1)).contiguous()
    return kernel(Given(fields, plane0.contiguous(), plane1.contiguous(), grow, origin, _number(motion), peak))
