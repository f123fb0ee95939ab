"""Classical optical flow: what it does for the flow network's, and the motion that follows from it without one."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import torch
from torch import Tensor

from .bands import in_bands
from .curved import bent
from .fusion import PLAIN, Fusion
from .steady import mean_around
from .superslomo import Motion, flows_at
from .warp import Flows, backwarp, pixel_grid, round_trip

SMALLEST = 16
"""DIS refuses pictures whose sides are both much smaller; they are padded to this."""
REFINEMENTS, STIFFNESS = 5, 30.0
"""Fixed-point iterations of the variational refinement, and the weight of its smoothness term."""
FEW = 2
"""Iterations of DIS's own refinement at each scale, where it must be fast."""
WINDOW = 9
"""Errors of two flows are compared by their means over so many pixels squared."""
LOOP, LONGEST_LOOP = 0.01, 4.0
"""What a pixel of distance adds to an error, of 1, where the way there and back misses its start; and the most pixels
that count."""
NEAR = 8.0
"""Distance between two flows, in pixels, up to which the better one is taken; at twice this it no longer is. Farther
apart a small error says little: one asphalt looks like the other."""
GUESSES, SAME = 16.0, 2.0
"""For two guesses of the network: the same distance, and the distance up to which their mean is taken, in pixels."""
IN_DOUBT, SLACK = 1.25, 0.002
"""In doubt other flows are taken where they fit worse by at most this factor, and this error, of 1."""
SOFTEN = 5
"""The choice is averaged over so many pixels squared."""

DOUBT = 0.5
"""How much less a warp counts whose flow misses its start: so much logit for each tolerance that it misses by."""
MOST_DOUBT = 3.0
"""The most tolerances that count."""


def dis_flow(
    gray0: np.ndarray, gray1: np.ndarray, *, fast: bool = False, iterations: int = 5, halved: bool = False
) -> Tensor:
    """Return DIS flow from gray0 to gray1 (Kroeger et al., ECCV 2016), (1, 2, H, W) float32, pixels.

    gray0, gray1: (H, W) uint8, any size. fast: less work, and hardly worse. iterations: of its own
    variational refinement; without `fast`. halved: at half of the size, rounded up, in its pixels. DIS (medium) itself
    ends there, and doubles what it found.
    """
    # A row of the host's frames may be longer than the picture; DIS refuses that.
    gray0, gray1 = (shrunk(x, 2) if halved else np.ascontiguousarray(x) for x in (gray0, gray1))
    height, width = gray0.shape
    if height < SMALLEST and width < SMALLEST:
        border = 0, SMALLEST - height, 0, SMALLEST - width, cv2.BORDER_REPLICATE
        gray0, gray1 = (cv2.copyMakeBorder(x, *border) for x in (gray0, gray1))
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setVariationalRefinementIterations(FEW if fast else iterations)
    if halved:
        finder.setFinestScale(finder.getFinestScale() - 1)
    found = finder.calc(gray0, gray1, None)
    return torch.from_numpy(np.ascontiguousarray(found[:height, :width].transpose(2, 0, 1)))[None]


