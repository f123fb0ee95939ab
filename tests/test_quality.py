"""benchmarks/quality.py: what is measured, and where."""

from __future__ import annotations

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

FILE = Path(__file__).parents[1] / "benchmarks" / "quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("quality", FILE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "quality", module)
        spec.loader.exec_module(module)
        yield module


def test_moving_parts_are_measured_apart(quality):
    truth = np.zeros((32, 48, 3), np.uint8)
    moving = torch.zeros(32, 48, dtype=torch.bool)
    moving[:, :12] = True
    picture = torch.zeros(1, 3, 32, 48)
    picture[..., :12] = 0.1
    case = quality.Case("clip", [truth, truth], truth, 0.5, moving)
    found = quality.judged(picture, case)
    assert found["moving"] == pytest.approx(20, abs=1e-4)
    assert found["PSNR"] == pytest.approx(20 + 10 * np.log10(4), abs=1e-4)
    still = quality.judged(picture, quality.Case("clip", [truth, truth], truth, 0.5, ~moving & moving))
    assert "moving" not in still
    assert still["PSNR"] == found["PSNR"]


def test_cases_are_narrowed_and_know_what_moves(quality, tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (160, 260, 3), dtype=np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    for k in range(12):
        cv2.imwrite(str(folder / f"{k:02}.png"), texture[:, 4 * k : 4 * k + 200])
    one, two = quality.cases([tmp_path], 2, 2, 100)
    assert one.truth.shape == (80, 100, 3)
    assert (one.clip, one.t, two.t) == ("clip", 0.5, 0.5)
    assert one.moving.float().mean() > 0.9  # 4 pixels between the frames that are kept
    assert not next(quality.cases([tmp_path], 2, 1, 20)).moving.float().mean() > 0.5  # 0.8 pixels
    assert next(quality.cases([tmp_path], 2, 1)).truth.shape == (160, 200, 3)


def test_tables_leave_out_what_nothing_measures(quality, capsys):
    rows = defaultdict(lambda: defaultdict(list))
    rows["a"]["way"] = [{"PSNR": 30.0, "SSIM": 0.9}, {"PSNR": 32.0, "SSIM": 0.9}]
    rows["b"]["way"] = [{"PSNR": 35.0, "SSIM": 0.8, "moving": 20.0}]
    quality.show(rows, "title")
    printed = capsys.readouterr().out
    assert "PSNR, title" in printed
    assert "SSIMULACRA2" not in printed
    means = [line.split()[1] for line in printed.splitlines() if line.startswith("mean")]
    assert means == ["33.00", "0.8500", "20.00"]


def test_ssimulacra2_falls_as_a_picture_gets_softer(quality):
    if not quality.has_ssimulacra2():
        pytest.skip("needs vapoursynth-vszip")
    texture = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    truth = F.interpolate(texture, scale_factor=8, mode="bicubic").clamp(0, 1)
    soft = [F.avg_pool2d(F.pad(truth, (k, k, k, k), mode="replicate"), 2 * k + 1, 1) for k in (1, 3, 6)]
    scores = [quality.ssimulacra2(x[0], truth[0]) for x in (truth, *soft)]
    assert scores[0] == pytest.approx(100, abs=0.1)
    assert scores == sorted(scores, reverse=True)
    assert scores[1] < 99
    # Where things are counts, not only how they look: one pixel to the side.
    assert quality.ssimulacra2(truth.roll(1, 3)[0], truth[0]) < scores[0] - 5


def test_a_method_gives_the_same_whatever_else_is_asked_for(quality, seeing_model):
    from vs_slomo import weights

    model, _ = weights.load(seeing_model)
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 160, 3), dtype=np.uint8), (0, 0), 2)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    images = [texture[:, x : x + 96] for x in (0, 2, 8, 18)]  # it gets faster
    alone = quality.make(model, images, 0.5, 1.0, ["both curved"])["both curved"]
    among = quality.make(model, images, 0.5, 1.0, ["unet", "dis flow", "both", "both curved"])
    assert torch.equal(among["both curved"], alone)
    assert not torch.equal(among["both"], alone)
