"""Super SloMo (Jiang et al., CVPR 2018, arXiv 1712.00080): flow once for a pair, then a frame at any t.

Frames are RGB in [0, 1], (B, 3, H, W), H and W multiples of 32. Flows are in pixels of that resolution
(`warp` has the convention): F01 leads from frame 0 to frame 1, Ft0 from the frame at t to frame 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fusion import agreed, fuse, stilled, weight0, within
from .unet import MULTIPLE, UNet
from .warp import backwarp, resize_field

MEAN = (0.429, 0.431, 0.397)
"""Subtracted from RGB before the networks see it."""

Flows = tuple[Tensor, Tensor]
"""(F01, F10) or (Ft0, Ft1)."""


@dataclass(frozen=True)
class Motion:
    """Where the frame at t comes from: (Ft0', Ft1') in pixels, (B, 2, H, W), and V0's logit, (B, 1, H, W).

    It knows nothing of colour, so it moves any plane: `resized` to the plane's resolution, then `render`.
    fusion: how, see `fusion`.
    """

    ft0: Tensor
    ft1: Tensor
    logit: Tensor
    t: float | Tensor
    fusion: str = "paper"

    def resized(self, ratio_x: float, ratio_y: float) -> Motion:
        """Return the same motion for planes of another resolution; ratios are powers of two."""
        ratio = torch.tensor([ratio_x, ratio_y], device=self.ft0.device).view(1, 2, 1, 1)
        ft0, ft1 = (resize_field(f, ratio_x, ratio_y) * ratio for f in (self.ft0, self.ft1))
        return Motion(ft0, ft1, resize_field(self.logit, ratio_x, ratio_y), self.t, self.fusion)

    def render(self, plane0: Tensor, plane1: Tensor, x: int = 0, y: int = 0, peak: float = 1.0) -> Tensor:
        """Warp and fuse planes (B, C, h, w) that begin at x, y of the motion: padding and bars lie around.

        peak: the planes' range.
        """
        h, w = plane0.shape[-2:]
        ft0, ft1, logit = (field[..., y : y + h, x : x + w] for field in (self.ft0, self.ft1, self.logit))
        if self.fusion == "paper":
            return fuse(backwarp(plane0, ft0), backwarp(plane1, ft1), logit, self.t)
        ft0, ft1 = stilled(ft0, ft1)
        warped0, warped1 = backwarp(plane0, ft0, "bicubic"), backwarp(plane1, ft1, "bicubic")
        return within(agreed(warped0, warped1, weight0(logit, self.t), ft1 - ft0, self.t, peak), plane0, plane1)


class SuperSloMo(nn.Module):
    """The two networks and what the paper does around them.

    width: channels of both U-Nets at full resolution (paper: 32).
    last_activation: see `UNet`.
    mean: per channel, subtracted from the networks' input.
    levels: resolutions at which the flow network looks, each half of the next (paper: 1); see `flow`.
    fusion: "paper" or "agreement", see `fusion`.
    """

    mean: Tensor

    def __init__(
        self,
        width: int = 32,
        *,
        last_activation: bool = True,
        mean: tuple[float, float, float] = MEAN,
        levels: int = 1,
        fusion: str = "paper",
    ) -> None:
        super().__init__()
        self.levels, self.fusion = levels, fusion
        self.flow_net = UNet(6, 4, width, last_activation=last_activation)
        self.interp_net = UNet(20, 5, width, last_activation=last_activation)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)

    def flow(self, i0: Tensor, i1: Tensor) -> Flows:
        """F01 and F10, each (B, 2, H, W) float32 pixels (section 3.2, flow computation network).

        With more than one level, the network finds what is left to find once both frames are warped to the middle
        between them by what it found at half the size: so small motion is all that it ever has to see (SPyNet: Ranjan
        and Black, CVPR 2017), and one look finds both directions. What it finds in the middle counts at the ends
        where the flow so far leads there.
        """
        return self._flow(i0, i1, self.levels)

    def _flow(self, i0: Tensor, i1: Tensor, levels: int) -> Flows:
        if levels == 1:
            out = self.flow_net(torch.cat((i0 - self.mean, i1 - self.mean), dim=1)).float()
            return out[:, :2], out[:, 2:]
        height, width = i0.shape[-2:]
        small0, small1 = (F.avg_pool2d(padded(x, 2 * MULTIPLE), 2) for x in (i0, i1))
        coarse = self._flow(small0, small1, levels - 1)
        f01, f10 = (2 * resize_field(f, 2, 2)[..., :height, :width] for f in coarse)
        to0, to1 = flows_at((f01, f10), 0.5)
        left01, left10 = self._flow(backwarp(i0, to0), backwarp(i1, to1), 1)
        return f01 + backwarp(left01, f01 / 2), f10 + backwarp(left10, f10 / 2)

    def refine(
        self, i0: Tensor, i1: Tensor, flows: Flows, t: float | Tensor, bend: Tensor | None = None
    ) -> tuple[Flows, Tensor]:
        """What the interpolation network adds at t: residuals for (Ft0, Ft1), and the logit of V0.

        t: in (0, 1); a number or (B, 1, 1, 1). Residuals (B, 2, H, W) pixels, logit (B, 1, H, W), float32.
        """
        f01, f10 = flows
        ft0, ft1 = bent(flows_at(flows, t), t, bend)
        j0, j1 = i0 - self.mean, i1 - self.mean
        warped = backwarp(j1, ft1), backwarp(j0, ft0)
        seen = [x.to(j0.dtype) for x in (j0, j1, f01, f10, ft1, ft0, *warped)]
        out = self.interp_net(torch.cat(seen, dim=1)).float()
        return (out[:, :2], out[:, 2:4]), out[:, 4:]

    def motion(
        self,
        i0: Tensor,
        i1: Tensor,
        flows: Flows,
        t: float | Tensor,
        finer: Flows | None = None,
        bend: Tensor | None = None,
    ) -> Motion:
        """Return the refined motion at t, at the resolution of `flows`, or of `finer`.

        finer: the same flows at a multiple of the networks' resolution, found by another method; the
        networks' residuals are added to them. bend: see `bent`; at the resolution that is returned.
        """
        ratio = 1.0 if finer is None else finer[0].shape[-1] / i0.shape[-1]
        small = bend if bend is None or ratio == 1 else resize_field(bend, 1 / ratio, 1 / ratio) / ratio
        (d0, d1), logit = self.refine(i0, i1, flows, t, small)
        added = Motion(d0, d1, logit, t)
        if ratio != 1:
            added = added.resized(ratio, ratio)
        ft0, ft1 = bent(flows_at(flows if finer is None else finer, t), t, bend)
        return Motion(ft0 + added.ft0, ft1 + added.ft1, added.logit, t, self.fusion)

    def synthesize(self, i0: Tensor, i1: Tensor, flows: Flows, t: float | Tensor) -> Tensor:
        """Return the frame at t, (B, 3, H, W): equations 3 to 5 in a row, all at one resolution."""
        return self.motion(i0, i1, flows, t).render(i0, i1)

    def forward(self, frame0: Tensor, frame1: Tensor, t: float | Tensor = 0.5, scale: float = 1.0) -> Tensor:
        """Return the frame at t between two frames of any size, as the filter does it for RGB.

        scale: the networks' resolution, 1, 1/2, 1/4 or 1/8 of the frames'.
        """
        i0, i1 = network_input(frame0, scale), network_input(frame1, scale)
        return self.motion(i0, i1, self.flow(i0, i1), t).resized(1 / scale, 1 / scale).render(frame0, frame1)


def padded(frame: Tensor, step: int) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until both sizes are multiples of `step`."""
    height, width = frame.shape[-2:]
    return F.pad(frame, (0, -width % step, 0, -height % step), mode="replicate")


