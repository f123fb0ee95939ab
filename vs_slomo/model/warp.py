"""Backward warping: the picture seen through a flow.

Convention, here and everywhere: a flow has shape (B, 2, H, W), channel 0 is x to the right and channel 1 is
y downwards, in pixels of its own resolution. A pixel's value belongs to its centre, and pixel (0, 0) lies at
position (0, 0).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Positions of the pixels, (1, 2, H, W) float32: x in channel 0, y in channel 1."""
    y = torch.arange(height, device=device, dtype=torch.float32)
    x = torch.arange(width, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(x, y, indexing="xy")).unsqueeze(0)


def backwarp(image: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """g(I, F) of the paper (section 3.1): ``out(p) = image(p + flow(p))``, clamped to the border.

    image: (B, C, H, W), any range, float. flow: (B, 2, H, W), pixels. mode: "bilinear" (the paper's) or "bicubic",
    which keeps more detail and may leave the range. Returns image's shape and dtype.

    The coordinates are float32 whatever the networks run in: half precision knows no position past 2048,
    and only every second pixel past 1024 at half a pixel.
    """
    height, width = image.shape[-2:]
    position = pixel_grid(height, width, image.device) + flow.float()
    # grid_sample's -1 and 1 are the outer edges of the border pixels (align_corners=False).
    span = torch.tensor([width, height], dtype=torch.float32, device=image.device).view(1, 2, 1, 1)
    grid = ((2 * position + 1) / span - 1).permute(0, 2, 3, 1)
    return F.grid_sample(image.float(), grid, mode, padding_mode="border", align_corners=False).to(image.dtype)


def resize_field(field: Tensor, ratio_x: float, ratio_y: float) -> Tensor:
    """Resample a (B, C, H, W) field by the given ratios (powers of two), pixel areas aligned.

    Values are left as they are; a flow must be multiplied by the ratios as well. Shrinking averages.
    """
    shrink = (round(max(1, 1 / ratio_y)), round(max(1, 1 / ratio_x)))
    if shrink != (1, 1):
        field = F.avg_pool2d(field, shrink)
    grow = (max(1.0, ratio_y), max(1.0, ratio_x))
    if grow != (1.0, 1.0):
        field = F.interpolate(field, scale_factor=grow, mode="bilinear", align_corners=False)
    return field
