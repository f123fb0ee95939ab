"""How two warped frames become one: one class for each fusion, and their registry `FUSIONS`.

A fusion decides how planes are sampled and how both warped planes are combined. It is given a `Way`, which knows how
planes are warped on a device: plain PyTorch (`PyTorch`, here), or OpenCV (`engine.render`).

A new fusion is a class here and a line in `FUSIONS`. This module does not load torch before a fusion runs, so that
the names of all fusions are cheap to ask for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Warped(NamedTuple):
    """Both planes, warped to the frame at t.

    plane0, plane1: (B, C, H, W). source0, source1: the position in each frame that a pixel comes from, (B, 2, H, W)
    pixels, from any origin that both share.
    """

    plane0: Tensor
    plane1: Tensor
    source0: Tensor
    source1: Tensor

    @property
    def moved(self) -> Tensor:
        """The motion from frame 0 to frame 1, (B, 2, H, W), pixels."""
        return self.source1 - self.source0


class Moving(NamedTuple):
    """What is fused: both frames' planes and their motion at t, all of one size.

    plane0, plane1: (B, C, H, W) float. ft0, ft1: the flows from the frame at t to both frames, (B, 2, H, W), pixels.
    logit: of V0, (B, 1, H, W). t: in (0, 1), a number or (B, 1, 1, 1). peak: the planes' range.
    """

    plane0: Tensor
    plane1: Tensor
    ft0: Tensor
    ft1: Tensor
    logit: Tensor
    t: float | Tensor
    peak: float = 1.0


class Way(ABC):
    """How planes are warped on a device."""

    @abstractmethod
    def warp(self, moving: Moving, sampling: str) -> Warped:
        """Return both planes as seen through ft0 and ft1. sampling: "bilinear" or "bicubic"."""


class PyTorch(Way):
    """The formulas in PyTorch: for every device, with gradients."""

    def warp(self, moving: Moving, sampling: str) -> Warped:
        """Warp by `warp.backwarp`."""
        from .warp import backwarp

        plane0, plane1, ft0, ft1, *_ = moving
        return Warped(backwarp(plane0, ft0, sampling), backwarp(plane1, ft1, sampling), ft0, ft1)


class Fusion(ABC):
    """A way to combine both warped frames."""

    reach = 0
    """How many pixels away the motion and the warped planes still change a pixel of the result; a multiple of 8."""
    overshoots = False
    """Whether values may leave the range of both planes: then the caller clamps them."""

    @abstractmethod
    def fuse(self, moving: Moving, way: Way) -> Tensor:
        """Return the frame at t, (B, C, H, W)."""


class Weighted(Fusion):
    """Equation 5 of the paper: the mean of bilinear warps, weighted by visibility and time."""

    sampling = "bilinear"

    def fuse(self, moving: Moving, way: Way) -> Tensor:
        """Warp and mix."""
        warped = way.warp(moving, self.sampling)
        return mixed(warped.plane0, warped.plane1, moving.logit, moving.t)


class Sharp(Weighted):
    """The same with bicubic warps, which keep more detail: for a draft."""

    sampling, overshoots = "bicubic", True


class Agreement(Fusion):
    """Bicubic warps, and of their detail only as much as both frames share; see `agreement`."""

    reach, overshoots = 32, True

    def fuse(self, moving: Moving, way: Way) -> Tensor:
        """Warp, and keep the detail that agrees."""
        from .agreement import agreed, stilled

        ft0, ft1 = stilled(moving.ft0, moving.ft1)
        warped = way.warp(moving._replace(ft0=ft0, ft1=ft1), "bicubic")
        weight = weight0(moving.logit, moving.t)
        return agreed(warped.plane0, warped.plane1, weight, warped.moved, moving.t, moving.peak)


FusionName = Literal["paper", "agreement"]
FUSIONS: dict[FusionName, Fusion] = {"paper": Weighted(), "agreement": Agreement()}
"""Every fusion by its name in a model file; the first is for files that name none."""
DEFAULT: FusionName = next(iter(FUSIONS))
DRAFT = Sharp()
"""The fusion of a flow stage that no network refines."""
PLAIN = FUSIONS[DEFAULT]
"""What other fusions fall back to where a plane holds NaN, infinity, or numbers whose squares overflow."""


def weight0(logit: Tensor, t: float | Tensor) -> Tensor:
    """Return frame 0's share in the frame at t: (1-t)·V0 / ((1-t)·V0 + t·V1) with V0 = sigmoid(logit), V1 = 1 - V0.

    V0 / V1 is exp(logit), so the fraction is a sigmoid itself and needs no guard against division by zero.
    """
    from .steady import log, sigmoid

    return sigmoid(logit + (math.log((1 - t) / t) if isinstance(t, float | int) else log((1 - t) / t)))


def mixed(warped0: Tensor, warped1: Tensor, logit: Tensor, t: float | Tensor) -> Tensor:
    """Return equation 5's weighted sum of both warped frames, (B, C, H, W), any C."""
    import torch

    return torch.lerp(warped1, warped0, weight0(logit, t).to(warped0.dtype))
