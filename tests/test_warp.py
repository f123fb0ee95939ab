"""Warping: exact positions, order and direction of the flow, the border, precision."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import torch

from vs_slomo.model.warp import backwarp, pixel_grid, resize_field


def constant(x, y, height, width):
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, height, width)


def test_the_grid_is_x_then_y():
    grid = pixel_grid(2, 3)
    assert grid.tolist() == [[[[0, 1, 2], [0, 1, 2]], [[0, 0, 0], [1, 1, 1]]]]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (64, 96), (720, 1280)])
def test_no_flow_returns_the_image(size):
    """To 1e-4 of the range: grid_sample's coordinates are float32, in [-1, 1]."""
    image = torch.rand(1, 2, *size)
    out = backwarp(image, constant(0, 0, *size))
    assert out.shape == image.shape
    assert (out - image).abs().max() < 1e-4


@pytest.mark.parametrize(("x", "y"), [(1, 0), (-1, 0), (0, 1), (0, -1), (3, -2), (-4, 5)])
def test_whole_pixels(x, y):
    """out(p) = image(p + flow): positive x looks to the right, positive y down; past the border, the border's."""
    image = torch.rand(1, 3, 9, 11)
    out = backwarp(image, constant(x, y, 9, 11))
    rows = np.clip(np.arange(9) + y, 0, 8)
    columns = np.clip(np.arange(11) + x, 0, 10)
    assert torch.allclose(out, image[:, :, rows][..., columns], atol=1e-5)


def test_between_pixels_it_is_linear():
    """A plane a x + b y + c is sampled exactly."""
    y, x = np.mgrid[:16, :24]
    image = torch.tensor(0.02 * x - 0.01 * y + 0.3, dtype=torch.float32)[None, None]
    out = backwarp(image, constant(1.25, -2.6, 16, 24))
    expected = 0.02 * (x + 1.25) - 0.01 * (y - 2.6) + 0.3
    assert abs(out[0, 0].numpy() - expected)[3:, :-2].max() < 1e-5


@pytest.mark.parametrize("size", [(7, 5), (1, 8), (33, 64)])
def test_oracle(size):
    """Random flows, far outside too."""
    torch.manual_seed(0)
    image, flow = torch.rand(2, 3, *size), 12 * torch.randn(2, 2, *size)
    out = backwarp(image, flow)
    for k in range(2):
        expected = oracle.warp(image[k].double().numpy(), flow[k].double().numpy())
        assert abs(out[k].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_are_float32_in_half_precision_too(dtype):
    """At x = 3000 half precision knows every second pixel only."""
    image = (torch.arange(4096) % 2).to(dtype).expand(1, 1, 4, 4096)
    out = backwarp(image, constant(1, 0, 4, 4096).to(dtype))
    assert out.dtype == dtype
    assert (out[..., :-1] - image[..., 1:]).abs().max() < 0.01


def test_gradients_lead_to_the_match():
    """For training: a flow that falls short is pulled on."""
    image = torch.sin(torch.arange(32) / 4).expand(1, 1, 16, 32)
    target = backwarp(image, constant(1.5, 0, 16, 32))
    flow = constant(1, 0, 16, 32).clone().requires_grad_()
    ((backwarp(image, flow) - target) ** 2)[..., 2:-3].sum().backward()
    assert (flow.grad[:, 0, :, 2:-3] <= 1e-6).all()
    assert flow.grad[:, 1].abs().max() < 1e-4


@pytest.mark.parametrize(("x", "y"), [(2, 2), (4, 1), (1, 8), (0.5, 0.5), (0.5, 1), (0.25, 0.125)])
def test_resized_fields_keep_their_place(x, y):
    """A ramp stays the same ramp, seen from the centres of the new pixels."""
    height, width = 16, 24

    def ramp(ratio_x, ratio_y):
        j, i = np.mgrid[: int(height * ratio_y), : int(width * ratio_x)]
        return 0.5 * ((i + 0.5) / ratio_x - 0.5) - 0.25 * ((j + 0.5) / ratio_y - 0.5)

    field = torch.tensor(ramp(1, 1), dtype=torch.float32)[None, None]
    out = resize_field(field, x, y)[0, 0].numpy()
    assert out.shape == ramp(x, y).shape
    rows, columns = (slice(int(r), -int(r)) if r > 1 else slice(None) for r in (y, x))  # the border is clamped
    assert abs(out - ramp(x, y))[rows, columns].max() < 1e-5


def test_resized_by_one_is_the_same():
    field = torch.rand(1, 2, 8, 8)
    assert torch.equal(resize_field(field, 1, 1), field)


@pytest.mark.parametrize("times", [2, 4, 8])
def test_enlarged_fields_match_the_oracle(times):
    field = torch.rand(1, 2, 5, 3)
    expected = oracle.enlarge(field[0].double().numpy(), times)
    assert abs(resize_field(field, times, times)[0].numpy() - expected).max() < 1e-6