def network_input(frame: Tensor, scale: float) -> Tensor:
    """Pad (B, C, H, W) by repetition to whole multiples of 32 network pixels, and shrink (triangle filter)."""
    frame = padded(frame, round(MULTIPLE / scale))
    if scale == 1:
        return frame
    return F.interpolate(frame, scale_factor=scale, mode="bilinear", align_corners=False, antialias=True)


def flows_at(flows: Flows, t: float | Tensor) -> Flows:
    """Ft0 and Ft1 as the paper approximates them from (F01, F10) (equation 4): everything moves evenly, in a line."""
    f01, f10 = flows
    return -(1 - t) * t * f01 + t * t * f10, (1 - t) * (1 - t) * f01 - t * (1 - t) * f10


def bent(at_t: Flows, t: float | Tensor, bend: Tensor | None) -> Flows:
    """Ft0 and Ft1 of motion in a parabola through the same two places, from those of motion in a line.

    bend: `acceleration`; None is none. At t the parabola is t(1-t)/2 of it behind the line.
    """
    if bend is None:
        return at_t
    ft0, ft1 = at_t
    behind = (t * (1 - t) / 2) * bend
    return ft0 + behind, ft1 + behind


def acceleration(flows: Flows, back: Tensor, ahead: Tensor, before: float = 1, after: float = 1) -> Tensor:
    """Return how what is seen between frames 0 and 1 speeds up, (B, 2, H, W), pixels per square of their distance.

    A parabola through three frames, as in quadratic interpolation (Xu et al., NeurIPS 2019, equation 3), twice: with
    the frame before, and with the frame behind. What counts is where both agree, the harmonic mean of two of one sign
    (van Leer's limiter), which keeps near the smaller: a wrong flow and a change of a moment bend little or nothing.

    back: flow from frame 0 to the frame before; ahead: from frame 1 to the frame behind. before, after: how long
    before frame 0 and after frame 1 these are, in parts of the time from 0 to 1.
    """
    f01, f10 = flows
    a0 = (back + before * f01) * (2 / (before * (1 + before)))
    a1 = (ahead + after * f10) * (2 / (after * (1 + after)))
    return torch.where(a0 * a1 > 0, 2 * a0 * a1 / (a0 + a1), 0.0)
