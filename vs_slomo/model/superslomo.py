"""Super SloMo (Jiang et al., CVPR 2018, arXiv 1712.00080): the flow once for a pair, then a frame at any t.

Frames are RGB in [0, 1], (B, 3, H, W), H and W multiples of 32. Flows are in pixels of that resolution
(`warp` has the convention): F01 leads from frame 0 to frame 1, Ft0 from the frame at t to frame 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .agreement import clamped, limits
from .curved import bent
from .fusion import DEFAULT, FUSIONS, PLAIN, Fusion, FusionName, Moving, PyTorch
from .steady import resized
from .unet import MULTIPLE, UNet
from .warp import Flows, Warp, backwarp, padded, resize_field

MEAN = (0.429, 0.431, 0.397)
"""Subtracted from RGB before the networks see it."""
AGAIN = 2
"""The flow network looks twice at each size that is the frames' halved so many times, or more."""


@dataclass(frozen=True)
class Motion:
    """Where the frame at t comes from.

    It has no colour, so it moves any plane: `resized` to the plane's resolution, then `render`.

    ft0, ft1: the refined flows Ft0 and Ft1, (B, 2, H, W), in pixels of their own resolution. logit: of the visibility
    V0, (B, 1, H, W). t: in (0, 1), a number or (B, 1, 1, 1). fusion: how both warped frames become one. ratio: its
    resolution as a part of the picture's, in x and in y.
    """

    ft0: Tensor
    ft1: Tensor
    logit: Tensor
    t: float | Tensor
    fusion: Fusion = PLAIN
    ratio: tuple[float, float] = (1.0, 1.0)

    def resized(self, ratio_x: float, ratio_y: float) -> Motion:
        """Return the same motion at another resolution, given as a part of its own; ratios are powers of two."""
        x, y = ratio_x, ratio_y
        ft0, ft1 = (stretched(resize_field(f, x, y), x, y) for f in (self.ft0, self.ft1))
        logit, (own_x, own_y) = resize_field(self.logit, ratio_x, ratio_y), self.ratio
        return replace(self, ft0=ft0, ft1=ft1, logit=logit, ratio=(own_x * ratio_x, own_y * ratio_y))

    def for_planes(self, ratio_x: float, ratio_y: float) -> Motion:
        """Return the same motion for planes of this size, as a part of the picture's; ratios are powers of two."""
        own_x, own_y = self.ratio
        return self.resized(ratio_x / own_x, ratio_y / own_y)

    def render(self, plane0: Tensor, plane1: Tensor, x: int = 0, y: int = 0, peak: float = 1.0) -> Tensor:
        """Return planes (B, C, h, w) at t: both frames' warped and fused, at the motion's own resolution.

        x, y: the planes' top left corner in the motion, in pixels; padding and bars lie outside. peak: their range.
        """
        h, w = plane0.shape[-2:]
        ft0, ft1, logit = (field[..., y : y + h, x : x + w] for field in (self.ft0, self.ft1, self.logit))
        made = self.fusion.fuse(Moving(plane0, plane1, ft0, ft1, logit, self.t, peak), PyTorch())
        return clamped(made, *limits(plane0, plane1)) if self.fusion.overshoots else made


