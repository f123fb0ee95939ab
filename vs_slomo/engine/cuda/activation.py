"""Triton kernels for what stands between the U-Nets' convolutions, and `run`, which runs a U-Net with them.

Each adds a convolution's bias and applies the leaky ReLU. In the same pass it also halves, doubles, or writes into its
part of a concatenated tensor. PyTorch needs a pass for each of these.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from vs_slomo.model.unet import SLOPE, UNet

VALUES = 1024
"""Values that one program makes."""


@triton.jit
def _items(bias, count, channels, LANES: tl.constexpr, BLOCK: tl.constexpr):
    """Return a program's items and its channels, which of them are there, and the bias."""
    item = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[:, None]
    channel = tl.arange(0, LANES)[None, :]
    added = tl.load(bias + channel, mask=channel < channels, other=0).to(tl.float32)
    return item, channel, (item < count) & (channel < channels), added


@triton.jit
def _activated(x, pixel, channel, step, bias, slope, mask):
    """Load channels of pixels, add the bias and apply the leaky ReLU; float32."""
    value = tl.load(x + pixel * step + channel, mask=mask, other=0).to(tl.float32) + bias
    return tl.where(value > 0, value, value * slope)


@triton.jit
def activate_kernel(
    x,  # (rows, width, channels)
    bias,  # (channels)
    out,  # the same size, `step` values from one pixel to the next
    pixels,
    channels,
    step,
    slope,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Activate a block of pixels."""
    pixel, channel, mask, added = _items(bias, pixels, channels, LANES, BLOCK)
    value = _activated(x, pixel, channel, channels, added, slope, mask)
    tl.store(out + pixel * step + channel, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def pool_kernel(
    x,  # (rows, width, channels), both even
    bias,
    out,  # the same size, `step` values from one pixel to the next
    pooled,  # (rows / 2, width / 2, channels)
    pixels,  # of `pooled`
    width,  # of `pooled`
    channels,
    step,
    slope,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Activate a block of cells of 2x2 pixels, and store their means too."""
    cell, channel, mask, added = _items(bias, pixels, channels, LANES, BLOCK)
    first = 4 * (cell // width) * width + 2 * (cell % width)  # the cell's top left pixel
    total = tl.zeros([BLOCK, LANES], tl.float32)
    for down in tl.static_range(2):
        for across in tl.static_range(2):
            pixel = first + 2 * down * width + across
            value = _activated(x, pixel, channel, channels, added, slope, mask)
            tl.store(out + pixel * step + channel, value.to(out.dtype.element_ty), mask=mask)
            total += value
    tl.store(pooled + cell * channels + channel, (total / 4).to(pooled.dtype.element_ty), mask=mask)


@triton.jit
def double_kernel(
    x,  # (B, height, width, channels)
    bias,
    out,  # (B, 2 * height, 2 * width, channels)
    pixels,  # of `out`
    height,  # of `x`
    width,
    channels,
    slope,
    LANES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Make a block of activated pixels, doubled bilinearly."""
    pixel, channel, mask, added = _items(bias, pixels, channels, LANES, BLOCK)
    column, line = pixel % (2 * width), pixel // (2 * width)
    row, picture = line % (2 * height), line // (2 * height)
    # A quarter of a pixel from the nearest one, towards the one before or after it.
    near_x, near_y = column // 2, row // 2
    far_x = tl.minimum(tl.maximum(near_x + 2 * (column % 2) - 1, 0), width - 1)
    far_y = tl.minimum(tl.maximum(near_y + 2 * (row % 2) - 1, 0), height - 1)
    near, far = (picture * height + near_y) * width, (picture * height + far_y) * width
    a = _activated(x, near + near_x, channel, channels, added, slope, mask)
    b = _activated(x, near + far_x, channel, channels, added, slope, mask)
    c = _activated(x, far + near_x, channel, channels, added, slope, mask)
    d = _activated(x, far + far_x, channel, channels, added, slope, mask)
    value = 0.75 * (0.75 * a + 0.25 * b) + 0.25 * (0.75 * c + 0.25 * d)
    tl.store(out + pixel * channels + channel, value.to(out.dtype.element_ty), mask=mask)


def convolved(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return a convolution without its bias, as (B, H, W, C)."""
    made = torch.conv2d(x, layer.weight, None, padding=layer.padding)
    return made.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)


def activate(layer: nn.Conv2d, x: Tensor, into: Tensor | None = None, slope: float = SLOPE) -> Tensor:
    """Return a layer's activation, (B, C, H, W).

    x: (B, H, W, C), what `convolved` gives. into: where to write it, (B, H, W, C), with any step between pixels.
    """
    out = torch.empty_like(x) if into is None else into
    pixels, channels = x.shape[:-1].numel(), x.shape[-1]
    lanes, block = _block(channels)
    activate_kernel[(triton.cdiv(pixels, block),)](
        *(x, layer.bias, out, pixels, channels, out.stride(2), slope), LANES=lanes, BLOCK=block
    )
    return out.permute(0, 3, 1, 2)


def pool(layer: nn.Conv2d, x: Tensor, into: Tensor) -> Tensor:
    """Write a layer's activation into a tensor, and return it halved by averaging. x, into: as in `activate`."""
    batch, height, width, channels = x.shape
    pooled = x.new_empty(batch, height // 2, width // 2, channels)
    pixels, (lanes, block) = pooled.shape[:-1].numel(), _block(channels, 4)
    pool_kernel[(triton.cdiv(pixels, block),)](
        *(x, layer.bias, into, pooled, pixels, width // 2, channels, into.stride(2), SLOPE), LANES=lanes, BLOCK=block
    )
    return pooled.permute(0, 3, 1, 2)


def double(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Return a layer's activation, doubled bilinearly. x: as in `activate`."""
    batch, height, width, channels = x.shape
    out = x.new_empty(batch, 2 * height, 2 * width, channels)
    pixels, (lanes, block) = out.shape[:-1].numel(), _block(channels)
    double_kernel[(triton.cdiv(pixels, block),)](
        *(x, layer.bias, out, pixels, height, width, channels, SLOPE), LANES=lanes, BLOCK=block
    )
    return out.permute(0, 3, 1, 2)


def _block(channels: int, pixels: int = 1) -> tuple[int, int]:
    """Return the lanes for so many channels, and the items of a program. pixels: that an item reads and writes."""
    lanes = triton.next_power_of_2(channels)
    return lanes, max(1, VALUES // (lanes * pixels))


def run(net: UNet, x: Tensor) -> Tensor:
    """Return what the U-Net does, (B, in, H, W) to (B, out, H, W), in channels_last."""
    skips = []
    for level in (net, net.down1, net.down2, net.down3, net.down4):
        raw = convolved(level.conv2, activate(level.conv1, convolved(level.conv1, x)))
        channels = raw.shape[-1]
        both = raw.new_empty(*raw.shape[:-1], 2 * channels)
        x = pool(level.conv2, raw, both[..., channels:])
        skips.append(both)
    last = net.down5.conv2
    raw = convolved(last, activate(net.down5.conv1, convolved(net.down5.conv1, x)))
    for up in (net.up1, net.up2, net.up3, net.up4, net.up5):
        both = skips.pop()
        activate(up.conv1, convolved(up.conv1, double(last, raw)), both[..., : both.shape[-1] // 2])
        last = up.conv2
        raw = convolved(last, both.permute(0, 3, 1, 2))
    raw = convolved(net.conv3, activate(last, raw))
    return activate(net.conv3, raw, slope=SLOPE if net.last_activation else 1.0)
