"""Fusion by agreement as Triton kernels; `model.agreement` has the same formula in PyTorch. Needs Triton.

    measure   for each 8x8 cell what both details share, their power, and the difference; for each tile the range
    smooth    the means over 3x3 and 7x7 cells, on a 64th of the pixels; the range of all tiles
    combine   the frame: the weighted sum, without the detail that is not shared, with one frame's grain at rest

No full plane stands between them. `measure` and `combine` both warp a tile of SIDE x SIDE pixels anew; INNER x INNER of
them are their own, and the MARGIN around gives the 7x7 means. So each plane is read twice and written once.

Means and cells are matrix products with bands of ones: a program cannot shift its tile, but it can multiply it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .kernels import _bilinear, motion_at

SIDE = tl.constexpr(64)
MARGIN = tl.constexpr(4)
INNER = tl.constexpr(56)
CELLS = tl.constexpr(7)
"""Cells of a tile's row; a product takes no fewer than 16 rows."""


@triton.jit
def _cubic(d):
    """Weight of a tap at distance d in [0, 2] of the bicubic kernel with a = -3/4, as PyTorch and OpenCV have it."""
    near = (1.25 * d - 2.25) * d * d + 1.0
    far = ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0
    return tl.where(d <= 1.0, near, tl.where(d < 2.0, far, 0.0))


@triton.jit
def _bicubic(ptr, x, y, height, width):
    """Sample a plane (height, width) at positions; each of the 16 taps is clamped to the edges. float32."""
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
            line += weight_x * tl.load(ptr + clamped_row * width + clamped_column).to(tl.float32)
        total += weight_y * line
    return total


@triton.jit
def _below(x, full, none):
    """1 below `full`, 0 above `none`, a line between them."""
    return tl.minimum(tl.maximum((none - x) / (none - full), 0.0), 1.0)


@triton.jit
def _pixels(height, width):
    """Return rows (SIDE, 1) and columns (1, SIDE) of the program's tile, and which of its pixels it must make.

    Beyond the picture stand its edges' pixels, as the means repeat them.
    """
    n = tl.arange(0, SIDE)
    row, column = tl.program_id(1) * INNER - MARGIN + n, tl.program_id(0) * INNER - MARGIN + n
    inner = (n >= MARGIN) & (n < MARGIN + INNER)
    own = (inner & (row < height))[:, None] & (inner & (column < width))[None, :]
    row, column = tl.minimum(tl.maximum(row, 0), height - 1), tl.minimum(tl.maximum(column, 0), width - 1)
    return row[:, None], column[None, :], own


@triton.jit
def _mean7(values, PRECISION: tl.constexpr):
    """The means of 7x7 values around each of (SIDE, SIDE); right where they lie in the tile."""
    n = tl.arange(0, SIDE)
    band = (tl.abs(n[:, None] - n[None, :]) <= 3).to(tl.float32)
    across = tl.dot(values, band, input_precision=PRECISION)
    return tl.dot(band, across, input_precision=PRECISION) / 49.0


