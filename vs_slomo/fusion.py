"""How two warped frames become one.

"paper" is equation 5's weighted mean of bilinear warps. "agreement" goes on from there: the warps are bicubic, and of
their detail only as much is kept as both frames share (a local Wiener filter: Lim, Two-Dimensional Signal and Image
Processing, 1990, p. 548). What they do not share is noise, or misplaced: its mean is blur and ghosts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DETAIL = 7
"""Detail is what differs from the mean of so many pixels squared."""
CELL = 8
AGREEMENT, GRAIN = 3, 7
"""Agreement, and what is not grain but light, are means over so many cells squared of 8x8 pixels."""
STILL = (0.125, 0.25)
"""Pixels between both frames: none at all below, all of them above."""
REST = (1.0, 2.0)
"""Pixels between both frames: at rest below, moving above."""
CHANGED = (0.01, 0.02)
"""Of the range, what differs between both frames beside the detail: at rest below; what fades in is above."""
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
    smooth0, smooth1 = mean(warped0, DETAIL), mean(warped1, DETAIL)
    detail0, detail1 = warped0 - smooth0, warped1 - smooth1
    detail = torch.lerp(detail1, detail0, weight)
    difference = warped0 - warped1
    with torch.no_grad():
        shared, power = (
            around(x.sum(1, keepdim=True), AGREEMENT, mean) + NOTHING * peak**2
            for x in (detail0 * detail1, detail.square())
        )
        # Where one frame alone is visible there is nothing to agree with.
        # Squared, since without all that is in doubt pictures look soft.
        lost = ((1 - (shared / power).clamp_(0, 1)) * (4 * weight * (1 - weight))).square()
        light = around(difference, GRAIN, mean)
        changed = (smooth0 - smooth1).abs().mean(1, keepdim=True) / peak
        rest = below(length(moved), REST) * below(changed, CHANGED)
        nearest = 1.0 * (t <= 0.5)
    grain = rest * (nearest - weight) * (difference - light)
    return fused - (1 - rest) * lost * detail + grain


def within(made: Tensor, plane0: Tensor, plane1: Tensor) -> Tensor:
    """Return what was made, (B, C, H, W), without values beyond those of both planes: bicubic warps overshoot."""
    least, most = ((f(plane0, (2, 3), keepdim=True), f(plane1, (2, 3), keepdim=True)) for f in (torch.amin, torch.amax))
    return torch.minimum(torch.maximum(made, torch.minimum(*least)), torch.maximum(*most))


def stilled(ft0: Tensor, ft1: Tensor) -> tuple[Tensor, Tensor]:
    """Return both flows, (B, 2, H, W), without what is next to no motion: it would blur, and follow the noise."""
    moving = 1 - below(length(ft1 - ft0), STILL)
    return ft0 * moving, ft1 * moving


def length(moved: Tensor) -> Tensor:
    """Return how far (B, 2, H, W) lead, the longer of both ways, (B, 1, H, W)."""
    return torch.maximum(moved[:, :1].abs(), moved[:, 1:].abs())


def below(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return 1 below the first of two bounds, 0 above the second, and a line between them."""
    full, none = bounds
    return ((none - x) / (none - full)).clamp_(0, 1)


def around(x: Tensor, cells: int, mean: Callable[[Tensor, int], Tensor] = mean) -> Tensor:
    """Return the mean around each pixel of (B, C, H, W), coarsely: over cells x cells cells."""
    height, width = x.shape[-2:]
    means = mean(F.avg_pool2d(x, CELL, ceil_mode=True, count_include_pad=False), cells)
    return F.interpolate(means, scale_factor=CELL, mode="bilinear", align_corners=False)[..., :height, :width]
