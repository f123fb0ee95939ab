"""Motion that speeds up, slows down and turns: a parabola instead of the paper's straight line."""

from __future__ import annotations

import torch
from torch import Tensor

from .warp import Flows


def bent(at_t: Flows, t: float | Tensor, bend: Tensor | None) -> Flows:
    """Return Ft0 and Ft1 of motion along a parabola, from those of motion along a straight line.

    at_t: (B, 2, H, W) each, pixels. t: in (0, 1). bend: `acceleration`, at the same resolution; None is none.
    Both ways lead through the same places in frames 0 and 1. At t the parabola lags t(1-t)/2 · bend behind the line.
    """
    if bend is None:
        return at_t
    ft0, ft1 = at_t
    lag = (t * (1 - t) / 2) * bend
    return ft0 + lag, ft1 + lag


def acceleration(flows: Flows, back: Tensor, ahead: Tensor, before: float = 1, after: float = 1) -> Tensor:
    """Return the acceleration of what is seen between frames 0 and 1, (B, 2, H, W).

    Its unit is pixels per square of the time between both frames.

    A parabola through three frames (quadratic interpolation: Xu et al., NeurIPS 2019, equation 3) is found twice: with
    the previous frame, and with the next one. The result is what both agree on: 0 where their signs differ, else their
    harmonic mean (van Leer's limiter). That stays near the smaller of both, so that a wrong flow or a sudden change
    bends the motion little or not at all.

    flows: F01 and F10. back: flow from frame 0 to the previous frame; ahead: from frame 1 to the next one. All are
    (B, 2, H, W), in pixels. before, after: the time from the previous frame to frame 0 and from frame 1 to the next
    one, divided by the time from frame 0 to frame 1.
    """
    f01, f10 = flows
    a0 = (back + before * f01) * (2 / (before * (1 + before)))
    a1 = (ahead + after * f10) * (2 / (after * (1 + after)))
    return torch.where(a0 * a1 > 0, 2 * a0 * a1 / (a0 + a1), 0.0)