@triton.jit
def _cells(values, PRECISION: tl.constexpr):
    """The sums of (SIDE, SIDE) over the tile's 8x8 cells, (16, 16); only CELLS x CELLS of them are."""
    cell, n = tl.arange(0, 16), tl.arange(0, SIDE)
    inside = (((n[None, :] - MARGIN) // 8 == cell[:, None]) & (n >= MARGIN)[None, :]).to(tl.float32)
    rows = tl.dot(inside, values, input_precision=PRECISION)
    return tl.dot(rows, tl.trans(inside), input_precision=PRECISION)


@triton.jit
def _motion(
    ft0, ft1, logit, x, y, field_height, field_width, origin_x, origin_y, grow_x, grow_y, odds, still, moves,
    SHRINK_X: tl.constexpr, SHRINK_Y: tl.constexpr,
):  # fmt: skip
    """Return Ft0 and Ft1 at a tile's pixels, what hardly moves held still, and frame 0's weight."""
    x0, y0, x1, y1, seen = motion_at(
        ft0, ft1, logit, x, y, field_height, field_width, origin_x, origin_y, grow_x, grow_y, SHRINK_X, SHRINK_Y
    )
    moved = 1.0 - _below(tl.maximum(tl.abs(x1 - x0), tl.abs(y1 - y0)), still, moves)
    return x0, y0, x1, y1, moved, tl.sigmoid(seen + odds)


@triton.jit
def measure_kernel(
    ft0, ft1, logit, plane0, plane1,  # as in `kernels.render_kernel`
    cells,  # (2 + CHANNELS, cell_rows, cell_columns) float32
    ranges,  # (2 * CHANNELS + 1, tiles) float32: each channel's least value, its largest, and the sum of all squares
    field_height, field_width, height, width, origin_x, origin_y, grow_x, grow_y, odds, still, moves,
    cell_rows, cell_columns,
    CHANNELS: tl.constexpr, INTEGER: tl.constexpr, SHRINK_X: tl.constexpr, SHRINK_Y: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Write the cells' means of detail0·detail1, of detail² and of the planes' differences, and the tile's range."""
    row, column, own = _pixels(height, width)
    x, y = column.to(tl.float32), row.to(tl.float32)
    x0, y0, x1, y1, moved, weight = _motion(
        ft0, ft1, logit, x, y, field_height, field_width, origin_x, origin_y, grow_x, grow_y, odds, still, moves,
        SHRINK_X, SHRINK_Y,
    )  # fmt: skip
    n = tl.arange(0, 16)
    cell_row, cell_column = tl.program_id(1) * CELLS + n[:, None], tl.program_id(0) * CELLS + n[None, :]
    mask = (n < CELLS)[:, None] & (n < CELLS)[None, :] & (cell_row < cell_rows) & (cell_column < cell_columns)
    cell, size = cell_row * cell_columns + cell_column, cell_rows * cell_columns
    count = tl.maximum(_cells(own.to(tl.float32), PRECISION), 1.0)
    tile, tiles = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.num_programs(0) * tl.num_programs(1)
    shared, power, squares = tl.zeros_like(weight), tl.zeros_like(weight), tl.zeros_like(weight)
    for channel in tl.static_range(CHANNELS):
        first, second = plane0 + channel * height * width, plane1 + channel * height * width
        here = tl.load(first + row * width + column).to(tl.float32)
        there = tl.load(second + row * width + column).to(tl.float32)
        tl.store(ranges + channel * tiles + tile, tl.min(tl.minimum(here, there)))
        tl.store(ranges + (CHANNELS + channel) * tiles + tile, tl.max(tl.maximum(here, there)))
        if not INTEGER:
            squares += tl.where(own, here * here + there * there, 0.0)
        a = _bicubic(first, x + x0 * moved, y + y0 * moved, height, width)
        b = _bicubic(second, x + x1 * moved, y + y1 * moved, height, width)
        detail0, detail1 = a - _mean7(a, PRECISION), b - _mean7(b, PRECISION)
        detail = detail1 + (detail0 - detail1) * weight
        shared += detail0 * detail1
        power += detail * detail
        light = _cells(tl.where(own, a - b, 0.0), PRECISION) / count
        tl.store(cells + (2 + channel) * size + cell, light, mask=mask)
    tl.store(ranges + 2 * CHANNELS * tiles + tile, tl.sum(squares))
    tl.store(cells + cell, _cells(tl.where(own, shared, 0.0), PRECISION) / count, mask=mask)
    tl.store(cells + size + cell, _cells(tl.where(own, power, 0.0), PRECISION) / count, mask=mask)


@triton.jit
def smooth_kernel(
    cells,
    ranges,
    out,  # as `cells`
    whole,  # (2 * CHANNELS + 1,) float32: the ranges of all tiles
    rows,
    columns,
    tiles,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the mean around each cell: over 3x3 cells in the first two layers, over 7x7 in the others.

    The first program of a last layer, which there is not, writes what all tiles have.
    """
    n = tl.arange(0, BLOCK)
    layer = tl.program_id(1)
    if layer < 2 + CHANNELS:
        n += tl.program_id(0) * BLOCK
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
    elif tl.program_id(0) == 0:
        for value in tl.static_range(2 * CHANNELS + 1):
            least = tl.full([BLOCK], float("inf"), tl.float32)
            most = tl.full([BLOCK], float("-inf"), tl.float32)
            total = tl.zeros([BLOCK], dtype=tl.float32)
            for start in range(0, tiles, BLOCK):
                mask = start + n < tiles
                found = tl.load(ranges + value * tiles + start + n, mask=mask, other=0.0)
                least = tl.where(mask, tl.minimum(least, found), least)
                most = tl.where(mask, tl.maximum(most, found), most)
                total += found
            if value < CHANNELS:
                tl.store(whole + value, tl.min(least))
            elif value < 2 * CHANNELS:
                tl.store(whole + value, tl.max(most))
            else:
                tl.store(whole + value, tl.sum(total))


@triton.jit
def combine_kernel(
    ft0, ft1, logit, plane0, plane1,  # as in `kernels.render_kernel`
    cells, whole,  # as `smooth_kernel` writes them
    out,  # (CHANNELS, height, width)
    field_height, field_width, height, width, origin_x, origin_y, grow_x, grow_y, odds, still, moves, at_rest, moving,
    cell_rows, cell_columns, peak, nearest, same, changing, nothing,
    CHANNELS: tl.constexpr, INTEGER: tl.constexpr, SHRINK_X: tl.constexpr, SHRINK_Y: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Write the frame; see `model.agreement.agreed`. nearest: 1 if frame 0 is nearer, else 0.

    Where a plane holds NaN, infinity, or values whose squares overflow: by bilinear warps, as equation 5 has it.
    """
    row, column, own = _pixels(height, width)
    x, y = column.to(tl.float32), row.to(tl.float32)
    place, area = row * width + column, height * width
    x0, y0, x1, y1, moved, weight = _motion(
        ft0, ft1, logit, x, y, field_height, field_width, origin_x, origin_y, grow_x, grow_y, odds, still, moves,
        SHRINK_X, SHRINK_Y,
    )  # fmt: skip
    squares = tl.load(whole + 2 * CHANNELS)
    if squares - squares != 0.0:  # not a finite number
        for channel in tl.static_range(CHANNELS):
            a = _bilinear(plane0 + channel * area, x + x0, y + y0, height, width)
            b = _bilinear(plane1 + channel * area, x + x1, y + y1, height, width)
            tl.store(out + channel * area + place, (b + (a - b) * weight).to(out.dtype.element_ty), mask=own)
    else:
        x0, y0, x1, y1 = x0 * moved, y0 * moved, x1 * moved, y1 * moved
        size = cell_rows * cell_columns
        cell_x, cell_y = (x + 0.5) / 8 - 0.5 + tl.zeros_like(weight), (y + 0.5) / 8 - 0.5 + tl.zeros_like(weight)
        shared = _bilinear(cells, cell_x, cell_y, cell_rows, cell_columns) + nothing
        power = _bilinear(cells + size, cell_x, cell_y, cell_rows, cell_columns) + nothing
        lost = (1.0 - tl.minimum(tl.maximum(shared / power, 0.0), 1.0)) * (4.0 * weight * (1.0 - weight))
        lost = lost * lost
        changed = tl.zeros_like(weight)
        if CHANNELS > 1:  # warped once more below: that is cheaper than to keep them
            for channel in tl.static_range(CHANNELS):
                a = _bicubic(plane0 + channel * area, x + x0, y + y0, height, width)
                b = _bicubic(plane1 + channel * area, x + x1, y + y1, height, width)
                changed += tl.abs(_mean7(a - b, PRECISION)) / (CHANNELS * peak)
        rest = _below(tl.maximum(tl.abs(x1 - x0), tl.abs(y1 - y0)), at_rest, moving)
        for channel in tl.static_range(CHANNELS):
            a = _bicubic(plane0 + channel * area, x + x0, y + y0, height, width)
            b = _bicubic(plane1 + channel * area, x + x1, y + y1, height, width)
            mean0, mean1 = _mean7(a, PRECISION), _mean7(b, PRECISION)
            if CHANNELS == 1:
                changed = tl.abs(mean0 - mean1) / peak
            resting = rest * _below(changed, same, changing)
            detail = (b - mean1) + ((a - mean0) - (b - mean1)) * weight
            light = _bilinear(cells + (2 + channel) * size, cell_x, cell_y, cell_rows, cell_columns)
            value = b + (a - b) * weight - (1.0 - resting) * lost * detail
            value += resting * (nearest - weight) * (a - b - light)
            value = tl.minimum(tl.maximum(value, tl.load(whole + channel)), tl.load(whole + CHANNELS + channel))
            if INTEGER:
                value = tl.floor(tl.minimum(tl.maximum(value, 0.0), peak) + 0.5)
            tl.store(out + channel * area + place, value.to(out.dtype.element_ty), mask=own)
