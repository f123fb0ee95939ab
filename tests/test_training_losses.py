"""Losses against values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from vs_slomo.errors import WeightsError
from vs_slomo.model.superslomo import Motion, SuperSloMo
from vs_slomo.model.unet import enlarged
from vs_slomo.training import losses
from vs_slomo.training.config import Weights
from vs_slomo.training.samples import Sample
from vs_slomo.training.scenes import random_scenes


def constant_flow(x, y, size=16):
    return torch.tensor([x, y], dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, size, size)


def test_frame_loss_is_in_parts_of_dis():
    truth = torch.zeros(2, 3, 8, 8)
    error = torch.tensor([[0.016, 0.00036], [0.036, 0.00156]])
    # An error of 0.02 everywhere, over error + floor: 1 and 1; 1/2 and 1/4.
    expected = [1, (math.log2(1.5) + math.log2(1.25)) / 2]
    torch.testing.assert_close(losses.frame_loss(truth + 0.02, truth, error), torch.tensor(expected))
    assert losses.frame_loss(truth, truth, error).sum() == 0


def test_detail_loss_weighs_each_band_of_its_size():
    truth, error = torch.full((1, 3, 64, 64), 0.5), torch.tensor([[0.016, 1e-4]])
    assert losses.detail_loss(truth, truth, error) == 0
    # Brightness lies in what is left of 5 bands, 16 times as much a pixel: 0.02 * 16 / 5 over 0.016 + 0.004.
    expected = torch.tensor([math.log2(1 + 3.2)])
    torch.testing.assert_close(losses.detail_loss(truth + 0.02, truth, error), expected)
    # A pattern of single pixels lies in the finest band alone: 0.02 / 5 over the same.
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2 - 1.0
    expected = torch.tensor([math.log2(1 + 0.2)])
    torch.testing.assert_close(losses.detail_loss(truth + 0.02 * board, truth, error), expected, rtol=1e-3, atol=0)


def test_the_bands_of_a_pyramid_add_up():
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    *bands, total = losses.pyramid(picture)
    for band in reversed(bands):
        total = band + enlarged(total)
    torch.testing.assert_close(total, picture)


def test_visible_loss_is_the_cross_entropy_of_frame_0_s_weight():
    nothing = torch.zeros(2, 2, 8, 8)
    t = torch.tensor([0.5, 0.2]).view(2, 1, 1, 1)
    motion = Motion(nothing, nothing, torch.zeros(2, 1, 8, 8), t)
    agrees = torch.ones(2, 1, 8, 8)
    # Without a logit frame 0 weighs 1 - t.
    torch.testing.assert_close(losses.visible_loss(motion, agrees), -torch.tensor([0.5, 0.8]).log())
    torch.testing.assert_close(losses.visible_loss(motion, -agrees), -torch.tensor([0.5, 0.2]).log())
    torch.testing.assert_close(losses.visible_loss(motion, agrees / 2), -torch.tensor([0.5, 0.8]).log() / 4)


@pytest.mark.parametrize("scale", [0.5, 1])
def test_motion_is_compared_with_the_teachers_at_t(scale):
    torch.manual_seed(0)
    model, batch = SuperSloMo(2, last_activation=False), batch_of(2)
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    batch = replace(batch, own=torch.tensor([True, True]), teacher=torch.zeros(2, 7, 32, 32))
    # Nothing moves; the teachers say 3 and 4 pixels at half of the frames' size to each end, and are believed by half.
    batch.teacher[:, 0], batch.teacher[:, 3] = 3, 4
    batch.teacher[:, 4:6] = 0.5
    counts = Weights(detail=1, teacher=1, teacher_flow=1, visible=1)
    parts, _ = losses.window_losses(model, batch, scale, weights=counts)
    expected = torch.tensor(0.5 * (3 / (1 + 3) + 4 / (1 + 4)) if scale == 0.5 else 0.5 * (6 / (1 + 6) + 8 / (1 + 8)))
    for name in ("teacher", "teacher_flow"):
        torch.testing.assert_close(parts[name], expected.expand(2), rtol=1e-3, atol=0)
    assert parts["visible"].max() == 0
    assert parts["detail"].min() > 0


def test_warping_loss_vanishes_for_the_true_motion():
    wide = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    i0, i1 = wide[..., :16], wide[..., 4:]  # what is at x in i1 was at x + 4 in i0
    flows = constant_flow(-4, 0), constant_flow(4, 0)
    error = torch.tensor([[0.01, 1e-4]])
    right, wrong = losses.warping_loss(i0, i1, flows, error), losses.warping_loss(i0, i1, flows[::-1], error)
    # Only what leaves the picture is wrong: a quarter of it.
    assert right < 0.35 * wrong


def test_smoothness_of_a_ramp():
    ramp = torch.arange(8.0).expand(1, 2, 8, 8)
    # One pixel a pixel in x, none in y; two flows.
    torch.testing.assert_close(losses.smoothness_loss((ramp, 3 * ramp)), torch.tensor([4.0]))


def test_flow_loss_is_relative_to_the_motion():
    label = constant_flow(3, 4)
    loss = losses.flow_loss((label + constant_flow(3, 0), label), (label, label))
    # 3 pixels off where 5 are moved: 3 / 6, and 0.01 (a hundredth is the loss' rounding) / 6.
    torch.testing.assert_close(loss, torch.tensor([(3.0 + 0.01) / 6]), rtol=1e-3, atol=0)
    half = torch.full((1, 1, 16, 16), 0.5)
    torch.testing.assert_close(
        losses.flow_loss((label + constant_flow(3, 0), label), (label, label), (half, half)), loss / 2
    )


def test_trust_in_true_and_false_labels():
    i0 = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    still = constant_flow(0, 0), constant_flow(0, 0)
    assert losses.trust_in(i0, i0, still)[0].min() == 1
    moved = constant_flow(4, 0), constant_flow(-4, 0)
    assert losses.trust_in(i0, i0, moved)[0].mean() < 0.1
    # It fits, but does not come back.
    gray = torch.full((1, 3, 16, 16), 0.5)
    assert losses.trust_in(gray, gray, moved)[0].mean() > 0.99
    assert losses.trust_in(gray, gray, (moved[0], moved[0]))[0].mean() < 1e-6


def batch_of(count):
    torch.manual_seed(3)
    frames = torch.randint(0, 256, (3, count, 3, 64, 64), dtype=torch.uint8)
    return Sample(
        *frames,
        flow=torch.randn(count, 4, 32, 32),
        bend=torch.randn(count, 2, 32, 32),
        teacher=torch.rand(count, 7, 32, 32),
        t=torch.rand(count, 1, 1, 1) * 0.5 + 0.25,
        error=torch.rand(count, 2) * 0.01,
        own=torch.arange(count) % 2 == 0,
    )


@pytest.mark.parametrize("fine", [True, False])
def test_a_split_batch_has_the_same_losses(fine):
    torch.manual_seed(0)
    model = SuperSloMo(2, last_activation=False)
    batch = batch_of(4)
    whole, picture = losses.window_losses(model, batch, 0.5, fine=fine)
    assert picture.shape == ((4, 3, 64, 64) if fine else (4, 3, 32, 32))
    assert set(whole) == {"frame", "warping", "smoothness", "flow"}
    for k in range(4):
        single = Sample(**{name: value[k : k + 1] for name, value in vars(batch).items()})
        for name, value in losses.window_losses(model, single, 0.5, fine=fine)[0].items():
            torch.testing.assert_close(value[0], whole[name][k], rtol=1e-4, atol=1e-5)
    # The flow network has no part in a sample that starts from DIS.
    assert whole["flow"][1] == whole["warping"][3] == 0


def test_without_pictures_the_flow_s_losses_stay():
    class Flow(SuperSloMo):
        def motion(self, *_args, **_kwargs):
            raise AssertionError

    torch.manual_seed(0)
    model, batch = Flow(2, last_activation=False), batch_of(4)
    parts, picture = losses.window_losses(model, batch, 0.5, weights=Weights(frame=0))
    assert picture is None
    model.__class__ = SuperSloMo
    whole, _ = losses.window_losses(model, batch, 0.5)
    assert parts.keys() == whole.keys() - {"frame"}
    assert all(torch.equal(parts[name], whole[name]) for name in parts)


def test_bent_motion_finds_what_speeds_up():
    wide = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(255 * wide, scale_factor=8, mode="bicubic").clamp(0, 255).byte()
    # From 40 to 64, but at t = 1/2 at 46: 6 behind the line, and the parabola is 1/8 of its acceleration behind it.
    frame0, truth, frame1 = (wide[..., 32:96, x : x + 64] for x in (40, 46, 64))
    model = SuperSloMo(2, last_activation=False)
    for p in model.interp_net.parameters():
        torch.nn.init.zeros_(p)

    def loss(bend):
        flow = torch.cat((constant_flow(-12, 0, 32), constant_flow(12, 0, 32)), 1)
        own, t = torch.tensor([False]), torch.full((1, 1, 1, 1), 0.5)
        nothing = torch.zeros(1, 7, 32, 32)
        sample = Sample(frame0, truth, frame1, flow, bend, nothing, t, torch.tensor([[0.01, 1e-3]]), own)
        return losses.window_losses(model, sample, 0.5)[0]["frame"]

    assert loss(constant_flow(-24, 0, 32)) < 0.6 * loss(constant_flow(0, 0, 32))
    assert loss(constant_flow(24, 0, 32)) > loss(constant_flow(0, 0, 32))


def test_gradients_reach_both_networks():
    model = SuperSloMo(2, last_activation=False)
    parts, _ = losses.window_losses(model, batch_of(2), 0.5)
    parts["frame"].mean().backward()
    for net in (model.flow_net, model.interp_net):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_exact_flow_has_no_scene_loss():
    scenes = random_scenes([1, 2], 32, 32)

    class Knows:
        def flow(self, i0, i1):
            return scenes.flows(0.0, 1.0), scenes.flows(1.0, 0.0)

    assert losses.scene_losses(Knows(), scenes)["scene"].max() < 0.02
    assert losses.scene_losses(SuperSloMo(2), scenes)["scene"].min() > 0.1


def test_vgg_needs_its_weights(tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match="does not hold torchvision's VGG16"):
        losses.Features(tmp_path / "vgg.pth")


def test_perceptual_loss_uses_conv4_3(tmp_path):
    torch.manual_seed(0)
    counts = [c for c in losses.Features.LAYERS if c]
    numbers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)  # of the convolutions in torchvision's vgg16.features
    saved, channels = {}, 3
    for number, count in zip(numbers, counts, strict=True):
        saved[f"features.{number}.weight"] = torch.randn(count, channels, 3, 3) / (3 * channels**0.5)
        saved[f"features.{number}.bias"] = torch.zeros(count)
        channels = count
    torch.save(saved | {"classifier.0.bias": torch.zeros(1)}, tmp_path / "vgg.pth")
    layers = losses.Features(tmp_path / "vgg.pth")
    assert layers(torch.rand(1, 3, 64, 64)).shape == (1, 512, 8, 8)
    parts, _ = losses.window_losses(SuperSloMo(2), batch_of(1), 0.5, features=layers)
    assert parts["perceptual"] > 0
