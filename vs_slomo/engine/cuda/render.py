"""Each fusion's Triton kernels: the fields enlarged, both planes warped and fused, the result rounded. Needs Triton."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vs_slomo.model import agreement as formula
from vs_slomo.model.fusion import Agreement, Fusion, Weighted

BLOCK = 256
"""Pixels of a row that one program makes."""
COLUMNS = 16
"""Cells of a row that one program measures."""
SMOOTHED = 128
"""Cells that one program smooths."""


class Given(NamedTuple):
    """What every fusion's kernels get.

    fields: Ft0, Ft1 and the logit, (5, h, w) float32, no finer than the planes. plane0, plane1: (1, C, h, w).
    grow: the planes' size as a part of the fields' motion, in x and y. origin: x and y in the motion where the planes
    begin, in their own pixels. t: in (0, 1). peak: the largest value of integer planes; None for floats.
    """

    fields: Tensor
    plane0: Tensor
    plane1: Tensor
    grow: tuple[float, float]
    origin: tuple[int, int]
    t: float
    peak: int | None

    @property
    def odds(self) -> float:
        """What is added to the logit for t; see `fusion.weight0`."""
        return math.log((1 - self.t) / self.t)

    def new_frame(self) -> Tensor:
        """Return memory for the frame: of the planes' type for integers, else float32."""
        return torch.empty_like(self.plane0, dtype=torch.float32 if self.peak is None else self.plane0.dtype)


def weighted(given: Given) -> Tensor:
    """Equation 5, by one kernel that reads and writes every pixel once."""
    from .kernels import render_kernel

    fields, plane0, plane1, grow, origin, _, peak = given
    channels, height, width = plane0.shape[-3:]
    out = given.new_frame()
    render_kernel[(-(-width // BLOCK), height)](
        *(fields, plane0, plane1, out, *fields.shape[1:], height, width, *origin, *grow, given.odds, float(peak or 0)),
        CHANNELS=channels,
        INTEGER=peak is not None,
        BLOCK=BLOCK,
    )
    return out


def agreement(given: Given) -> Tensor:
    """Fusion by agreement, by four kernels; nothing is copied to the CPU, and the CPU waits for nothing."""
    from .agreement import combine_kernel, measure_kernel, smooth_kernel, warp_kernel

    fields, plane0, plane1, grow, origin, t, peak = given
    channels, height, width = plane0.shape[-3:]
    rows, columns = -(-height // formula.CELL), -(-width // formula.CELL)
    warped, means = torch.empty(2, 2, channels, height, width, device=fields.device)
    told = torch.empty(2, height, width, device=fields.device)
    measured, smooth = torch.empty(2, 2 + channels, rows, columns, device=fields.device)
    both = torch.cat((plane0, plane1)).float()
    finite = torch.isfinite(both.square().sum()).to(torch.int32).view(1)
    bounds = torch.stack((both.amin((0, 2, 3)), both.amax((0, 2, 3))))
    top, out, line = float(peak or 1), given.new_frame(), (-(-width // BLOCK), height)
    warp_kernel[line](
        *(fields, plane0, plane1, finite, warped, told, *fields.shape[1:], height, width, *origin, *grow, given.odds),
        *(*formula.STILL, *formula.REST),
        CHANNELS=channels,
        BLOCK=BLOCK,
    )
    measure_kernel[(-(-columns // COLUMNS), rows)](
        *(warped, told, means, measured, height, width, rows, columns), CHANNELS=channels, COLUMNS=COLUMNS
    )
    smooth_kernel[(-(-rows * columns // SMOOTHED), 2 + channels)](measured, smooth, rows, columns, BLOCK=SMOOTHED)
    combine_kernel[line](
        *(warped, told, means, smooth, bounds, finite, out, height, width, rows, columns, top, float(t <= 0.5)),
        *(*formula.CHANGED, formula.NOTHING * top**2),
        CHANNELS=channels,
        INTEGER=peak is not None,
        BLOCK=BLOCK,
    )
    return out


KERNELS: dict[type[Fusion], Callable[[Given], Tensor]] = {Weighted: weighted, Agreement: agreement}
"""The fusions that have kernels of their own; any other one runs in PyTorch."""
