"""Flow stages and fusions: each is added in one place, and works everywhere from there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import moving, planes
from conftest import SHIFT, python

from vs_slomo import motion, slomo, weights
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.settings import check_flow
from vs_slomo.errors import ArgumentError
from vs_slomo.model.flow import FLOWS, FlowStage, Found
from vs_slomo.model.fusion import DRAFT, FUSIONS, Fusion
from vs_slomo.model.steady import mean_around
from vs_slomo.model.superslomo import network_input

PACKAGE = Path(__file__).parents[1] / "vs_slomo"
CLIP = moving(vs.YUV420P8, 64, 48, length=3)


class Still(FlowStage):
    """A toy: nothing moves, and it wants to see the gray frames at full size."""

    needs_gray = True
    seen = ()

    def ratio(self, scale):
        return 1.0

    def find(self, seen, model):
        assert isinstance(seen.gray[0], np.ndarray)
        self.seen = seen.gray[0].shape
        height, width = (round(n / seen.scale) for n in seen.i0.shape[-2:])
        nothing = torch.zeros(1, 2, height, width)
        small = torch.zeros(1, 2, *seen.i0.shape[-2:])
        return Found((small, small), (nothing, nothing))


class Second(Fusion):
    """A toy: the second frame alone, warped, and brighter by a mean of itself."""

    spreads = True

    def fuse(self, moving, way):
        warped = way.warp(moving, "bilinear")
        return (warped.plane1 + mean_around(warped.plane1, 3)) / 2


def test_a_new_flow_stage(shifting_model, monkeypatch):
    monkeypatch.setitem(FLOWS, "still", still := Still())
    options = {"model": shifting_model, "device": "cpu", "scale": 0.5, "flow": "still", "curved": False}
    out = slomo(CLIP, 2, **options).get_frame(1)
    assert still.seen == (48, 64)
    a, b = (planes(CLIP.get_frame(k)) for k in (0, 1))
    for made, x, y in zip(planes(out), a, b, strict=True):
        assert abs(made.astype(float) - (x.astype(float) + y) / 2).max() <= 0.5
    forward = motion(CLIP, **options).forward.get_frame(0)
    assert not np.asarray(forward[0]).any()
    assert check_flow("still", "unet", 1, "cpu") == "still"


def test_a_new_fusion(shifting_model, tmp_path, monkeypatch):
    monkeypatch.setitem(FUSIONS, "second", Second())
    file = tmp_path / "model.safetensors"
    weights.convert(shifting_model, file, fusion="second")
    assert weights.read_info(file).fusion == "second"
    made, paper = (slomo(CLIP, 2, model=m, device="cpu", curved=False).get_frame(1) for m in (file, shifting_model))
    assert not np.array_equal(np.asarray(made[0]), np.asarray(paper[0]))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_motion_knows_its_own_resolution(seeing_model, tmp_path, engine_of, flow, fusion, scale):
    file = tmp_path / "model.safetensors"
    weights.convert(seeing_model, file, fusion=fusion)
    engine, stage = engine_of(file, flow=flow, scale=scale), FLOWS[flow]
    a, b = torch.rand(2, 1, 3, 64, 96)
    gray = ((255 * a[0, 0]).byte().numpy(), (255 * b[0, 0]).byte().numpy())
    pair = engine.pair(network_input(a, scale), network_input(b, scale), gray if stage.needs_gray else None)
    found = engine.motion(pair, 0.5)
    assert pair.ratio == stage.ratio(scale)
    assert found.ratio == (pair.ratio, pair.ratio)
    height, width = (128 if scale == 0.25 else n for n in (64, 96))
    assert found.ft0.shape[-2:] == (round(height * pair.ratio), round(width * pair.ratio))
    assert found.for_planes(0.5, 1).ratio == (0.5, 1)
    assert found.for_planes(0.5, 1).ft0.shape[-2:] == (height, width // 2)
    assert found.fusion is (FUSIONS[fusion] if stage.refined else DRAFT)


def test_the_network_finds_its_own_flow(shifting_model, engine_of):
    pair = engine_of(shifting_model).pair(*torch.rand(2, 1, 3, 32, 32))
    assert torch.allclose(pair.finest[0].mean((0, 2, 3)), torch.tensor(SHIFT))


def test_what_is_no_flow_stage():
    with pytest.raises(ArgumentError, match=f"flow: got 'still', allowed: None or one of {', '.join(FLOWS)}"):
        check_flow("still", "unet", 1, "cpu")


def test_a_stage_that_needs_gray_says_so(shifting_model, monkeypatch, engine_of):
    monkeypatch.setitem(FLOWS, "still", Still())
    engine = engine_of(shifting_model, flow="still")
    assert isinstance(engine, Engine)
    with pytest.raises(ArgumentError, match='gray: got None, allowed: both frames in gray, for flow="still"'):
        engine.pair(*torch.rand(2, 1, 3, 32, 32))


def test_names_are_known_without_torch():
    done = python(
        "import sys; from vs_slomo.weights import FLOWS, FUSIONS; print(*FLOWS, *FUSIONS, 'torch' in sys.modules)"
    )
    assert done.stdout.split() == [*FLOWS, *FUSIONS, "False"], done.stderr


@pytest.mark.parametrize("package", ["model", "engine", "clips", "filters", "weights"])
@pytest.mark.parametrize("name", [*FLOWS, *FUSIONS])
def test_a_name_stands_in_one_place(package, name):
    files = [path for path in (PACKAGE / package).glob("**/*.py") if f'"{name}"' in code(path)]
    assert len(files) == (package == "model")


def code(path):
    """A module's text without its docstrings."""
    return re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))