class SuperSloMo(nn.Module):
    """The two networks and what the paper does around them.

    width: channels of both U-Nets at full resolution (paper: 32).
    last_activation: see `UNet`.
    mean: per channel, subtracted from the networks' input.
    levels: resolutions at which the flow network looks, each half of the next (paper: 1); see `flow`.
    fusion: a name in `fusion.FUSIONS`.
    """

    mean: Tensor
    warp: Warp = staticmethod(backwarp)
    """A faster `backwarp` may take its place."""

    def __init__(
        self,
        width: int = 32,
        *,
        last_activation: bool = True,
        mean: tuple[float, float, float] = MEAN,
        levels: int = 1,
        fusion: FusionName = DEFAULT,
    ) -> None:
        super().__init__()
        self.levels, self.fusion = levels, fusion
        self.flow_net = UNet(6, 4, width, last_activation=last_activation)
        self.interp_net = UNet(20, 5, width, last_activation=last_activation)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)

    def flow(self, i0: Tensor, i1: Tensor) -> Flows:
        """Return F01 and F10, each (B, 2, H, W) float32 pixels (section 3.2, flow computation network).

        With more than one level, the network first runs at half the size, enlarged to multiples of 32. Both frames are
        then warped to the middle between them by the flow found there, and one run finds the rest of both directions.
        So it only ever sees small motion (SPyNet: Ranjan and Black, CVPR 2017). What is found in the middle is added
        at the ends where the flow so far leads there. At a quarter of the size and below it looks twice: motion as
        large as the thing that moves is rarely found at once, and there a look costs a sixteenth or less.
        """
        return self._flow(i0, i1, self.levels, self.levels - AGAIN)

    def coarse_flow(self, i0: Tensor, i1: Tensor) -> Flows:
        """Return flow found at half the size and below, once at each size, at full size: a sixth of the work."""
        return self._coarse_flow(i0, i1, max(self.levels, 2), 0)

    def _flow(self, i0: Tensor, i1: Tensor, levels: int, twice: int) -> Flows:
        """Look at so many sizes, and twice at so many of the smallest."""
        flows = self._look(i0, i1) if levels == 1 else self._refined(i0, i1, self._coarse_flow(i0, i1, levels, twice))
        return self._refined(i0, i1, flows) if levels <= twice else flows

    def _look(self, i0: Tensor, i1: Tensor) -> Flows:
        out = self.flow_net(torch.cat((i0 - self.mean, i1 - self.mean), dim=1)).float()
        return out[:, :2], out[:, 2:]

    def _refined(self, i0: Tensor, i1: Tensor, flows: Flows) -> Flows:
        f01, f10 = flows
        to0, to1 = flows_at(flows, 0.5)
        left01, left10 = self._look(self.warp(i0, to0), self.warp(i1, to1))
        return f01 + self.warp(left01, f01 / 2), f10 + self.warp(left10, f10 / 2)

    def _coarse_flow(self, i0: Tensor, i1: Tensor, levels: int, twice: int) -> Flows:
        # Stretched to whole multiples, not padded: what enters through the border would move with the padding.
        height, width = (n // 2 for n in i0.shape[-2:])
        high, wide = (n + -n % MULTIPLE for n in (height, width))
        small0, small1 = (resized(F.avg_pool2d(x, 2), high, wide) for x in (i0, i1))

        def at_full_size(flow: Tensor) -> Tensor:
            flow = resized(flow, height, width)
            return 2 * resize_field(
                torch.cat((flow[:, :1] * (width / wide), flow[:, 1:] * (height / high)), dim=1), 2, 2
            )

        f01, f10 = map(at_full_size, self._flow(small0, small1, levels - 1, twice))
        return f01, f10

    def refine(
        self, i0: Tensor, i1: Tensor, flows: Flows, t: float | Tensor, bend: Tensor | None = None
    ) -> tuple[Flows, Tensor]:
        """Return what the interpolation network adds at t: residuals of (Ft0, Ft1), and the logit of V0.

        t: in (0, 1); a number or (B, 1, 1, 1). Residuals: (B, 2, H, W) pixels. Logit: (B, 1, H, W). All float32.
        """
        f01, f10 = flows
        ft0, ft1 = bent(flows_at(flows, t), t, bend)
        j0, j1 = i0 - self.mean, i1 - self.mean
        warped = self.warp(j1, ft1), self.warp(j0, ft0)
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
        scale: float = 1.0,
    ) -> Motion:
        """Return the refined motion at t, at the resolution of `finer`, or of `flows` without it.

        finer: the same flows at a multiple of the networks' resolution, from another method; the networks' residuals
        are added to them. bend: see `curved.bent`, at the resolution that is returned. scale: the networks'
        resolution, as a part of the picture's.
        """
        ratio = 1.0 if finer is None else finer[0].shape[-1] / i0.shape[-1]
        small = bend if bend is None or ratio == 1 else resize_field(bend, 1 / ratio, 1 / ratio) / ratio
        (d0, d1), logit = self.refine(i0, i1, flows, t, small)
        added = Motion(d0, d1, logit, t, FUSIONS[self.fusion], (scale, scale))
        if ratio != 1:
            added = added.resized(ratio, ratio)
        ft0, ft1 = bent(flows_at(flows if finer is None else finer, t), t, bend)
        return replace(added, ft0=ft0 + added.ft0, ft1=ft1 + added.ft1)

    def synthesize(self, i0: Tensor, i1: Tensor, flows: Flows, t: float | Tensor) -> Tensor:
        """Return the frame at t, (B, 3, H, W): equations 3 to 5 in a row, all at one resolution."""
        return self.motion(i0, i1, flows, t).render(i0, i1)

    def forward(self, frame0: Tensor, frame1: Tensor, t: float | Tensor = 0.5, scale: float = 1.0) -> Tensor:
        """Return the frame at t between two frames of any size, as the filter makes it of RGB.

        scale: the networks' resolution as a part of the frames': 1, 1/2, 1/4 or 1/8.
        """
        i0, i1 = network_input(frame0, scale), network_input(frame1, scale)
        return self.motion(i0, i1, self.flow(i0, i1), t, scale=scale).for_planes(1, 1).render(frame0, frame1)


def stretched(flow: Tensor, ratio_x: float, ratio_y: float) -> Tensor:
    """Return a flow (B, 2, H, W) in other pixels, so many times as many."""
    return flow * ratio_x if ratio_x == ratio_y else torch.cat((flow[:, :1] * ratio_x, flow[:, 1:] * ratio_y), dim=1)


def network_input(frame: Tensor, scale: float) -> Tensor:
    """Pad (B, C, H, W) by repetition to whole multiples of 32 network pixels, and shrink (triangle filter)."""
    frame = padded(frame, round(MULTIPLE / scale))
    if scale == 1:
        return frame
    return F.interpolate(frame, scale_factor=scale, mode="bilinear", align_corners=False, antialias=True)


def flows_at(flows: Flows, t: float | Tensor) -> Flows:
    """Return Ft0 and Ft1 from (F01, F10) for constant speed on a straight line: the paper's equation 4."""
    f01, f10 = flows
    return -(1 - t) * t * f01 + t * t * f10, (1 - t) * (1 - t) * f01 - t * (1 - t) * f10
