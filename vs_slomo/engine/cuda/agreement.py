"""Fusion by agreement as Triton kernels; `model.agreement` has the same formula in PyTorch. Needs Triton.

    warp      Ft0, Ft1 and the logit enlarged, what hardly moves held still, both planes warped
    measure   the 7x7 means of both; for each 8x8 cell what both details share, their power, and the difference
    smooth    the means over 3x3 and 7x7 cells, on a 64th of the pixels
    combine   the frame: the weighted sum, without the detail that is not shared, with one frame's grain at rest

Between the kernels stand float32 planes: both warped planes and both means (16·C bytes a pixel, written once and read
twice, the means once), and frame 0's weight and what is at rest (8 bytes).
"""

from __future__ import annotations

import triton
import triton.language as tl

from .kernels import bilinear, motion_at


@triton.jit
def _cubic(d):
    """Weight of a tap at distance d in [0, 2] of the bicubic kernel with a = -3/4, as PyTorch and OpenCV have it."""
    near = (1.25 * d - 2.25) * d * d + 1.0
    far = ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0
    return tl.where(d <= 1.0, near, tl.where(d < 2.0, far, 0.0))


@triton.jit
def _bicubic(ptr, x, y, height, width, mask):
    """Sample planes (height, width) at positions; each of the 16 taps is clamped to the edges. float32."""
    # Far outside every tap is the same border pixel: so far is enough, and integers do not overflow.
    x = tl.minimum(tl.maximum(x, -4.0), width + 4.0)
    y = tl.minimum(tl.maximum(y, -4.0), height + 4.0)
    left, top = tl.floor(x), tl.floor(y)
    total = tl.zeros_like(x)
    for i in tl.static_range(4):
        row = top + (i - 1)
        weight_y = _cubic(tl.abs(y - row))
        clamped_row = tl.minimum(tl.maximum(row, 0.0), height - 1.0).to(tl.int32)
        line = tl.zeros_like(x)
        for j in tl.static_range(4):
            column = left + (j - 1)
            weight_x = _cubic(tl.abs(x - column))
            clamped_column = tl.minimum(tl.maximum(column, 0.0), width - 1.0).to(tl.int32)
            tap = tl.load(ptr + clamped_row * width + clamped_column, mask=mask, other=0).to(tl.float32)
            line += weight_x * tap
        total += weight_y * line
    return total


@triton.jit
def _below(x, full, none):
    """1 below `full`, 0 above `none`, a line between them."""
    return tl.minimum(tl.maximum((none - x) / (none - full), 0.0), 1.0)


