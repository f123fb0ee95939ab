"""Run a network on overlapping tiles of a picture that is too large for the memory."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vs_slomo.errors import SlomoError
from vs_slomo.model.unet import MULTIPLE

log = logging.getLogger("vs_slomo")

OVERLAP = 4 * MULTIPLE
"""How far neighbouring tiles overlap, in the network's pixels."""
EDGE = MULTIPLE
"""Values nearer than this to a tile's edge, in the network's pixels, hardly count: it saw too little around them."""
SMALLEST = 2 * OVERLAP
"""The shortest side of a tile, in the network's pixels."""


class Tiled(nn.Module):
    """A network from (B, C, H, W) to (B, D, H, W) that cuts large input into tiles, and blends where they overlap.

    net: takes H and W that are multiples of 32. tile: the longest side of a tile in the network's pixels; None is no
    limit. pixels: tells before each run how many pixels there is memory for.

    After running out of memory it tries again with smaller tiles, and keeps to them.
    """

    def __init__(self, net: nn.Module, tile: int | None, pixels: Callable[[], float]) -> None:
        super().__init__()
        self.net, self.tile, self.pixels = net, tile, pixels
        self.limit = float("inf")

    def whole(self, size: torch.Size) -> bool:
        """Whether a picture (..., H, W) is seen as a whole."""
        height, width = size[-2:]
        side = self.tile or max(height, width)
        return tile_size(height, width, side, min(self.limit, self.pixels())) == (height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Run it. Raises SlomoError where even the smallest tile needs too much memory."""
        height, width = x.shape[-2:]
        if x.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return self.net(x)  # type: ignore[no-any-return]  # whoever records has asked whether it is whole
        while True:
            side = self.tile or max(height, width)
            size = tile_size(height, width, side, min(self.limit, self.pixels()))
            try:
                return self.net(x) if size == (height, width) else self.blended(x, size)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if size == tile_size(height, width, side, 0):
                    raise SlomoError(
                        f"out of memory at {size[1]}x{size[0]} pixels, the smallest tile: use a smaller scale, a "
                        "smaller model or another device"
                    ) from error
            self.limit = size[0] * size[1] / 2
            log.warning("out of memory at %dx%d pixels: going on with smaller tiles", size[1], size[0])
            if x.device.type == "cuda":
                torch.cuda.empty_cache()

    def blended(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Run it on tiles (height, width). Each pixel of a tile is weighted by its distance to the tile's edge."""
        log.debug("tiles: %dx%d of %dx%d", size[1], size[0], x.shape[-1], x.shape[-2])
        ramps = [
            (torch.minimum(torch.arange(n) + 1, n - torch.arange(n)) - EDGE).clamp(1e-3, OVERLAP - 2 * EDGE)
            for n in size
        ]
        weight = torch.outer(*ramps).to(x.device)
        total = x.new_zeros(x.shape[-2:], dtype=torch.float32)
        out = x.new_zeros(())
        for top in starts(x.shape[-2], size[0]):
            for left in starts(x.shape[-1], size[1]):
                here = (..., slice(top, top + size[0]), slice(left, left + size[1]))
                part = self.net(x[here])
                if not out.dim():
                    out = part.new_zeros(*part.shape[:2], *x.shape[-2:], dtype=torch.float32)
                out[here] += part * weight
                total[here] += weight
        return out / total


def tile_size(height: int, width: int, side: int, pixels: float) -> tuple[int, int]:
    """Return height and width, multiples of 32, of the largest tiles of at most `side` a side and `pixels` in all."""
    counts, sizes = [1, 1], [height, width]
    while max(sizes) > side or sizes[0] * sizes[1] > pixels:
        i = sizes.index(max(sizes))
        if sizes[i] <= SMALLEST:
            break
        counts[i] += 1
        smaller = -(-((height, width)[i] + (counts[i] - 1) * OVERLAP) // counts[i] // MULTIPLE) * MULTIPLE
        sizes[i] = max(smaller, SMALLEST)
    return sizes[0], sizes[1]


def starts(length: int, tile: int) -> list[int]:
    """Return where the tiles of a row or a column begin: at multiples of 32, like the network's own grid."""
    return [0] if length == tile else [*range(0, length - tile, tile - OVERLAP), length - tile]


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed. PyTorch has an exception type for it on devices, but only a message on the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
