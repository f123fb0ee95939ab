"""Scenes are what the rest is measured by: their frames and flows have to agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vs_slomo.errors import ArgumentError
from vs_slomo.model.warp import backwarp
from vs_slomo.training.figures import figure, with_figures
from vs_slomo.training.scenes import Scene, Scenes, random_scenes


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("t_a", "t_b"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.0), (2.0, 2.7)])
def test_flow_leads_to_the_same_point(seed, t_a, t_b):
    scene = Scene.random(seed, 96, 128)
    flow, visible = scene.flow(t_a, t_b), scene.visible(t_a, t_b)
    here, there = scene.frame(t_a), scene.frame(t_b)
    assert flow.shape == (2, 96, 128)
    error = (backwarp(there[None], flow[None])[0] - here).abs().mean(0)[visible]
    still = (there - here).abs().mean(0)[visible]
    assert visible.float().mean() > 0.6
    # What is left is bilinear sampling of the grain, twice.
    assert error.mean() < 0.01
    assert error.mean() < 0.25 * still.mean()


def test_there_and_back_ends_at_the_start():
    scene = Scene.random(5, 96, 128)
    out, back = scene.flow(0, 1), scene.flow(1, 0)
    loop = (out + backwarp(back[None], out[None])[0]).norm(dim=0)[scene.visible(0, 1)]
    assert loop.mean() < 0.02
    assert loop.max() < 0.5


def test_no_time_no_flow():
    flow = Scene.random(1, 64, 64).flow(0.3, 0.3)
    assert flow.abs().max() < 2e-3


def test_occluded_pixels_are_not_visible():
    scene = Scene.random(2, 96, 128, speed=12)
    hidden = ~scene.visible(0, 1)
    error = (backwarp(scene.frame(1)[None], scene.flow(0, 1)[None])[0] - scene.frame(0)).abs().mean(0)
    assert error[hidden].mean() > 4 * error[~hidden].mean()


def test_same_seed_same_scene():
    first, again, other = (Scene.random(s, 64, 96).frame(0.25) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.02


def test_a_batch_is_its_scenes():
    both = random_scenes([3, 4], 64, 64)
    t = torch.tensor([0.2, 0.9])
    alone = Scene.random(4, 64, 64)
    torch.testing.assert_close(both.frames(t)[1], alone.frame(0.9))
    torch.testing.assert_close(both.flows(0.0, t)[1], alone.flow(0, 0.9))
    assert isinstance(both.to("cpu"), Scenes)


def test_speed_bounds_the_background():
    flow = Scene.random(9, 64, 96, layers=1, speed=2.0).flow(0, 1)
    # Half the speed, and what turning, growing and bending add over half a picture.
    assert 0.05 < flow.norm(dim=0).mean() < 4


def test_textures_come_from_pictures():
    red = torch.zeros(1, 3, 40, 50)
    red[:, 0] = 0.5
    frame = Scene.random(1, 64, 64, red).frame(0)
    torch.testing.assert_close(frame, torch.tensor([0.5, 0, 0]).view(3, 1, 1).expand(3, 64, 64))


def test_lighting_changes_brightness_and_blur_keeps_it():
    scene = Scene.random(1, 64, 64, lighting=0.3)
    dark = [scene.frame(t).mean() for t in (0.0, 2.0, 4.0)]
    assert max(dark) - min(dark) > 0.03
    plain = Scene.random(1, 64, 64, speed=8)
    blurred = plain.frame(0.5, shutter=1.0)
    assert (blurred - plain.frame(0.5)).abs().mean() > 0.003
    assert (blurred.mean() - plain.frame(0.5).mean()).abs() < 0.01


@pytest.mark.parametrize(
    ("size", "layers", "text"),
    [((8, 64), 6, r"height, width: got \(8, 64\)"), ((64, 64), 0, "layers: got 0")],
)
def test_wrong_arguments(size, layers, text):
    with pytest.raises(ArgumentError, match=text):
        Scene.random(0, *size, layers=layers)


@pytest.mark.parametrize("seed", range(4))
def test_figures_move_as_their_flow_says(seed):
    scene = random_scenes([seed], 128, 160, speed=2.0)
    crowd = with_figures(scene, 2, 20, 0.5, seed)
    assert crowd.centre.shape[1] == scene.centre.shape[1] + 2 * 6
    flow, visible = crowd.flows(0.2, 0.8), crowd.visible(0.2, 0.8)
    here, there = crowd.frames(0.2), crowd.frames(0.8)
    error = (backwarp(there, flow) - here).abs().mean(1)[visible]
    assert error.mean() < 0.01
    assert error.mean() < 0.25 * (there - here).abs().mean(1)[visible].mean()
    assert torch.equal(with_figures(scene, 2, 20, 0.5, seed).frames(0.2), here)


def test_a_limb_stays_where_it_begins():
    """Seen from the trunk, the end of each limb that is at hip or shoulder does not move, while the middle does."""
    limbs = figure(random_scenes([1], 128, 160), 20, 0.5, np.random.default_rng(3))

    def moved(along):
        """How far a point of each layer moves, seen from the trunk. along: in half axes from the middle, (6,)."""
        u = torch.stack((along * limbs.stretch[..., 0], torch.zeros(1, 6)), 2)[..., None, None]
        before, after = (limbs._from_layer(u, torch.tensor([t]))[0, :, :, 0, 0] for t in (0, 1))
        return (after - before - limbs.velocity[0]).norm(dim=1)

    limb = torch.tensor([True, True, False, False, True, True])
    assert moved(torch.where(limb, -1.0, 0.0)).max() < 1e-2
    assert (moved(torch.zeros(6)) > 0.5).equal(limb)
