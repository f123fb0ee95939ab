"""Classical optical flow: what it does for the flow network's, and the motion that follows from it without one."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .agreement import mean_around
from .curved import bent
from .fusion import PLAIN, Fusion
from .superslomo import Motion, flows_at
from .warp import Flows, backwarp, round_trip

SMALLEST = 16
"""DIS refuses pictures whose sides are both much smaller; they are padded to this."""
REFINEMENTS, STIFFNESS = 5, 30.0
"""Fixed-point iterations of the variational refinement, and the weight of its smoothness term."""
WINDOW = 9
"""Errors of two flows are compared by their means over so many pixels squared."""
LOOP, LONGEST_LOOP = 0.01, 4.0
"""What a pixel of distance adds to an error, of 1, where the way there and back misses its start; and the most pixels
that count."""
NEAR = 8.0
"""Distance between two flows, in pixels, up to which the better one is taken; at twice this it no longer is. Farther
apart a small error says little: one asphalt looks like the other."""
IN_DOUBT, SLACK = 1.25, 0.002
"""In doubt other flows are taken where they fit worse by at most this factor, and this error, of 1."""
SOFTEN = 5
"""The choice is averaged over so many pixels squared."""

DOUBT = 0.5
"""How much less a warp counts whose flow misses its start: so much logit for each tolerance that it misses by."""
MOST_DOUBT = 3.0
"""The most tolerances that count."""


def dis_flow(gray0: np.ndarray, gray1: np.ndarray, *, fast: bool = False, iterations: int = 5) -> Tensor:
    """Return DIS flow from gray0 to gray1 (Kroeger et al., ECCV 2016), (1, 2, H, W) float32, pixels.

    gray0, gray1: (H, W) uint8, any size. fast: less than half of the work, and hardly worse. iterations: of its own
    variational refinement, more than half of the time.
    """
    height, width = gray0.shape
    if height < SMALLEST and width < SMALLEST:
        border = 0, SMALLEST - height, 0, SMALLEST - width, cv2.BORDER_REPLICATE
        gray0, gray1 = (cv2.copyMakeBorder(np.ascontiguousarray(x), *border) for x in (gray0, gray1))
    # A row of the host's frames may be longer than the picture; DIS refuses that.
    gray0, gray1 = np.ascontiguousarray(gray0), np.ascontiguousarray(gray1)
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if fast:
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        finder.setFinestScale(1)  # as the medium one has it: half of what it is better by, for a tenth of the time
    finder.setVariationalRefinementIterations(iterations)
    found = finder.calc(gray0, gray1, None)
    return torch.from_numpy(found[:height, :width]).permute(2, 0, 1).unsqueeze(0).contiguous()


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


def refined(gray0: np.ndarray, gray1: np.ndarray, flow: Tensor) -> Tensor:
    """Return flow from gray0 to gray1, moved to fit both pictures by fractions of a pixel, (1, 2, H, W) float32.

    Variational refinement (Brox et al., ECCV 2004) by OpenCV. gray0, gray1: (H, W) uint8. flow: (1, 2, H, W), pixels.
    """
    method = cv2.VariationalRefinement.create()
    method.setFixedPointIterations(REFINEMENTS)
    method.setAlpha(STIFFNESS)
    gray0, gray1 = np.ascontiguousarray(gray0), np.ascontiguousarray(gray1)
    start = np.ascontiguousarray(flow[0].permute(1, 2, 0).numpy())
    return torch.from_numpy(method.calc(gray0, gray1, start)).permute(2, 0, 1).unsqueeze(0).contiguous()


def nearer(
    frame0: Tensor, frame1: Tensor, flows: Flows, others: Flows, *, in_doubt: bool = False
) -> tuple[Tensor, Tensor]:
    """Return where other flows fit better than (F01, F10) and differ little from them: for each, (1, 1, H, W), 0 to 1.

    A flow fits where the other frame, warped, looks like this one, and where the way there and back ends at its start.
    Colours count: in drawings, areas of equal luma and different colour are common.
    frame0, frame1: (1, 3, H, W) RGB in [0, 1]. flows, others: (1, 2, H, W) float32 each, pixels.
    in_doubt: take the others also where they fit nearly as well.
    """
    factor, slack = (IN_DOUBT, SLACK) if in_doubt else (1.0, 0.0)
    frames = frame0.float(), frame1.float()

    def misfit(k: int, found: Flows) -> Tensor:
        difference = (frames[k] - backwarp(frames[1 - k], found[k])).abs().mean(1, keepdim=True)
        loop = round_trip(found[k], found[1 - k])[0].sqrt().clamp(max=LONGEST_LOOP)
        return mean_around(difference + LOOP * loop, WINDOW)

    def share(k: int) -> Tensor:
        apart = (flows[k] - others[k]).square().sum(1, keepdim=True).sqrt()
        better = (misfit(k, others) < factor * misfit(k, flows) + slack) * (2 - apart / NEAR).clamp(0, 1)
        return mean_around(better, SOFTEN)

    return share(0), share(1)


def between(flows: Flows, others: Flows, shares: tuple[Tensor, Tensor]) -> Flows:
    """Return flows, moved towards others by a share for each pixel, (1, 1, H, W)."""
    f01, f10 = (torch.lerp(f, other, share) for f, other, share in zip(flows, others, shares, strict=True))
    return f01, f10
