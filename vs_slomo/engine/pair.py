"""What is kept of a pair of frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vs_slomo.model.box import Box
from vs_slomo.model.warp import Flows


@dataclass(frozen=True)
class Pair:
    """What is kept of a pair of frames: everything that does not depend on t.

    i0, i1: the networks' input, (1, 3, h, w).
    flows: F01 and F10 at that resolution, (1, 2, h, w) pixels.
    finer: the same at a higher resolution and in its pixels, where the flow stage finds it there.
    ratio: the resolution of `finest`, as a part of the picture's.
    box: the part of the picture that it covers; None is all of it.
    origin: x and y of the box's corner in what the networks saw, in pixels of the picture.
    bend: `curved.acceleration` at the resolution of `finest`; None is constant speed on a straight line.
    """

    i0: Tensor
    i1: Tensor
    flows: Flows
    finer: Flows | None = None
    ratio: float = 1.0
    box: Box | None = None
    origin: tuple[int, int] = (0, 0)
    bend: Tensor | None = None

    @property
    def finest(self) -> Flows:
        """F01 and F10 at the resolution that the motion has."""
        return self.finer or self.flows

    def in_box(self, field: Tensor) -> Tensor:
        """Return the box's part of a field (..., H, W) at the picture's resolution."""
        if self.box is None:
            return field
        (x, y), (left, top, right, bottom) = self.origin, self.box
        return field[..., y : y + bottom - top, x : x + right - left]

    def used_by(self, stream: torch.cuda.Stream) -> None:
        """Keep its memory until this stream, too, is done with it."""
        for x in (self.i0, self.i1, *self.flows, *(self.finer or ())):
            x.record_stream(stream)

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return sum(x.nbytes for x in (self.i0, self.i1, *self.flows, *(self.finer or ())))
