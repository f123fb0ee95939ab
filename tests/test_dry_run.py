"""The engine on a GPU that is not there: one device, the meant types, no hidden transfer, memory within bounds."""

from __future__ import annotations

import math

import pytest
import torch

from vs_slomo import weights
from vs_slomo.engine.settings import check_scale
from vs_slomo.measure.dry import dry, dry_engine, dry_pair

INFO = weights.read_info("bundled")


@pytest.mark.parametrize(
    ("size", "multi", "most"),
    [
        ((1280, 720), 2, 2.5e9),
        ((1280, 720), 8, 2.5e9),
        pytest.param((1920, 1080), 2, 5e9, marks=pytest.mark.slow),
        ((3840, 2160), 2, 8e9),
        pytest.param((3840, 2160), 8, 8e9, marks=pytest.mark.slow),
    ],
)
def test_a_pair_on_cuda(size, multi, most):
    counted = dry_pair(INFO, size, multi)
    width, height = size
    scale = check_scale(None, INFO.scale, size, "cuda")
    seen = math.ceil(width * scale) * math.ceil(height * scale)
    # In sequence one frame more goes there for each pair: what the networks see (three planes in half precision, and
    # the matrix to RGB), luma, chroma. Nothing else.
    assert sorted(counted.up) == sorted([6 * seen, 36, width * height, width * height // 2])
    assert sorted(counted.down) == sorted([width * height, width * height // 2] * (multi - 1))
    assert counted.waits == {"stream": multi - 1}  # once a new frame: until it is there
    assert counted.peak < most


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
@pytest.mark.parametrize("device", ["cuda", "meta"])
def test_types(precision, dtype, device):
    """Every convolution in half precision, every warp in single; on CUDA a kernel of ours warps."""
    types = dry_pair(INFO, (320, 192), 2, device=device, precision=precision).types
    convolved = {t for name, t in types if name == "convolution"}
    sampled = {t for name, t in types if name.startswith("grid_sampler")}
    assert convolved == {dtype}
    assert sampled == (set() if device == "cuda" else {torch.float32})
    assert torch.float64 not in {t for _, t in types}


def test_a_device_without_kernels_of_ours():
    """XPU and MPS: the formula in PyTorch, and transfers that wait."""
    counted = dry_pair(INFO, (320, 192), 3, device="meta")
    assert len(counted.up) == 4
    assert len(counted.down) == 4
    assert counted.waits == {"transfer": 8}


@pytest.mark.parametrize("device", ["cuda", "meta"])
def test_mixed_devices_are_found(device):
    with dry(device), pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device=device) + torch.zeros(3)


def test_what_waits_is_counted():
    with dry() as counting:
        x = torch.zeros(4, device="cuda")
        x.sum().item()
        x.cpu()
        torch.zeros(4).to("cuda")
        torch.zeros(4).pin_memory().to("cuda", non_blocking=True)
    assert counting.counted.waits == {"_local_scalar_dense": 1, "transfer": 2}
    assert (counting.counted.up, counting.counted.down) == ([16, 16], [16])


def test_memory_is_counted_until_it_is_free():
    with dry() as counting:
        x = torch.zeros(1000, device="cuda")
        part = x[:10]
        del x
        assert counting.counted.held == 4000
        del part
        assert (counting.counted.held, counting.counted.peak) == (0, 4000)


def test_an_engine_loads_in_its_own_type():
    with dry():
        engine = dry_engine(INFO, device="cuda", precision="fp16", scale=1.0, flow="unet")
        assert {p.dtype for p in engine.model.parameters()} == {torch.float16}
        assert {p.device.type for p in engine.model.parameters()} == {"cuda"}
