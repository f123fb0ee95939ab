"""The fusion by agreement: what it keeps, what it leaves out, and what it does at rest."""

from __future__ import annotations

import pytest
import torch

from vs_slomo.engine.render import render
from vs_slomo.metrics import psnr
from vs_slomo.model.agreement import agreed, coarse_mean, stilled
from vs_slomo.model.fusion import FUSIONS
from vs_slomo.model.steady import mean_around
from vs_slomo.model.superslomo import Motion
from vs_slomo.model.warp import backwarp

SIZE = (96, 120)
HALF = torch.full((1, 1, *SIZE), 0.5)
MOVING, STILL = torch.full((1, 2, *SIZE), 3.0), torch.full((1, 2, *SIZE), 0.3)


def picture(seed=0, noise=0.0):
    """Structures of many sizes, and noise that differs from picture to picture, (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(7)
    parts = [torch.rand(1, 3, *(max(2, s // k) for s in SIZE), generator=generator) for k in (4, 12, 40)]
    whole = sum(torch.nn.functional.interpolate(p, SIZE, mode="bicubic") for p in parts) / 3
    return whole + noise * torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("moved", [MOVING, STILL])
@pytest.mark.parametrize("weight", [0.5, 0.2, 1.0])
def test_what_both_frames_show_stays(moved, weight):
    same = picture()
    assert torch.allclose(agreed(same, same, weight * torch.ones_like(HALF), moved, 0.5), same, atol=2e-3)


def test_noise_is_left_out():
    truth, a, b = picture(), picture(1, 0.1), picture(2, 0.1)
    assert psnr(agreed(a, b, HALF, MOVING, 0.5), truth) > psnr((a + b) / 2, truth) + 1.5


def test_detail_in_different_places_becomes_soft():
    """Two thin lines where one should be: neither can be right, so both are faint."""
    lines = torch.zeros(2, 1, 1, *SIZE)
    lines[0, ..., 40], lines[1, ..., 46] = 1, 1
    made = agreed(*lines, HALF, MOVING, 0.5)
    assert made[..., 40].max() < 0.2
    assert torch.allclose(made.sum(-1), torch.ones(1), atol=0.02)  # none of their light is lost


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_one_frame_alone_shows_is_kept_whole(weight):
    a, b = picture(1, 0.2), picture(2, 0.2)
    assert torch.allclose(agreed(a, b, weight * torch.ones_like(HALF), MOVING, 0.5), a if weight else b, atol=1e-6)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_at_rest_new_frames_have_the_grain_of_the_nearer_one(t):
    a, b = picture(1, 0.03), picture(2, 0.03)
    nearer, other = (a, b) if t <= 0.5 else (b, a)
    made = agreed(a, b, HALF, STILL, t)
    assert psnr(made, nearer) > psnr(made, other) + 10
    assert float((made - picture()).var()) == pytest.approx(float((nearer - picture()).var()), rel=0.05)


def test_at_rest_light_still_changes_with_time():
    """A fade is halfway there, whichever frame the grain is of."""
    a, b = picture(1, 0.02), picture(2, 0.02) * 0.5
    made = agreed(a, b, HALF, STILL, 0.5)
    assert float(made.mean()) == pytest.approx(float((a + b).mean()) / 2, rel=1e-3)


@pytest.mark.parametrize("size", [4, 12, 60])
def test_what_fades_in_at_rest_is_halfway_there(size):
    a = torch.full((1, 1, *SIZE), 0.4)
    b = a.clone()
    b[..., 20 : 20 + size, 30 : 30 + size] += 0.2
    made = agreed(a, b, HALF, STILL, 0.5)
    assert float(made[..., 20 + size // 2, 30 + size // 2]) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(("pixels", "part"), [(0.1, 0.0), (0.2, 0.6), (0.3, 1.0), (-8.0, 1.0)])
def test_next_to_no_motion_is_none(pixels, part):
    """What counts is the way from frame to frame, not that from t."""
    way = torch.full((1, 2, 4, 4), pixels)
    for found, given in zip(stilled(-0.25 * way, 0.75 * way), (-0.25 * way, 0.75 * way), strict=True):
        assert torch.allclose(found, part * given, atol=1e-6)


def test_times_of_a_batch():
    a, b = picture(1, 0.05), picture(2, 0.05)
    both = [torch.cat((x, x)) for x in (a, b, HALF, STILL)]
    made = agreed(*both, torch.tensor([0.25, 0.75]).view(2, 1, 1, 1))
    for k, t in enumerate((0.25, 0.75)):
        assert torch.allclose(made[k : k + 1], agreed(a, b, HALF, STILL, t), atol=1e-6)


def test_the_range_does_not_matter():
    a, b = picture(1, 0.05), picture(2, 0.05)
    assert torch.allclose(
        agreed(1023 * a, 1023 * b, HALF, MOVING, 0.5, 1023), 1023 * agreed(a, b, HALF, MOVING, 0.5), atol=0.01
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (8, 8), (17, 64)])
def test_means(size):
    plane = torch.rand(2, 3, *size)
    assert mean_around(plane, 25).shape == plane.shape
    assert torch.allclose(mean_around(torch.full_like(plane, 0.3), 7), torch.tensor(0.3))
    assert coarse_mean(plane, 7).shape == plane.shape
    assert torch.allclose(coarse_mean(torch.full_like(plane, 0.3), 7), torch.tensor(0.3))
    part = torch.full((1, 1, *size), 0.5)
    same = agreed(plane[:1], plane[:1], part, MOVING[..., :1, :1].expand(1, 2, *size), 0.5)
    assert same.shape == plane[:1].shape
    assert torch.isfinite(same).all()


def between(values, moved=0.7):
    """Planes with an edge, and a motion by part of a pixel."""
    a = torch.full((1, 1, 32, 32), values[0])
    a[..., 16:] = values[1]
    way = torch.full((1, 2, 32, 32), moved)
    return Motion(-way, way, torch.zeros(1, 1, 32, 32), 0.5, FUSIONS["agreement"]), a, a


@pytest.mark.parametrize("values", [(0.0, 1.0), (-0.5, 0.5), (0.0, 40.0)])
def test_no_value_is_beyond_those_of_both_frames(values):
    motion, a, b = between(values)
    assert backwarp(a, motion.ft0, "bicubic").max() > values[1] + 0.05  # such warps go beyond
    for made in (render(motion, a, b, 1, 1), motion.render(a, b)):
        assert made.min() >= values[0]
        assert made.max() <= values[1]


def test_values_whose_squares_are_none_stay_where_they_are():
    motion, a, b = between((0.0, 1.0))
    a = a.clone()
    a[..., 4, 4] = 1e20
    made = render(motion, a, b, 1, 1)
    assert torch.isfinite(made).all()
    assert (made > 2).sum() <= 9


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_stays_where_it_is(value):
    motion, a, b = between((0.0, 1.0))
    a = a.clone()
    a[..., 4, 4] = value
    made = render(motion, a, b, 1, 1)
    assert (~torch.isfinite(made)).sum() <= 9
    assert not torch.isfinite(made[..., 3:6, 3:6]).all()
