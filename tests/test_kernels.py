"""Warp, fusion and rounding in one go: every way gives what `plain` does."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import python

from vs_slomo.engine import render as kernels
from vs_slomo.engine.render import by_kernel, plain, render, with_opencv
from vs_slomo.model.fusion import FUSIONS
from vs_slomo.model.superslomo import Motion

RATIOS = [(1, 1), (2, 2), (0.5, 0.5), (0.5, 1), (2, 1), (4, 2), (0.25, 0.25)]


def case(ratio_x, ratio_y, t=0.25, dtype=torch.float32, device="cpu", fusion="paper"):
    """A motion of 64x96, far beyond the edges too, and planes a little smaller that begin at (2, 1)."""
    torch.manual_seed(0)
    field = [torch.randn(1, c, 4, 6).mul(8) for c in (2, 2, 1)]
    ft0, ft1, logit = (torch.nn.functional.interpolate(f, (64, 96), mode="bicubic") for f in field)
    height, width = math.floor(64 * ratio_y) - 3, math.floor(96 * ratio_x) - 5
    planes = torch.rand(2, 1, 2, height, width)
    if not dtype.is_floating_point:
        planes = planes * (255 if dtype == torch.uint8 else 1023)
    a, b = planes.to(device, dtype)
    return Motion(ft0.to(device), ft1.to(device), logit.to(device), t, FUSIONS[fusion]), a, b, ratio_x, ratio_y, (2, 1)


@pytest.mark.parametrize(("ratio_x", "ratio_y"), RATIOS)
@pytest.mark.parametrize("t", [0.125, 0.5])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_opencv_moves_as_pytorch_does(ratio_x, ratio_y, t, fusion):
    given = case(ratio_x, ratio_y, t, fusion=fusion)
    assert torch.allclose(with_opencv(*given), plain(*given), atol=2e-4)
    assert (with_opencv(*given) - plain(*given)).abs().mean() < 1e-5


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("dtype", "peak"), [(torch.uint8, 255), (torch.uint16, 1023)])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_integers_are_rounded_and_stay_in_range(dtype, peak, exact, fusion, monkeypatch):
    monkeypatch.setattr(kernels, "EXACT_REMAP", exact)
    motion, a, b, *rest = case(1, 1, dtype=dtype, fusion=fusion)
    made = render(motion, a, b, *rest, peak=peak)
    assert made.dtype == dtype
    expected = plain(motion, a.float(), b.float(), *rest, peak).round().clamp(0, peak)
    assert (made.float() - expected).abs().max() <= 1
    assert (made.float() != expected).float().mean() < 1e-3  # where rounding decides


def test_floats_are_not_clamped():
    motion, a, b, *rest = case(1, 1)
    made = render(motion, 3 * a - 1, 3 * b - 1, *rest, peak=255)
    assert made.dtype == torch.float32
    assert made.min() < -0.5
    assert made.max() > 1.5


def test_the_time_is_a_number():
    motion, *rest = case(1, 1)
    with pytest.raises(TypeError):
        with_opencv(Motion(motion.ft0, motion.ft1, motion.logit, torch.tensor(0.5)), *rest)


def test_the_kernel_by_its_interpreter():
    """Triton runs it on the CPU as well, slowly: the arithmetic is the same."""
    pytest.importorskip("triton")
    done = python(
        """
        import os
        os.environ["TRITON_INTERPRET"] = "1"
        import torch
        from test_kernels import case
        from vs_slomo.engine.render import by_kernel, plain
        for ratio in (2, 2), (0.5, 1):
            given = case(*ratio)
            assert (by_kernel(*given) - plain(*given)).abs().max() < 1e-4, ratio
        motion, a, b, *rest = case(1, 1, dtype=torch.uint16)
        made = by_kernel(motion, a, b, *rest, 1023)
        assert made.dtype == torch.uint16
        assert (made.float() - plain(motion, a.float(), b.float(), *rest)).abs().max() < 0.501
        print("same")
        """
    )
    assert done.stdout.strip() == "same", done.stderr


@pytest.mark.cuda
@pytest.mark.parametrize(("ratio_x", "ratio_y"), RATIOS)
def test_agreement_on_cuda(ratio_x, ratio_y):
    there, here = (case(ratio_x, ratio_y, device=device, fusion="agreement") for device in ("cuda", "cpu"))
    assert torch.allclose(render(*there).cpu(), render(*here), atol=2e-4)


@pytest.mark.cuda
@pytest.mark.parametrize(("ratio_x", "ratio_y"), RATIOS)
def test_the_kernel_on_cuda(ratio_x, ratio_y):
    given = case(ratio_x, ratio_y, device="cuda")
    assert torch.allclose(by_kernel(*given), plain(*given), atol=2e-4)


@pytest.mark.cuda
@pytest.mark.parametrize(("dtype", "peak"), [(torch.uint8, 255), (torch.uint16, 1023)])
def test_integers_on_cuda(dtype, peak):
    motion, a, b, *rest = case(1, 1, dtype=dtype, device="cuda")
    made = render(motion, a, b, *rest, peak=peak)
    expected = plain(motion, a.float(), b.float(), *rest).round().clamp(0, peak)
    assert made.dtype == dtype
    assert (made.float() - expected).abs().max() <= 1
