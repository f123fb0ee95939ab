"""Each fusion's Triton kernels: the motion brought to the planes' size, both warped, fused, rounded. Needs Triton."""

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
SMOOTHED = 128
"""Cells that one program smooths."""
PRECISION = "ieee" if torch.version.hip else "tf32x3"
"""Of matrix products. With ones for a factor, "tf32x3" keeps 22 of 24 bits; ROCm does not know it everywhere."""


class Given(NamedTuple):
    """What every fusion's kernels get.

    ft0, ft1, logit: (1, C, h, w), the motion at its own size. plane0, plane1: (1, C, h, w). grow: the planes' size as a
    part of the motion's, in x and y. origin: x and y in the motion where the planes begin, in their own pixels.
    t: in (0, 1). peak: the largest value of integer planes; None for floats.
    """

    ft0: Tensor
    ft1: Tensor
    logit: Tensor
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

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What every kernel reads."""
        return self.ft0, self.ft1, self.logit, self.plane0, self.plane1

    @property
    def numbers(self) -> tuple[float, ...]:
        """Sizes and places of the tensors, and the odds."""
        return *self.ft0.shape[-2:], *self.plane0.shape[-2:], *self.origin, *self.grow, self.odds

    @property
    def kind(self) -> dict[str, int | bool]:
        """What every kernel is compiled for."""
        shrink_x, shrink_y = (max(1, round(1 / x)) for x in self.grow)
        channels = self.plane0.shape[-3]
        return {"CHANNELS": channels, "INTEGER": self.peak is not None, "SHRINK_X": shrink_x, "SHRINK_Y": shrink_y}

    def new_frame(self) -> Tensor:
        """Return memory for the frame: of the planes' type for integers, else float32."""
        return torch.empty_like(self.plane0, dtype=torch.float32 if self.peak is None else self.plane0.dtype)


def weighted(given: Given) -> Tensor:
    """Equation 5, by one kernel that reads and writes every pixel once."""
    from .kernels import render_kernel

    height, width = given.plane0.shape[-2:]
    out = given.new_frame()
    grid = -(-width // BLOCK), height
    render_kernel[grid](*given.tensors, out, *given.numbers, float(given.peak or 0), **given.kind, BLOCK=BLOCK)
    return out


def agreement(given: Given) -> Tensor:
    """Fusion by agreement, by three kernels; nothing is copied to the CPU, and the CPU waits for nothing."""
    from .agreement import INNER, combine_kernel, measure_kernel, smooth_kernel

    channels, height, width = given.plane0.shape[-3:]
    rows, columns = -(-height // formula.CELL), -(-width // formula.CELL)
    grid = -(-width // INNER.value), -(-height // INNER.value)
    tiles, values = grid[0] * grid[1], 2 * channels + 1
    cells, smooth = (torch.empty(2 + channels, rows, columns, device=given.ft0.device) for _ in range(2))
    ranges, whole = (torch.empty(values, n, device=given.ft0.device) for n in (tiles, 1))
    top, out = float(given.peak or 1), given.new_frame()
    measure_kernel[grid](
        *(*given.tensors, cells, ranges, *given.numbers, *formula.STILL, rows, columns),
        **given.kind,
        PRECISION=PRECISION,
    )
    smooth_kernel[(-(-rows * columns // SMOOTHED), 3 + channels)](
        *(cells, ranges, smooth, whole, rows, columns, tiles), CHANNELS=channels, BLOCK=SMOOTHED
    )
    combine_kernel[grid](
        *(*given.tensors, smooth, whole, out, *given.numbers, *formula.STILL, *formula.REST, rows, columns),
        *(top, float(given.t <= 0.5), *formula.CHANGED, formula.NOTHING * top**2),
        **given.kind,
        PRECISION=PRECISION,
    )
    return out


KERNELS: dict[type[Fusion], Callable[[Given], Tensor]] = {Weighted: weighted, Agreement: agreement}
"""The fusions that have kernels of their own; any other one runs in PyTorch."""
