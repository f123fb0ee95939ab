"""The arithmetic of the fusion "agreement": keep the detail that both warped frames share.

A local Wiener filter (Lim, Two-Dimensional Signal and Image Processing, 1990, p. 548). What only one frame shows is
noise, or detail in a wrong place; averaging it gives blur and ghosts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .steady import enlarged, mean_around

DETAIL = 7
"""Detail is the difference to the mean over so many pixels squared."""
CELL = 8
"""Agreement and light are measured in cells of so many pixels squared."""
AGREEMENT, GRAIN = 3, 7
"""Cells squared over which agreement is measured, and over which a difference counts as light instead of grain."""
STILL = (0.125, 0.25)
"""Motion from frame to frame, in pixels: below the first it counts as none, above the second it counts in full."""
REST = (1.0, 2.0)
"""Motion from frame to frame, in pixels: below the first number the picture is at rest, above the second it moves."""
CHANGED = (0.01, 0.02)
"""Difference of both frames without their detail, as a part of the range: below the first the picture is at rest; above
the second something fades in or out."""
NOTHING = 1e-6
"""Power of detail below which nothing is shared and nothing lost, for planes that reach 1."""


def agreed(
    warped0: Tensor,
    warped1: Tensor,
    weight: Tensor,
    moved: Tensor,
    t: float | Tensor,
    peak: float = 1.0,
) -> Tensor:
    """Return the frame at t, (B, C, H, W), from both warped frames.

    warped0, warped1: (B, C, H, W). weight: frame 0's share, (B, 1, H, W) in [0, 1]. moved: the motion from frame to
    frame, (B, 2, H, W), pixels. peak: the planes' range.

    At rest the detail is the nearer frame's, so that new frames have the same grain as the others.
    """
    fused = torch.lerp(warped1, warped0, weight)
    smooth0, smooth1 = mean_around(warped0, DETAIL), mean_around(warped1, DETAIL)
    detail0, detail1 = warped0 - smooth0, warped1 - smooth1
    detail = torch.lerp(detail1, detail0, weight)
    difference = warped0 - warped1
    with torch.no_grad():
        shared, power = (
            coarse_mean(summed(x), AGREEMENT).add_(NOTHING * peak**2) for x in (detail0 * detail1, detail.square())
        )
        # Where only one frame is visible there is nothing to agree with. Squared: pictures look soft otherwise.
        lost = (1 - shared.div_(power).clamp_(0, 1)).mul_(4 * torch.addcmul(weight, weight, weight, value=-1)).square_()
        light = coarse_mean(difference, GRAIN)
        rest = below(length(moved), REST)
        whole = peak * warped0.shape[1]
        rest *= below(summed((smooth0 - smooth1).abs_()), (CHANGED[0] * whole, CHANGED[1] * whole))
        nearest = 1.0 * (t <= 0.5)
    left_out = lost * detail
    grain = (nearest - weight) * (difference - light)
    return torch.addcmul(fused - left_out, rest, left_out + grain)


def limits(plane0: Tensor, plane1: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest value of each channel in both planes, (B, C, 1, 1).

    Bicubic warps may leave this range.
    """
    least, most = ((f(plane0, (2, 3), keepdim=True), f(plane1, (2, 3), keepdim=True)) for f in (torch.amin, torch.amax))
    return torch.minimum(*least), torch.maximum(*most)


def clamped(made: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Return (B, C, H, W), clamped to `limits`."""
    return torch.minimum(torch.maximum(made, least), most)


def stilled(ft0: Tensor, ft1: Tensor) -> tuple[Tensor, Tensor]:
    """Return both flows, (B, 2, H, W) pixels, with very small motion set to 0: it would blur and follow the noise."""
    moving = 1 - below(length(ft1 - ft0), STILL)
    return ft0 * moving, ft1 * moving


def length(moved: Tensor) -> Tensor:
    """Return the longer component of each vector of (B, 2, H, W), (B, 1, H, W)."""
    return torch.maximum(moved[:, :1].abs(), moved[:, 1:].abs())


def below(x: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return 1 below the first of two bounds, 0 above the second, and a line between them."""
    full, none = bounds
    return (none - x).div_(none - full).clamp_(0, 1)


def summed(x: Tensor) -> Tensor:
    """Return the sum over the channels of (B, C, H, W), (B, 1, H, W)."""
    return x if x.shape[1] == 1 else x.sum(1, keepdim=True)


def coarse_mean(x: Tensor, cells: int) -> Tensor:
    """Return a coarse mean around each pixel of (B, C, H, W): over cells x cells cells of 8x8 pixels."""
    height, width = x.shape[-2:]
    means = mean_around(F.avg_pool2d(x, CELL, ceil_mode=True, count_include_pad=False), cells)
    return enlarged(means, CELL, CELL)[..., :height, :width]