@triton.jit
def warp_kernel(
    fields,  # (5, field_height, field_width) float32: Ft0, Ft1, logit
    plane0,  # (CHANNELS, height, width)
    plane1,
    finite,  # (1,) int32: 0 where a plane holds NaN, infinity, or a value whose square overflows
    warped,  # (2, CHANNELS, height, width) float32
    told,  # (2, height, width) float32: frame 0's weight, and 1 at rest to 0 in motion
    field_height,
    field_width,
    height,
    width,
    origin_x,
    origin_y,
    ratio_x,
    ratio_y,
    odds,
    still,
    moves,
    at_rest,
    moving,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write both warped planes. Where bicubic values are not finite, warp bilinearly, as equation 5 does."""
    column, row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    mask = column < width
    x, y = column.to(tl.float32), row.to(tl.float32)
    area = height * width
    x0, y0, x1, y1, logit = motion_at(
        fields, x, y, field_height, field_width, origin_x, origin_y, ratio_x, ratio_y, mask
    )
    place = row * width + column
    tl.store(told + place, tl.sigmoid(logit + odds), mask=mask)
    if tl.load(finite) == 0:
        for channel in tl.static_range(CHANNELS):
            start = channel * area
            tl.store(warped + start + place, bilinear(plane0 + start, x + x0, y + y0, height, width, mask), mask=mask)
            value = bilinear(plane1 + start, x + x1, y + y1, height, width, mask)
            tl.store(warped + (CHANNELS + channel) * area + place, value, mask=mask)
    else:
        moved = 1.0 - _below(tl.maximum(tl.abs(x1 - x0), tl.abs(y1 - y0)), still, moves)
        x0, y0, x1, y1 = x0 * moved, y0 * moved, x1 * moved, y1 * moved
        rest = _below(tl.maximum(tl.abs(x1 - x0), tl.abs(y1 - y0)), at_rest, moving)
        tl.store(told + area + place, rest, mask=mask)
        for channel in tl.static_range(CHANNELS):
            start = channel * area
            tl.store(warped + start + place, _bicubic(plane0 + start, x + x0, y + y0, height, width, mask), mask=mask)
            value = _bicubic(plane1 + start, x + x1, y + y1, height, width, mask)
            tl.store(warped + (CHANNELS + channel) * area + place, value, mask=mask)


@triton.jit
def _mean7(plane, row, column, height, width, mask):
    """The mean of 7x7 pixels around each, the border repeated."""
    total = tl.zeros_like(row + column).to(tl.float32)
    for dy in range(-3, 4):
        line = tl.minimum(tl.maximum(row + dy, 0), height - 1) * width
        for dx in tl.static_range(-3, 4):
            total += tl.load(plane + line + tl.minimum(tl.maximum(column + dx, 0), width - 1), mask=mask, other=0.0)
    return total / 49.0


@triton.jit
def _cells(values, COLUMNS: tl.constexpr):
    """The sums of (8, 8 · COLUMNS) over 8x8 cells, (COLUMNS,)."""
    return tl.sum(tl.reshape(tl.sum(values, axis=0), (COLUMNS, 8)), axis=1)


@triton.jit
def measure_kernel(
    warped,  # as `warp_kernel` writes them
    told,
    means,  # (2, CHANNELS, height, width) float32
    cells,  # (2 + CHANNELS, cell_rows, cell_columns) float32
    height,
    width,
    cell_rows,
    cell_columns,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Write the 7x7 means, and the cells' means of detail0·detail1, of detail² and of the planes' differences."""
    row = tl.program_id(1) * 8 + tl.arange(0, 8)[:, None]
    column = tl.program_id(0) * 8 * COLUMNS + tl.arange(0, 8 * COLUMNS)[None, :]
    mask = (row < height) & (column < width)
    place, area = row * width + column, height * width
    weight = tl.load(told + place, mask=mask, other=0.0)
    shared, power = tl.zeros_like(weight), tl.zeros_like(weight)
    count = tl.maximum(_cells(mask.to(tl.float32), COLUMNS), 1.0)
    cell_column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    own, size = cell_column < cell_columns, cell_rows * cell_columns
    cell = tl.program_id(1) * cell_columns + cell_column
    for channel in tl.static_range(CHANNELS):
        start0, start1 = channel * area, (CHANNELS + channel) * area
        a = tl.load(warped + start0 + place, mask=mask, other=0.0)
        b = tl.load(warped + start1 + place, mask=mask, other=0.0)
        mean0 = _mean7(warped + start0, row, column, height, width, mask)
        mean1 = _mean7(warped + start1, row, column, height, width, mask)
        tl.store(means + start0 + place, mean0, mask=mask)
        tl.store(means + start1 + place, mean1, mask=mask)
        detail0, detail1 = a - mean0, b - mean1
        detail = detail1 + (detail0 - detail1) * weight
        shared += detail0 * detail1
        power += detail * detail
        tl.store(cells + (2 + channel) * size + cell, _cells(a - b, COLUMNS) / count, mask=own)
    tl.store(cells + cell, _cells(shared, COLUMNS) / count, mask=own)
    tl.store(cells + size + cell, _cells(power, COLUMNS) / count, mask=own)


@triton.jit
def smooth_kernel(cells, out, rows, columns, BLOCK: tl.constexpr) -> None:
    """Write the mean around each cell: over 3x3 cells in the first two layers, over 7x7 in the others."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    layer = tl.program_id(1)
    mask = n < rows * columns
    row, column = n // columns, n % columns
    reach = tl.where(layer < 2, 1, 3)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            at_row = tl.minimum(tl.maximum(row + dy, 0), rows - 1)
            at_column = tl.minimum(tl.maximum(column + dx, 0), columns - 1)
            near = (dy >= -reach) & (dy <= reach) & (dx >= -reach) & (dx <= reach)
            place = layer * rows * columns + at_row * columns + at_column
            total += tl.load(cells + place, mask=mask & near, other=0.0)
    side = 2 * reach + 1
    tl.store(out + layer * rows * columns + n, total / (side * side), mask=mask)


@triton.jit
def combine_kernel(
    warped,  # as `warp_kernel` writes them
    told,
    means,  # as `measure_kernel` writes them
    cells,  # as `smooth_kernel` writes them
    bounds,  # (2, CHANNELS) float32: the least and the largest value of both planes
    finite,  # as in `warp_kernel`
    out,  # (CHANNELS, height, width)
    height,
    width,
    cell_rows,
    cell_columns,
    peak,
    nearest,
    same,
    changing,
    nothing,
    CHANNELS: tl.constexpr,
    INTEGER: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the frame; see `model.agreement.agreed`. nearest: 1 if frame 0 is nearer, else 0."""
    column, row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    mask = column < width
    place, area = row * width + column, height * width
    weight = tl.load(told + place, mask=mask, other=0.0)
    if tl.load(finite) == 0:
        for channel in tl.static_range(CHANNELS):
            a = tl.load(warped + channel * area + place, mask=mask, other=0.0)
            b = tl.load(warped + (CHANNELS + channel) * area + place, mask=mask, other=0.0)
            value = b + (a - b) * weight
            tl.store(out + channel * area + place, value.to(out.dtype.element_ty), mask=mask)
    else:
        size = cell_rows * cell_columns
        cell_x = (column.to(tl.float32) + 0.5) / 8 - 0.5
        cell_y = (row.to(tl.float32) + 0.5) / 8 - 0.5 + tl.zeros_like(cell_x)
        shared = bilinear(cells, cell_x, cell_y, cell_rows, cell_columns, mask) + nothing
        power = bilinear(cells + size, cell_x, cell_y, cell_rows, cell_columns, mask) + nothing
        lost = (1.0 - tl.minimum(tl.maximum(shared / power, 0.0), 1.0)) * (4.0 * weight * (1.0 - weight))
        lost = lost * lost
        changed = tl.zeros_like(weight)
        for channel in tl.static_range(CHANNELS):
            mean0 = tl.load(means + channel * area + place, mask=mask, other=0.0)
            mean1 = tl.load(means + (CHANNELS + channel) * area + place, mask=mask, other=0.0)
            changed += tl.abs(mean0 - mean1) / (CHANNELS * peak)
        rest = tl.load(told + area + place, mask=mask, other=0.0) * _below(changed, same, changing)
        for channel in tl.static_range(CHANNELS):
            a = tl.load(warped + channel * area + place, mask=mask, other=0.0)
            b = tl.load(warped + (CHANNELS + channel) * area + place, mask=mask, other=0.0)
            mean0 = tl.load(means + channel * area + place, mask=mask, other=0.0)
            mean1 = tl.load(means + (CHANNELS + channel) * area + place, mask=mask, other=0.0)
            fused = b + (a - b) * weight
            detail = (b - mean1) + ((a - mean0) - (b - mean1)) * weight
            light = bilinear(cells + (2 + channel) * size, cell_x, cell_y, cell_rows, cell_columns, mask)
            value = fused - (1.0 - rest) * lost * detail + rest * (nearest - weight) * (a - b - light)
            value = tl.minimum(tl.maximum(value, tl.load(bounds + channel)), tl.load(bounds + CHANNELS + channel))
            if INTEGER:
                value = tl.floor(tl.minimum(tl.maximum(value, 0.0), peak) + 0.5)
            tl.store(out + channel * area + place, value.to(out.dtype.element_ty), mask=mask)
