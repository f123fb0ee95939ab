"""Kernels for CUDA, in Triton; `engine.render` has the same for every other device."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def stepped_bilinear(ptr, x, y, height, width, row_step, step, mask):
    """Sample a (height, width) plane at positions that are clamped to its edges; float32.

    row_step, step: values from one row and pixel to the next.
    """
    x = tl.minimum(tl.maximum(x, 0.0), width - 1.0)
    y = tl.minimum(tl.maximum(y, 0.0), height - 1.0)
    left, top = tl.floor(x), tl.floor(y)
    part_x, part_y = x - left, y - top
    x0, y0 = left.to(tl.int32), top.to(tl.int32)
    x1, y1 = tl.minimum(x0 + 1, width - 1), tl.minimum(y0 + 1, height - 1)
    a = tl.load(ptr + y0 * row_step + x0 * step, mask=mask, other=0).to(tl.float32)
    b = tl.load(ptr + y0 * row_step + x1 * step, mask=mask, other=0).to(tl.float32)
    c = tl.load(ptr + y1 * row_step + x0 * step, mask=mask, other=0).to(tl.float32)
    d = tl.load(ptr + y1 * row_step + x1 * step, mask=mask, other=0).to(tl.float32)
    above, below = a + (b - a) * part_x, c + (d - c) * part_x
    return above + (below - above) * part_y


@triton.jit
def bilinear(ptr, x, y, height, width, mask):
    """Do the same with a plane that lies in a row."""
    return stepped_bilinear(ptr, x, y, height, width, width, 1, mask)


@triton.jit
def motion_at(fields, x, y, field_height, field_width, origin_x, origin_y, ratio_x, ratio_y, mask):
    """Return Ft0 and Ft1 at a row's pixels, in the planes' pixels, and the logit. fields: as in `render_kernel`."""
    # The position of the pixel's centre in the fields, which are no finer than the plane.
    field_x = (x + origin_x + 0.5) / tl.maximum(ratio_x, 1.0) - 0.5
    field_y = (y + origin_y + 0.5) / tl.maximum(ratio_y, 1.0) - 0.5 + tl.zeros_like(field_x)
    size = field_height * field_width
    x0 = ratio_x * bilinear(fields, field_x, field_y, field_height, field_width, mask)
    y0 = ratio_y * bilinear(fields + size, field_x, field_y, field_height, field_width, mask)
    x1 = ratio_x * bilinear(fields + 2 * size, field_x, field_y, field_height, field_width, mask)
    y1 = ratio_y * bilinear(fields + 3 * size, field_x, field_y, field_height, field_width, mask)
    logit = bilinear(fields + 4 * size, field_x, field_y, field_height, field_width, mask)
    return x0, y0, x1, y1, logit


@triton.jit
def render_kernel(
    fields,  # (5, field_height, field_width) float32: Ft0, Ft1, logit
    plane0,  # (CHANNELS, height, width)
    plane1,
    out,
    field_height,
    field_width,
    height,
    width,
    origin_x,
    origin_y,
    ratio_x,
    ratio_y,
    odds,
    peak,
    CHANNELS: tl.constexpr,
    INTEGER: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Make one block of a row: enlarge the fields, sample both planes, mix them, round."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1)
    mask = column < width
    x, y = column.to(tl.float32), row.to(tl.float32)
    x0, y0, x1, y1, logit = motion_at(
        fields, x, y, field_height, field_width, origin_x, origin_y, ratio_x, ratio_y, mask
    )
    weight = tl.sigmoid(logit + odds)
    for channel in tl.static_range(CHANNELS):
        start = channel * height * width
        a = bilinear(plane0 + start, x + x0, y + y0, height, width, mask)
        b = bilinear(plane1 + start, x + x1, y + y1, height, width, mask)
        value = b + (a - b) * weight
        if INTEGER:
            value = tl.floor(tl.minimum(tl.maximum(value, 0.0), peak) + 0.5)
        tl.store(out + start + row * width + column, value.to(out.dtype.element_ty), mask=mask)
