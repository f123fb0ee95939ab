"""Warp, fusion and rounding in one go: every way gives what `plain` does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from conftest import python

from vs_slomo.engine import cuda
from vs_slomo.engine import render as kernels
from vs_slomo.engine.render import by_kernel, plain, render, with_opencv
from vs_slomo.model.fusion import FUSIONS
from vs_slomo.model.superslomo import Motion
from vs_slomo.model.unet import UNet
from vs_slomo.model.warp import backwarp

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


def test_the_kernels_for_agreement_round_integers():
    interpreted("""
motion, a, b, *rest = case(0.5, 0.5, dtype=torch.uint16, fusion="agreement")
made = by_kernel(motion, a, b, *rest, 1023)
assert made.dtype == torch.uint16
expected = plain(motion, a.float(), b.float(), *rest, 1023)
assert (made.float() - expected).abs().max() < 0.51
print("same")
""")


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


@pytest.mark.parametrize("last_activation", [False, True])
def test_the_kernels_between_convolutions(last_activation):
    """Three channels are not a power of two; two pictures have an edge between them."""
    interpreted(f"""
from vs_slomo.engine.cuda.activation import run
from vs_slomo.model.unet import UNet
torch.set_grad_enabled(False)
net = UNet(6, 5, 3, last_activation={last_activation})
x = torch.randn(2, 6, 32, 64)
assert (run(net, x) - net(x)).abs().max() < 1e-6
print("same")
""")


def test_the_kernel_for_warps():
    interpreted("""
from vs_slomo.engine.cuda.sampling import by_kernel
from vs_slomo.model.warp import backwarp
torch.manual_seed(0)
image, flow = torch.rand(2, 3, 33, 300), 9 * torch.randn(2, 4, 33, 300)
for given in image, image.contiguous(memory_format=torch.channels_last), image[:, 1:]:
    made = by_kernel(given, flow[:, 1:3])
    assert made.dtype == given.dtype
    assert (made - backwarp(given, flow[:, 1:3])).abs().max() < 1e-4
half = by_kernel(image.half(), flow[:, :2].half())
assert (half - backwarp(image.half(), flow[:, :2].half())).abs().max() < 1e-3
print("same")
""")


def test_kernels_are_tried_before_they_are_used(monkeypatch):
    interpreted("""
from vs_slomo.engine import cuda
with torch.inference_mode():
    assert cuda._kernels_are_right(torch.device("cpu"))
print("same")
""")
    said = []
    monkeypatch.setattr(cuda.log, "warning", lambda text, *_: said.append(text))
    cuda.kernels_work.cache_clear()
    assert not cuda.kernels_work(torch.device("cpu"))  # no such device for Triton
    assert "going on with PyTorch's" in said[0]


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_network_on_cuda(dtype):
    from vs_slomo.engine.cuda.activation import run

    torch.manual_seed(0)
    net = UNet(8, 8, 16).to("cuda", dtype).to(memory_format=torch.channels_last)
    x = torch.rand(1, 8, 64, 96, device="cuda", dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        made, expected = run(net, x).float(), net(x).float()
    assert cuda.kernels_work(x.device)
    assert (made - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.cuda
def test_warps_on_cuda():
    image, flow = torch.rand(2, 3, 33, 300, device="cuda"), 9 * torch.randn(2, 2, 33, 300, device="cuda")
    assert torch.allclose(cuda.backwarp(image, flow), backwarp(image, flow), atol=1e-4)


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


def test_the_kernels_fit_into_a_gpus_registers(tmp_path, monkeypatch):
    """Compiled for an H100 that need not be here: what spills out of the registers would lie in memory."""
    triton = pytest.importorskip("triton")
    if not (Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas").exists():
        pytest.skip("needs the assembler that comes with Triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    done = python(f"""
import runpy
found = runpy.run_path({str(Path(__file__).parents[1] / "benchmarks" / "kernels.py")!r})
for kernel, constants in found["all_kernels"]():
    needs = found["compiled"](kernel, constants, 90)
    assert 0 < needs["registers"] <= 255
    assert needs["spilled"] <= 64, (kernel.__name__, constants, needs)
print("fit")
""")
    assert done.stdout.strip() == "fit", done.stderr
