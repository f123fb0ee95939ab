"""Convert between code values and light, as ITU-R BT.709, BT.2100 and IEC 61966-2-1 define it.

Light adds up while a shutter is open, and where two pictures are mixed; code values do not. Here 1 is the brightest
light. It is the scene's light, except for PQ, which codes the display's. Numbers of `_Transfer` are from ITU-T H.273.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vs_slomo.model.steady import exp, log, power


@dataclass(frozen=True)
class Power:
    """code = (1 + a) light^(1 / gamma) - a. Where a is not 0, it is a straight line of slope `slope` near black."""

    gamma: float
    a: float = 0.0
    slope: float = 1.0
    knee: float = 0.0  # in light

    def light(self, code: Tensor) -> Tensor:
        """Undo the curve."""
        curve = power(((code + self.a) / (1 + self.a)).clamp(min=0), self.gamma)
        return torch.where(code < self.knee * self.slope, code / self.slope, curve)

    def code(self, light: Tensor) -> Tensor:
        """Apply the curve."""
        curve = (1 + self.a) * power(light.clamp(min=0), 1 / self.gamma) - self.a
        return torch.where(light < self.knee, light * self.slope, curve)


BT709 = Power(1 / 0.45, 0.09929682680944, 4.5, 0.018053968510807)
POWERS = {4: Power(2.2), 5: Power(2.8), 13: Power(2.4, 0.055, 12.92, 0.0031308)}
"""By `_Transfer`; the other numbers are BT.709's curve, or close to it."""

# BT.2100, table 4 and table 5.
M1, M2, C1, C2, C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
A, B, C = 0.17883277, 0.28466892, 0.55991073


def to_light(code: Tensor, transfer: int) -> Tensor:
    """Return the light in [0, 1] of code values in [0, 1], of any shape. transfer: a number of H.273."""
    match transfer:
        case 8:  # linear
            return code
        case 16:  # PQ
            root = power(code.clamp(min=0), 1 / M2)
            return power((root - C1).clamp(min=0) / (C2 - C3 * root), 1 / M1)
        case 18:  # HLG
            return torch.where(code <= 0.5, code**2 / 3, (exp((code - C) / A) + B) / 12)
        case _:
            return POWERS.get(transfer, BT709).light(code)


def from_light(light: Tensor, transfer: int) -> Tensor:
    """Undo `to_light`."""
    match transfer:
        case 8:  # linear
            return light
        case 16:  # PQ
            root = power(light.clamp(min=0), M1)
            return power((C1 + C2 * root) / (1 + C3 * root), M2)
        case 18:  # HLG
            high = A * log((12 * light - B).clamp(min=1e-6)) + C
            return torch.where(light <= 1 / 12, (3 * light.clamp(min=0)).sqrt(), high)
        case _:
            return POWERS.get(transfer, BT709).code(light)
