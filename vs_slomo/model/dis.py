"""Classical optical flow, and the motion that follows from it without a network."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .curved import bent
from .fusion import PLAIN, Fusion
from .superslomo import Motion, flows_at
from .warp import Flows, backwarp, round_trip

DOUBT = 0.5
"""How much less a warp counts whose flow misses its start: so much logit for each tolerance that it misses by."""
MOST_DOUBT = 3.0
"""The most tolerances that count."""


def dis_flow(gray0: np.ndarray, gray1: np.ndarray, *, fast: bool = False) -> Tensor:
    """Return DIS flow from gray0 to gray1 (Kroeger et al., ECCV 2016), (1, 2, H, W) float32, pixels.

    gray0, gray1: (H, W) uint8. fast: less than half of the work, and hardly worse.
    """
    # A row of the host's frames may be longer than the picture; DIS refuses that.
    gray0, gray1 = np.ascontiguousarray(gray0), np.ascontiguousarray(gray1)
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if fast:
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        finder.setFinestScale(1)  # as the medium one has it: half of what it is better by, for a tenth of the time
    found = finder.calc(gray0, gray1, None)
    return torch.from_numpy(found).permute(2, 0, 1).unsqueeze(0).contiguous()


def luma(rgb: Tensor) -> np.ndarray:
    """Return the luma of (1, 3, H, W) RGB in [0, 1] (BT.601's weights), (H, W) uint8."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=rgb.device)
    gray: np.ndarray = (255 * torch.einsum("c,chw->hw", weights, rgb[0].float())).round().byte().cpu().numpy()
    return gray


def classical_motion(
    flows: Flows,
    t: float,
    *,
    occlusion: bool = True,
    bend: Tensor | None = None,
    fusion: Fusion = PLAIN,
    ratio: float = 1.0,
) -> Motion:
    """Return the motion at t that F01 and F10, (1, 2, H, W), give by the paper's equation 4.

    occlusion: a warp counts less where following the flow there and back does not end at the start. Without it, both
    count one half everywhere. bend: see `curved.bent`. ratio: the flows' resolution as a part of the picture's.
    """
    f01, f10 = flows
    ft0, ft1 = bent(flows_at(flows, t), t, bend)
    if not occlusion:
        nothing = torch.zeros_like(f01[:, :1])
        return Motion(ft0, ft1, nothing, 0.5, fusion, (ratio, ratio))  # at 1/2 a logit of 0 means half each
    logit = backwarp(hidden(f01, f10), ft0) - backwarp(hidden(f10, f01), ft1)
    return Motion(ft0, ft1, DOUBT * logit, t, fusion, (ratio, ratio))


def hidden(there: Tensor, back: Tensor) -> Tensor:
    """Return how far following a flow there and back misses the start, in tolerances, (1, 1, H, W).

    there, back: (1, 2, H, W) pixels. See `warp.round_trip`.
    """
    missed, allowed = round_trip(there, back)
    return (missed / allowed).sqrt().clamp(max=MOST_DOUBT)
