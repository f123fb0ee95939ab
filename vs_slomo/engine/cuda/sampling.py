"""A Triton kernel that does `model.warp.backwarp` in one pass; PyTorch needs a dozen."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .kernels import stepped_bilinear

BLOCK = 256
"""Pixels of a row that one program makes."""


@triton.jit
def backwarp_kernel(
    image,  # (B, CHANNELS, height, width)
    flow,  # (B, 2, height, width)
    out,  # like the image, in a row
    height,
    width,
    image_step,  # values from one picture, channel, row and pixel to the next
    image_channel,
    image_row,
    image_pixel,
    flow_step,
    flow_channel,
    flow_row,
    flow_pixel,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Make one block of a row of one picture."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, picture = tl.program_id(1), tl.program_id(2)
    mask = column < width
    there = flow + picture * flow_step + row * flow_row + column * flow_pixel
    x = column.to(tl.float32) + tl.load(there, mask=mask, other=0).to(tl.float32)
    y = row.to(tl.float32) + tl.load(there + flow_channel, mask=mask, other=0).to(tl.float32)
    for channel in tl.static_range(CHANNELS):
        plane = image + picture * image_step + channel * image_channel
        value = stepped_bilinear(plane, x, y, height, width, image_row, image_pixel, mask)
        place = ((picture * CHANNELS + channel) * height + row) * width + column
        tl.store(out + place, value.to(out.dtype.element_ty), mask=mask)


def by_kernel(image: Tensor, flow: Tensor) -> Tensor:
    """Do what the bilinear `model.warp.backwarp` does. image: (B, C, H, W). flow: (B, 2, H, W), pixels."""
    batch, channels, height, width = image.shape
    out = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    backwarp_kernel[(triton.cdiv(width, BLOCK), height, batch)](
        *(image, flow, out, height, width, *image.stride(), *flow.stride()), CHANNELS=channels, BLOCK=BLOCK
    )
    return out
