"""Kernels for CUDA, in Triton; `engine.render` has the same for every other device."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _bilinear(ptr, x, y, height, width):
    """Sample a (height, width) plane at positions that are clamped to its edges; float32."""
    x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    part_x, part_y = x - left, y - top
    x0, y0 = left.to(tl.int32), top.to(tl.int32)
    x1, y1 = tl.minimum(x0 + 1, width - 1), tl.minimum(y0 + 1, height - 1)
    a, b = tl.load(ptr + y0 * width + x0).to(tl.float32), tl.load(ptr + y0 * width + x1).to(tl.float32)
    c, d = tl.load(ptr + y1 * width + x0).to(tl.float32), tl.load(ptr + y1 * width + x1).to(tl.float32)
    above, below = a + (b - a) * part_x, c + (d - c) * part_x
    return above + (below - above) * part_y


@triton.jit
def _field(ptr, x, y, height, width, SHRINK_X: tl.constexpr, SHRINK_Y: tl.constexpr):
    """Sample a field (height, width) at positions in what is left of it when SHRINK_Y x SHRINK_X pixels become one."""
    if SHRINK_X == 1 and SHRINK_Y == 1:
        return _bilinear(ptr, x, y, height, width)
    total = tl.zeros_like(x)
    x = tl.minimum(tl.maximum(x, 0.0), width // SHRINK_X - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), height // SHRINK_Y - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    # A shrunk side is sampled at whole pixels, each the mean of several; the other one between two.
    for i in tl.static_range(SHRINK_Y if SHRINK_Y > 1 else 2):
        if SHRINK_Y > 1:
            row, weight_y = top.to(tl.int32) * SHRINK_Y + i, tl.zeros_like(y) + 1.0 / SHRINK_Y
        else:
            row, weight_y = tl.minimum(top.to(tl.int32) + i, height - 1), 1.0 - tl.abs(y - top - i)
        for j in tl.static_range(SHRINK_X if SHRINK_X > 1 else 2):
            if SHRINK_X > 1:
                column, weight_x = left.to(tl.int32) * SHRINK_X + j, tl.zeros_like(x) + 1.0 / SHRINK_X
            else:
                column, weight_x = tl.minimum(left.to(tl.int32) + j, width - 1), 1.0 - tl.abs(x - left - j)
            total += weight_y * weight_x * tl.load(ptr + row * width + column).to(tl.float32)
    return total


@triton.jit
def motion_at(
    ft0, ft1, logit, x, y, height, width, origin_x, origin_y, grow_x, grow_y,
    SHRINK_X: tl.constexpr, SHRINK_Y: tl.constexpr,
):  # fmt: skip
    """Return Ft0 and Ft1 at pixels of the planes, in their pixels, and the logit. The rest is as in `render_kernel`."""
    # The position of the pixel's centre in the fields, after those that are finer than the plane are shrunk.
    field_x = (x + origin_x + 0.5) / tl.maximum(grow_x, 1.0) - 0.5 + tl.zeros_like(y)
    field_y = (y + origin_y + 0.5) / tl.maximum(grow_y, 1.0) - 0.5 + tl.zeros_like(x)
    size = height * width
    x0 = grow_x * _field(ft0, field_x, field_y, height, width, SHRINK_X, SHRINK_Y)
    y0 = grow_y * _field(ft0 + size, field_x, field_y, height, width, SHRINK_X, SHRINK_Y)
    x1 = grow_x * _field(ft1, field_x, field_y, height, width, SHRINK_X, SHRINK_Y)
    y1 = grow_y * _field(ft1 + size, field_x, field_y, height, width, SHRINK_X, SHRINK_Y)
    return x0, y0, x1, y1, _field(logit, field_x, field_y, height, width, SHRINK_X, SHRINK_Y)


@triton.jit
def render_kernel(
    ft0,  # (2, field_height, field_width), pixels of the fields
    ft1,
    logit,  # (1, field_height, field_width)
    plane0,  # (CHANNELS, height, width)
    plane1,
    out,
    field_height,
    field_width,
    height,
    width,
    origin_x,
    origin_y,
    grow_x,  # the planes' size as a part of the fields'
    grow_y,
    odds,
    peak,
    CHANNELS: tl.constexpr,
    INTEGER: tl.constexpr,
    SHRINK_X: tl.constexpr,  # 1 / grow_x, where that is more than 1
    SHRINK_Y: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Make one block of a row: bring the fields to the planes' size, sample both planes, mix them, round."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    column, row = tl.minimum(column, width - 1), tl.program_id(1)
    x = column.to(tl.float32)
    y = tl.zeros_like(x) + row
    x0, y0, x1, y1, seen = motion_at(
        ft0, ft1, logit, x, y, field_height, field_width, origin_x, origin_y, grow_x, grow_y, SHRINK_X, SHRINK_Y
    )
    weight = tl.sigmoid(seen + odds)
    for channel in tl.static_range(CHANNELS):
        start = channel * height * width
        a = _bilinear(plane0 + start, x + x0, y + y0, height, width)
        b = _bilinear(plane1 + start, x + x1, y + y1, height, width)
        value = b + (a - b) * weight
        if INTEGER:
            value = tl.floor(tl.minimum(tl.maximum(value, 0.0), peak) + 0.5)
        tl.store(out + start + row * width + column, value.to(out.dtype.element_ty), mask=mask)
