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


INTERPRETED = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import torch
from test_kernels import case
from vs_slomo.engine.render import by_kernel, plain
"""


def interpreted(code):
    """Run code with the kernels in Triton's interpreter: slow, on the CPU, and the same arithmetic."""
    pytest.importorskip("triton")
    done = python(INTERPRETED + code)
    assert done.stdout.strip() == "same", done.stderr


def test_equation_5s_kernel():
    interpreted("""
for ratio in (2, 2), (0.5, 1):
    given = case(*ratio)
    assert (by_kernel(*given) - plain(*given)).abs().max() < 1e-4, ratio
motion, a, b, *rest = case(1, 1, dtype=torch.uint16)
made = by_kernel(motion, a, b, *rest, 1023)
assert made.dtype == torch.uint16
assert (made.float() - plain(motion, a.float(), b.float(), *rest)).abs().max() < 0.501
print("same")
""")


@pytest.mark.parametrize(("ratio", "t"), [((0.5, 1), 0.25), ((2, 1), 0.75)])
def test_the_kernels_for_agreement(ratio, t):
    interpreted(f"""
given = case(*{ratio}, {t}, fusion="agreement")
assert (by_kernel(*given) - plain(*given)).abs().max() < 1e-4
print("same")
""")


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16"])
def test_the_kernels_for_agreement_take_every_type(kind):
    """8, 10 and 16 bits, and half floats, whose result is single: rounded by half a step, and the rest by less."""
    interpreted(f"""
kind = torch.{kind}
for peak in {{torch.uint8: [255], torch.uint16: [1023, 65535], torch.float16: [None]}}[kind]:
    motion, a, b, ratio_x, ratio_y, origin = case(0.5, 0.5, fusion="agreement")
    a, b = (x.mul(peak or 1).to(kind) for x in (a, b))
    for where in (0, 0), (3, 2):
        rest = ratio_x, ratio_y, where
        made = by_kernel(motion, a[..., :27, :40], b[..., :27, :40], *rest, peak)
        expected = plain(motion, a[..., :27, :40].float(), b[..., :27, :40].float(), *rest, peak or 1)
        assert made.dtype == (kind if peak else torch.float32)
        assert (made.float() - expected.clamp(0, peak or 1)).abs().max() <= (0.5 if peak else 0) + 1e-4 * (peak or 1)
print("same")
""")


def test_the_kernels_for_agreement_at_all_ratios_and_sizes():
    """Motion finer and coarser than the planes, one tile and several, whole and cut cells."""
    interpreted(f"""
for ratio in {RATIOS}:
    for height, width in (1, 1), (5, 61), (57, 8):
        motion, a, b, *rest = case(*ratio, 0.25, fusion="agreement")
        a, b = a[..., :height, :width], b[..., :height, :width]
        assert (by_kernel(motion, a, b, *rest) - plain(motion, a, b, *rest)).abs().max() < 1e-4, (ratio, height)
print("same")
""")


def test_what_is_not_finite_anywhere_reaches_no_neighbour():
    """In either plane: NaN, infinity, a square that overflows; a large value whose square does not is nothing of it."""
    interpreted("""
from dataclasses import replace
from vs_slomo.model.fusion import PLAIN
for value, spoilt in (float("nan"), True), (float("-inf"), True), (1e20, True), (1e15, False):
    motion, a, b, *rest = case(1, 1, fusion="agreement")
    b[0, 1, -1, -1] = value
    made = by_kernel(motion, a, b, *rest)
    expected = plain(replace(motion, fusion=PLAIN) if spoilt else motion, a, b, *rest)
    assert (made.isfinite() == expected.isfinite()).all(), value
    near = torch.isclose(made, expected, rtol=1e-4, atol=1e-4) | ~expected.isfinite()
    assert near.all() if spoilt else near.float().mean() > 0.5, value
print("same")
""")


def test_products_with_ones_keep_22_bits():
    """What "tf32x3" gives on a card: a factor in two parts of 11 bits. The other factor is 0 or 1."""
    torch.manual_seed(0)
    values = 255 * torch.rand(64, 64)
    band = (torch.arange(64)[:, None] - torch.arange(64)).abs().le(3).float()

    def rounded(x):
        return (x.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)

    def product(a, b):
        return sum(x.double() @ y.double() for x in parts(a) for y in parts(b)).float()

    def parts(x):
        return rounded(x), rounded(x - rounded(x))

    exact = (band.double() @ values.double() @ band.double() / 49).float()
    assert (product(band, product(values, band)) / 49 - exact).abs().max() < 255 * 1e-6


def test_the_kernels_for_agreement_do_not_spread_nan():
    interpreted("""
from dataclasses import replace
from vs_slomo.model.fusion import PLAIN
motion, a, b, *rest = case(0.5, 0.5, fusion="agreement")
a[0, 0, 5, 7] = float("nan")
made, expected = by_kernel(motion, a, b, *rest), plain(replace(motion, fusion=PLAIN), a, b, *rest)
assert (made.isnan() == expected.isnan()).all()
assert (made - expected).nan_to_num().abs().max() < 1e-4
print("same")
""")


def test_the_kernels_for_agreement_at_rest():
    """Where nothing moves, all of the nearer frame's grain is kept, up to the last cell and beyond full ones."""
    interpreted("""
motion, a, b, *rest = case(1, 1, fusion="agreement")
for field in motion.ft0, motion.ft1:
    field.mul_(1e-3)
a, b = (0.5 + 0.004 * (x - 0.5) for x in (a[..., :21, :29], b[..., :21, :29]))
assert (by_kernel(motion, a, b, *rest) - plain(motion, a, b, *rest)).abs().max() < 1e-5
print("same")
""")


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