def shrunk(gray: np.ndarray, factor: int) -> np.ndarray:
    """Return (H, W) uint8, divided by a factor on each side and rounded up, by averaging; the last pixels repeat."""
    height, width = gray.shape
    gray = cv2.copyMakeBorder(np.ascontiguousarray(gray), 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(gray, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA))


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

    def misses(rows: slice) -> tuple[Tensor, Tensor]:
        return hidden(f01[..., rows, :], f10, rows.start), hidden(f10[..., rows, :], f01, rows.start)

    hidden0, hidden1 = in_bands(misses, f01) if occlusion else (None, None)

    def moved(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        own = f01[..., rows, :], f10[..., rows, :]
        ft0, ft1 = bent(flows_at(own, t), t, None if bend is None else bend[..., rows, :])
        if hidden0 is None or hidden1 is None:
            return ft0, ft1, torch.zeros_like(ft0[:, :1])
        return ft0, ft1, DOUBT * (remapped(hidden0, ft0, rows.start) - remapped(hidden1, ft1, rows.start))

    ft0, ft1, logit = in_bands(moved, f01)
    # Without occlusion t is 1/2, where a logit of 0 means half each.
    return Motion(ft0, ft1, logit, t if occlusion else 0.5, fusion, (ratio, ratio))


def hidden(there: Tensor, back: Tensor, top: int = 0) -> Tensor:
    """Return how far following a flow there and back misses the start, in tolerances, (1, 1, h, W).

    there: (1, 2, h, W) pixels, rows of a flow from row `top` on. back: the whole other flow, (1, 2, H, W). See
    `warp.round_trip`.
    """
    missed, allowed = round_trip(there, back, partial(remapped, top=top))
    return (missed / allowed).sqrt().clamp(max=MOST_DOUBT)


def remapped(image: Tensor, flow: Tensor, top: int = 0) -> Tensor:
    """Return rows of `backwarp`, (1, C, h, W), by OpenCV on the CPU.

    image: (1, C, H, W) float32. flow: (1, 2, h, W) pixels, from row `top` on; elsewhere than on the CPU all rows.
    """
    if image.device.type != "cpu":
        return backwarp(image, flow)
    height, width = flow.shape[-2:]
    x, y = (flow + pixel_grid(top + height, width)[..., top:, :])[0].numpy()
    out = torch.empty(*image.shape[:2], *flow.shape[-2:])
    for plane, target in zip(image[0].contiguous().numpy(), out[0].numpy(), strict=True):
        cv2.remap(plane, x, y, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_REPLICATE)
    return out


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
    frame0: Tensor, frame1: Tensor, flows: Flows, others: Flows, *, near: float = NEAR, in_doubt: bool = False
) -> tuple[Tensor, Tensor]:
    """Return where other flows fit better than (F01, F10) and differ little from them: for each, (1, 1, H, W), 0 to 1.

    A flow fits where the other frame, warped, looks like this one, and where the way there and back ends at its start.
    Colours count: in drawings, areas of equal luma and different colour are common.
    frame0, frame1: (1, 3, H, W) RGB in [0, 1]. flows, others: (1, 2, H, W) float32 each, pixels. near: see `NEAR`.
    in_doubt: take the others also where they fit nearly as well.
    """
    factor, slack = (IN_DOUBT, SLACK) if in_doubt else (1.0, 0.0)
    frames = frame0.float(), frame1.float()

    def misfit(k: int, found: Flows) -> Tensor:
        difference = (frames[k] - remapped(frames[1 - k], found[k])).abs().mean(1, keepdim=True)
        loop = round_trip(found[k], found[1 - k], remapped)[0].sqrt().clamp(max=LONGEST_LOOP)
        return mean_around(difference + LOOP * loop, WINDOW)

    def share(k: int) -> Tensor:
        better = misfit(k, others) < factor * misfit(k, flows) + slack
        return mean_around(better * alike(flows[k], others[k], near), SOFTEN)

    return share(0), share(1)


def alike(flow: Tensor, other: Tensor, near: float) -> Tensor:
    """Return how alike two flows are, (1, 1, H, W): 1 up to `near` pixels apart, 0 from twice this on."""
    apart = (flow - other).square().sum(1, keepdim=True).sqrt()
    return (2 - apart / near).clamp(0, 1)


def agreed(frame0: Tensor, frame1: Tensor, flows: Flows, others: Flows) -> Flows:
    """Return two guesses of the same network as one, (1, 2, H, W) float32 each, pixels.

    Where both are alike it is their mean. Elsewhere it is the others where they fit better, as `nearer` says, and
    the first ones where they do not. frame0, frame1: (1, 3, H, W) RGB in [0, 1]. flows, others: (1, 2, H, W) each.
    """
    better = between(flows, others, nearer(frame0, frame1, flows, others, near=GUESSES))
    mean = (flows[0] + others[0]) / 2, (flows[1] + others[1]) / 2
    return between(better, mean, (alike(flows[0], others[0], SAME), alike(flows[1], others[1], SAME)))


def between(flows: Flows, others: Flows, shares: tuple[Tensor, Tensor]) -> Flows:
    """Return flows, moved towards others by a share for each pixel, (1, 1, H, W)."""
    f01, f10 = (torch.lerp(f, other, share) for f, other, share in zip(flows, others, shares, strict=True))
    return f01, f10
