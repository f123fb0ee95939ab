"""A network on parts of a picture."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vs_slomo.engine.tiles import OVERLAP, SMALLEST, Tiled, starts, tile_size
from vs_slomo.errors import SlomoError
from vs_slomo.model.unet import MULTIPLE

MULTIPLES = st.integers(1, 80).map(lambda n: MULTIPLE * n)


def unlimited():
    return float("inf")


class Local(nn.Module):
    """A network that does not see far; it counts what it ran on."""

    def __init__(self, most=float("inf"), error=None):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 9, padding=4, bias=False).requires_grad_(requires_grad=False)
        self.most, self.sizes = most, []
        self.error = error or RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    def forward(self, x):
        height, width = x.shape[-2:]
        self.sizes.append((height, width))
        if height * width > self.most:
            raise self.error
        return self.conv(x)


@given(MULTIPLES, MULTIPLES, st.integers(SMALLEST, 3000), st.floats(0, 1e7))
def test_the_largest_tiles_that_fit(height, width, side, pixels):
    size = tile_size(height, width, side, pixels)
    for n, whole in zip(size, (height, width), strict=True):
        assert n % MULTIPLE == 0
        assert n <= whole
        assert n == whole or n >= SMALLEST
    assert max(size) <= max(side, SMALLEST)
    assert size[0] * size[1] <= pixels or max(size) <= SMALLEST
    if max(height, width) <= side and height * width <= pixels:
        assert size == (height, width)


@given(MULTIPLES, st.integers(0, 40))
def test_tiles_cover_the_picture_and_overlap(length, more):
    tile = min(length, SMALLEST + MULTIPLE * more)
    places = starts(length, tile)
    assert places[0] == 0
    assert places[-1] == length - tile
    assert all(n % MULTIPLE == 0 for n in places)
    assert all(b - a <= tile - OVERLAP for a, b in pairwise(places))


@pytest.mark.parametrize("size", [(256, 256), (320, 512), (640, 288), (OVERLAP, 512), (96, 320)])
def test_tiles_without_a_seam(size):
    """What sees no farther than the part of a tile that hardly counts gives what it gives on the whole."""
    net = Local()
    x = torch.rand(1, 2, *size)
    expected = net.conv(x)
    made = Tiled(net, SMALLEST, unlimited)(x)
    assert set(net.sizes) == {tuple(min(n, SMALLEST) for n in size)}
    assert torch.allclose(made, expected, atol=2e-3)  # a thousandth is the least weight


def test_no_tiles_where_all_fits():
    net, x = Local(), torch.rand(1, 2, 256, 320)
    assert torch.equal(Tiled(net, None, unlimited)(x), net.conv(x))
    assert net.sizes == [(256, 320)]


def test_as_many_pixels_as_there_is_memory_for():
    net, x = Local(), torch.rand(1, 2, 512, 640)
    Tiled(net, None, lambda: 512 * 400)(x)
    assert all(h * w <= 512 * 400 for h, w in net.sizes)
    assert all(h * w >= 512 * 400 / 2 for h, w in net.sizes)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't allocate memory: you tried to allocate"), MemoryError(), torch.OutOfMemoryError()]
)
def test_smaller_tiles_after_an_error(error, caplog):
    net, x = Local(most=300 * 300, error=error), torch.rand(1, 2, 512, 512)
    tiled = Tiled(net, None, unlimited)
    assert tiled(x).shape == (1, 3, 512, 512)
    assert net.sizes[0] == (512, 512)
    assert "out of memory at 512x512 pixels: going on with smaller tiles" in caplog.text
    net.sizes.clear()
    tiled(x)
    assert all(h * w <= net.most for h, w in net.sizes)  # it has learnt


def test_the_smallest_tile_does_not_fit():
    net = Local(most=100 * 100)
    with pytest.raises(SlomoError) as error:
        Tiled(net, None, unlimited)(torch.rand(1, 2, 512, 512))
    assert str(error.value) == (
        "out of memory at 256x256 pixels, the smallest tile: use a smaller scale, a smaller model or another device"
    )


def test_another_error_is_not_hidden():
    net = Local(most=0, error=RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        Tiled(net, None, unlimited)(torch.rand(1, 2, 512, 512))
    assert len(net.sizes) == 1
