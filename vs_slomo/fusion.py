"""How two warped frames become one.

"paper" is equation 5's weighted mean of bilinear warps. "agreement" goes on from there: the warps are bicubic, and of
their detail only as much is kept as both frames share. What they do not share is noise, or detail that is misplaced:
the mean of it is blur and ghosts, not the picture (a local Wiener filter: Lim, 1990, section 9.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DETAIL = 7
"""Detail is what differs from the mean of so many pixels squared."""
CELL, CELLS = 8, 3
"""Agreement is measured over cells of 8x8 pixels, 3x3 of them around each."""
GRAIN = 25
"""At rest, what differs from the mean of so many pixels squared comes from one frame."""
REST = (0.5, 1.0)
"""Pixels between both frames: at rest below, moving above."""
LIGHT = (0.005, 0.01)
"""Of the range, the mean difference of both frames around a pixel: at rest below, brighter or darker above."""
NOTHING = 1e-6
"""Detail of so little power, for planes that reach 1, is neither shared nor not."""


def mean(planes: Tensor, size: int) -> Tensor:
    """Return the mean of size x size pixels around each of (B, C, H, W), the border repeated."""
    edge = size // 2
    across = F.avg_pool2d(F.pad(planes, (edge, edge, 0, 0), mode="replicate"), (1, size), 1)
    return F.avg_pool2d(F.pad(across, (0, 0, edge, edge), mode="replicate"), (size, 1), 1)


def weight0(logit: Tensor, t: float | Tensor) -> Tensor:
    """Frame 0's share in the frame at t: (1-t)·V0 / ((1-t)·V0 + t·V1) with V0 = sigmoid(logit), V1 = 1 - V0.

    V0 / V1 is exp(logit), so the fraction is a sigmoid itself and needs no guard against a zero below it.
    """
    odds = torch.log((1 - t) / t) if isinstance(t, Tensor) else math.log((1 - t) / t)
    return torch.sigmoid(logit + odds)


def fuse(warped0: Tensor, warped1: Tensor, logit: Tensor, t: float | Tensor) -> Tensor:
    """Equation 5's weighted sum of both warped frames, (B, C, H, W), any C."""
    return torch.lerp(warped1, warped0, weight0(logit, t).to(warped0.dtype))


def agreed(
    warped0: Tensor,
    warped1: Tensor,
    weight: Tensor,
    moved: Tensor,
    t: float | Tensor,
    peak: float = 1.0,
    mean: Callable[[Tensor, int], Tensor] = mean,
) -> Tensor:
    """Return the frame at t, (B, C, H, W), of both warped frames and frame 0's weight, (B, 1, H, W).

    moved: the motion between both frames, (B, 2, H, W), pixels. peak: the planes' range.

    At rest the detail is the nearer frame's, so that new frames have the grain of the others.
    """
    fused = torch.lerp(warped1, warped0, weight)
    detail0, detail1 = warped0 - mean(warped0, DETAIL), warped1 - mean(warped1, DETAIL)
    detail = torch.lerp(detail1, detail0, weight)
    with torch.no_grad():
        shared, power = (around(x.sum(1, keepdim=True), mean) for x in (detail0 * detail1, detail.square()))
        nothing = NOTHING * peak**2
        keep = ((shared + nothing) / (power + nothing)).clamp_(0, 1)
        keep = F.interpolate(keep, scale_factor=CELL, mode="bilinear", align_corners=False)
        # Where one frame alone is visible there is nothing to agree with.
        lost = (1 - keep[..., : weight.shape[-2], : weight.shape[-1]]) * (4 * weight * (1 - weight))
        difference = warped0 - warped1
        light = mean(difference, GRAIN)
        way = torch.maximum(moved[:, :1].abs(), moved[:, 1:].abs())
        rest = below(way, REST) * below(light.abs().mean(1, keepdim=True) / peak, LIGHT)
        nearest = 1.0 * (t <= 0.5)
    grain = rest * (nearest - weight) * (difference - light)
    return fused - (1 - rest) * lost * detail + grain


def below(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return 1 below the first of two bounds, 0 above the second, and a line between them."""
    full, none = bounds
    return ((none - x) / (none - full)).clamp_(0, 1)


def around(x: Tensor, mean: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Return the mean of what lies around each cell, (B, 1, H / 8, W / 8)."""
    return mean(F.avg_pool2d(x, CELL, ceil_mode=True, count_include_pad=False), CELLS)
