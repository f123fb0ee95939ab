"""Backward warping: a picture seen through a flow, and what else is done with flows.

Convention, here and everywhere: a flow has shape (B, 2, H, W). Channel 0 is x, to the right; channel 1 is y,
downwards; both are in pixels of the flow's own resolution. A pixel's value belongs to its centre, and pixel (0, 0)
lies at position (0, 0).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .steady import averaged, enlarged

Flows = tuple[Tensor, Tensor]
"""(F01, F10) or (Ft0, Ft1)."""


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Return the positions of the pixels, (1, 2, H, W) float32: x in channel 0, y in channel 1."""
    y = torch.arange(height, device=device, dtype=torch.float32)
    x = torch.arange(width, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(x, y, indexing="xy")).unsqueeze(0)


def backwarp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Return g(I, F) of the paper (section 3.1): ``out(p) = image(p + flow(p))``, clamped to the border.

    image: (B, C, H, W), any range, float. flow: (B, 2, H, W), pixels. mode: "bilinear" (the paper's) or "bicubic",
    which keeps more detail and may leave the range. Returns image's shape and dtype.

    The coordinates are float32 whatever the networks' precision is: half precision cannot tell neighbouring pixels
    apart past 2048, nor half pixels past 1024.
    """
    height, width = image.shape[-2:]
    position = pixel_grid(height, width, image.device) + flow.float()
    # grid_sample's -1 and 1 are the outer edges of the border pixels (align_corners=False). Numbers, not a tensor of
    # both sides: that would be copied to the device at each call, and the host would wait for it.
    x, y = position.unbind(1)
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=False).to(image.dtype)


def resize_field(field: Tensor, ratio_x: float, ratio_y: float) -> Tensor:
    """Resample a (B, C, H, W) field by the given ratios (powers of two), pixel areas aligned.

    The values stay as they are; a flow must be multiplied by the ratios as well. Shrinking averages.
    """
    shrink = round(max(1, 1 / ratio_x)), round(max(1, 1 / ratio_y))
    if shrink != (1, 1):
        field = averaged(field, *shrink)
    return field if max(ratio_x, ratio_y) <= 1 else enlarged(field, max(1.0, ratio_x), max(1.0, ratio_y))


def padded(picture: Tensor, step: int) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until height and width are multiples of `step`."""
    height, width = picture.shape[-2:]
    return padded_to(picture, height + -height % step, width + -width % step)


def padded_to(picture: Tensor, height: int, width: int) -> Tensor:
    """Repeat the last row and column of (B, C, H, W) until it is `height` x `width`."""
    return F.pad(picture, (0, width - picture.shape[-1], 0, height - picture.shape[-2]), mode="replicate")


Warp = Callable[[Tensor, Tensor], Tensor]
"""What `backwarp` does with an image and a flow."""


def round_trip(there: Tensor, back: Tensor, warp: Warp = backwarp) -> tuple[Tensor, Tensor]:
    """Follow each pixel to the other frame and back (Sundaram et al., ECCV 2010, equation 5).

    there: flow from this frame to the other; back: flow from the other to this one; (B, 2, H, W) pixels.
    warp: a faster `backwarp`.
    Returns two squared distances, (B, 1, H, W): how far the pixel ends from its start, and how far it may, which grows
    with the motion. A pixel that the other frame does not show ends farther away than it may.
    """
    returning = warp(back, there)
    missed = (there + returning).square().sum(1, keepdim=True)
    moved = (there.square() + returning.square()).sum(1, keepdim=True)
    return missed, 0.01 * moved + 0.5
