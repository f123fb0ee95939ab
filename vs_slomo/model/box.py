"""A part of a picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor


class Box(NamedTuple):
    """A part of the picture: its edges in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    def of[T: (Tensor, np.ndarray)](self, plane: T, ratio_x: float = 1, ratio_y: float = 1) -> T:
        """Return the view of this part of a plane (..., h, w).

        ratio_x, ratio_y: the plane's size as a part of the picture's.
        """
        rows = slice(round(self.top * ratio_y), round(self.bottom * ratio_y))
        return plane[..., rows, round(self.left * ratio_x) : round(self.right * ratio_x)]
