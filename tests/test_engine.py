"""The model on a device: arguments, flows, what is shared and what is kept."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import SHIFT, settings_for

from vs_slomo import weights
from vs_slomo.engine import engine as engine_module
from vs_slomo.engine import settings
from vs_slomo.engine.cache import ByteCache
from vs_slomo.engine.engine import Engine, shared_engine
from vs_slomo.engine.pair import Pair
from vs_slomo.engine.settings import (
    DTYPES,
    check_device,
    check_flow,
    check_networks,
    check_precision,
    check_scale,
)
from vs_slomo.errors import ArgumentError
from vs_slomo.model.dis import agreed, between, dis_flow, nearer, refined
from vs_slomo.model.flow import Both, Classical, Seen
from vs_slomo.model.superslomo import network_input
from vs_slomo.weights import FLOWS, SCALES

MULTIPLIES = settings.multiplies_bfloat16
"""The processor's own answer: `single_precision` hides it from the other tests."""


def luma(rgb):
    """The luma of (1, 3, H, W) RGB, as DIS sees it."""
    return (255 * torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), rgb[0])).round().byte().numpy()


def textured(height, width, x=0, y=0):
    """A picture (1, 3, h, w) of waves, moved to the right and down by x and y."""
    v, u = torch.meshgrid(torch.arange(height) - y, torch.arange(width) - x, indexing="ij")
    waves = [torch.sin(u / a + v / b) * torch.cos(u / b - v / a) for a, b in ((5, 7), (6, 11), (9, 8))]
    return (0.5 + 0.4 * torch.stack(waves)).unsqueeze(0)


# --- arguments --------------------------------------------------------------------------------------------


def test_the_device_that_there_is(monkeypatch):
    assert check_device("cpu") == "cpu"
    assert check_device("cpu:0") == "cpu"
    if not (torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()):
        assert check_device(None) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_device(None) == "cuda"
    assert check_device("cuda:1") == "cuda:1"
    with pytest.raises(ArgumentError) as error:
        check_device("cuda:2")
    assert str(error.value) == "device: got 'cuda:2', allowed: None or one of the devices of this machine: cuda, cpu"


@pytest.mark.parametrize("device", ["tpu", "gpu", "", "cuda:x", [1], 1.5, 0])
def test_what_is_no_device(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ArgumentError) as error:
        check_device(device)
    assert str(error.value) == f"device: got {device!r}, allowed: None or one of cpu"


@pytest.mark.parametrize("device", ["cuda", "meta", "cpu:3", "mps"])
def test_a_device_that_is_not_here(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ArgumentError) as error:
        check_device(device)
    assert str(error.value) == f"device: got {device!r}, allowed: None or one of the devices of this machine: cpu"


def test_precision():
    assert [check_precision(None, d) for d in ("cpu", "mps", "cuda", "cuda:1", "xpu")] == ["fp32"] * 2 + ["fp16"] * 3
    assert [check_precision(p, "cpu") for p in DTYPES] == list(DTYPES)
    for got in ("half", 16, "", ["fp32"], torch.float16):
        with pytest.raises(ArgumentError) as error:
            check_precision(got, "cpu")
        assert str(error.value) == f"precision: got {got!r}, allowed: None or one of fp32, fp16, bf16"


@pytest.mark.parametrize(("onednn", "processor", "chosen"), [(1, 1, "bf16"), (1, 0, "fp32"), (0, 1, "fp32")])
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, onednn, processor, chosen):
    monkeypatch.setattr(settings, "multiplies_bfloat16", MULTIPLIES)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(processor), raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: bool(onednn))
    assert check_precision(None, "cpu") == chosen
    assert [check_precision(None, d) for d in ("mps", "cuda", "xpu")] == ["fp32", "fp16", "fp16"]


def test_a_pytorch_that_cannot_tell(monkeypatch):
    monkeypatch.setattr(settings, "multiplies_bfloat16", MULTIPLIES)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert check_precision(None, "cpu") == "fp32"


def test_the_precision_is_said_once(seeing_model, caplog):
    engine_module._announce.cache_clear()
    with caplog.at_level("INFO", "vs_slomo"):
        for scale in (1.0, 0.5):
            Engine(settings_for(seeing_model, scale=scale))
    assert [r.message for r in caplog.records if r.levelname == "INFO"] == ["networks: fp32 on cpu"]


def test_scale():
    assert [check_scale(None, s, (1280, 720), "cpu") for s in SCALES] == list(SCALES)
    assert [check_scale(s, 0.5, (64, 64), "cpu") for s in SCALES] == list(SCALES)
    assert isinstance(check_scale(1, 0.5, (64, 64), "cpu"), float)
    for got in (4, 2, 0, -1, 0.3, "1", [1], float("nan")):
        with pytest.raises(ArgumentError) as error:
            check_scale(got, 0.5, (64, 64), "cpu")
        assert str(error.value) == f'scale: got {got!r}, allowed: None, "auto" or one of 1.0, 0.5, 0.25, 0.125'


def test_scale_by_size_and_device():
    sizes = ((64, 64), (640, 360), (640, 480), (854, 480), (1280, 720), (1920, 1080), (3840, 2160))
    found = {d: [check_scale(None, 0.5, size, d) for size in sizes] for d in ("cpu", "cuda", "cuda:1", "xpu", "mps")}
    assert found["cpu"] == [1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert all(scales == [1, 1, 1, 1, 1, 1, 0.5] for device, scales in found.items() if device != "cpu")
    assert [check_scale(None, 1, size, "cpu") for size in sizes] == [1] * 7  # public checkpoints
    assert [check_scale("auto", 1, size, "cpu") for size in sizes] == [1, 1, 1, 1, 1, 0.5, 0.25]


def test_flow_at_full_size_lets_the_networks_see_large_pictures_smaller():
    bundled = weights.read_info("bundled")
    large, small = (1280, 720), (640, 360)
    assert check_networks(None, None, bundled, large, "cpu") == (0.25, "guided")
    assert check_networks(None, None, bundled, (960, 540), "cpu") == (0.5, "guided")
    assert check_networks(None, None, bundled, small, "cpu") == (1, "both")
    assert check_networks(None, None, bundled, (3840, 2160), "cuda") == (0.5, "unet")
    assert check_networks(0.5, None, bundled, large, "cpu") == (0.5, "guided")
    found = {flow: check_networks(None, flow, bundled, large, "cpu")[0] for flow in FLOWS}
    assert found == {"unet": 0.5, "dis": 0.25, "guided": 0.25, "both": 0.5, "fast": 0.5}
    assert check_networks(None, "dis", replace(bundled, scale=1.0), large, "cpu") == (1, "dis")  # public checkpoints
    assert check_networks(None, "dis", replace(bundled, scale=0.125), large, "cpu") == (0.125, "dis")


def test_flow():
    assert [check_flow(None, "dis", scale, "cpu") for scale in SCALES] == ["both", "guided", "guided", "guided"]
    assert {check_flow(None, "dis", 0.5, d) for d in ("cuda", "cuda:1", "xpu", "mps")} == {"unet"}
    assert {check_flow(None, "unet", scale, "cpu") for scale in SCALES} == {"unet"}
    assert check_flow("unet", "dis", 0.5, "cpu") == "unet"
    assert check_flow("dis", "unet", 1, "cuda") == "dis"
    for got in ("raft", "", 1, ["dis"]):
        with pytest.raises(ArgumentError) as error:
            check_flow(got, "dis", 1, "cpu")
        assert str(error.value) == f"flow: got {got!r}, allowed: None or one of {', '.join(FLOWS)}"


# --- flows and frames -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(64, 96), (40, 70)])
@pytest.mark.parametrize("levels", [1, 2])
def test_as_the_model_alone(seeing_model, tmp_path, scale, size, levels):
    """Pair, motion, render: what `SuperSloMo.forward` does."""
    file = tmp_path / "model.safetensors"
    weights.convert(seeing_model, file, levels=levels)
    engine = Engine(settings_for(file, scale=scale))
    model, _ = weights.load(file)
    a, b = textured(*size), textured(*size, 2, 1)
    pair = engine.pair(network_input(a, scale), network_input(b, scale))
    for t in (0.25, 0.5):
        made = engine.render(engine.motion(pair, t), a, b, 1, 1)
        assert made.shape == a.shape
        assert torch.allclose(made, model(a, b, t, scale), atol=1e-5)


@pytest.mark.parametrize(("ratio_x", "ratio_y"), [(1, 1), (0.5, 0.5), (0.5, 1), (1, 0.5), (0.25, 0.25), (0.25, 1)])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_planes_of_any_size_move_alike(shifting_model, ratio_x, ratio_y, scale):
    """The model's flow is SHIFT in its own pixels, so it is SHIFT / scale in the picture's."""
    engine = Engine(settings_for(shifting_model, scale=scale))
    height, width = 256, 256
    pair = engine.pair(*torch.rand(2, 1, 3, round(height * scale), round(width * scale)))
    v, u = torch.meshgrid(torch.arange(0.0, height * ratio_y), torch.arange(0.0, width * ratio_x), indexing="ij")
    x, y = SHIFT[0] / scale * ratio_x, SHIFT[1] / scale * ratio_y
    plane0 = (u + 2 * v).expand(1, 1, -1, -1)
    plane1 = plane0 - x - 2 * y
    made = engine.render(engine.motion(pair, 0.25), plane0, plane1, ratio_x, ratio_y)
    inside = np.s_[..., 16:-16, 16:-16]
    assert torch.allclose(made[inside], (plane0 - (x + 2 * y) / 4)[inside], atol=1e-3)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("levels", [1, 2])
def test_half_precision_is_near(seeing_model, tmp_path, precision, levels):
    a, b = textured(64, 96), textured(64, 96, 2, 1)
    file = tmp_path / "model.safetensors"
    weights.convert(seeing_model, file, levels=levels)

    def made(precision):
        engine = Engine(settings_for(file, precision=precision))
        return engine.render(engine.motion(engine.pair(a, b), 0.5), a, b, 1, 1)

    assert made(precision).dtype == torch.float32
    assert 0 < (made(precision) - made("fp32")).abs().max() < {"fp16": 0.02, "bf16": 0.2}[precision]


def test_classical_flow():
    """DIS finds a motion of (3, 2) in pictures whose rows are longer than they are."""
    a, b = ((textured(60, 90, x, y)[0, 0] * 255).byte().numpy() for x, y in ((0, 0), (3, 2)))
    wide = np.zeros((60, 128), np.uint8)
    wide[:, :90] = a
    for i0, i1, sign in ((a, b, 1), (b, a, -1), (wide[:, :90], b, 1)):
        flow = dis_flow(i0, i1)
        assert flow.shape == (1, 2, 60, 90)
        assert flow.dtype == torch.float32
        inside = flow[0, :, 10:-10, 10:-10]
        assert torch.allclose(inside.mean((1, 2)), sign * torch.tensor([3.0, 2.0]), atol=0.15)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("size", [(16, 16), (60, 90), (64, 128)])
def test_a_pair_by_classical_flow(shifting_model, scale, size):
    """It sees the picture without padding; the flow is padded, to what the networks' input covers."""
    engine = Engine(settings_for(shifting_model, flow="dis", scale=scale))
    a, b = textured(*size), textured(*size, 1, 0)
    gray = tuple((x[0, 1] * 255).byte().numpy() for x in (a, b))
    pair = engine.pair(network_input(a, scale), network_input(b, scale), gray)
    assert pair.ratio == max(scale, 0.5)
    height, width = (round(n * pair.ratio) - 1 for n in size)  # the last ones see the padding
    for small, fine, way in zip(pair.flows, pair.finest, (gray, gray[::-1]), strict=True):
        assert small.shape[-2:] == pair.i0.shape[-2:]
        assert fine.shape[-2:] == tuple(round(n * pair.ratio / scale) for n in small.shape[-2:])
        alone = dis_flow(*way, halved=True)
        if scale == 1:
            alone = 2 * F.interpolate(alone, scale_factor=2, mode="bilinear", align_corners=False)
        assert torch.allclose(fine[..., :height, :width], alone[..., :height, :width], atol=0.02)
    assert engine.render(engine.motion(pair, 0.5), a, b, 1, 1).shape == a.shape


def test_dis_ends_at_half_of_the_size():
    """What it returns is that, doubled."""
    gray = [(textured(122, 90, *moved)[0, 1] * 255).byte().numpy() for moved in ((0, 0), (3, 1))]
    half, whole = dis_flow(*gray, halved=True), dis_flow(*gray)
    assert half.shape == (1, 2, 61, 45)
    doubled = 2 * F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(doubled, whole, atol=0.02)
    assert dis_flow(*(x[:121, :89] for x in gray), halved=True).shape == (1, 2, 61, 45)


def test_refined_flow_is_nearer_to_the_truth():
    """A network's flow wavers by fractions of a pixel; what is next to a pixel, and the pictures, say where it goes."""
    size, true = (60, 90), torch.tensor([3.0, 2.0])
    gray = tuple((textured(*size, *shift)[0, 1] * 255).byte().numpy() for shift in ((0, 0), (3, 2)))
    noise = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(1)) / 2
    for sign, (a, b) in ((1, gray), (-1, gray[::-1])):
        right = (sign * true).view(1, 2, 1, 1)
        found = refined(a, b, right + noise)
        assert found.shape == (1, 2, *size)
        assert found.dtype == torch.float32
        assert (found - right)[..., 10:-10, 10:-10].abs().mean() < 0.5 * noise.abs().mean()


def constant_flows(size, true, by):
    """F01 and F10 that are off by so many pixels everywhere."""
    f01, f10 = ((sign * true + by).view(1, 2, 1, 1).expand(1, 2, *size).contiguous() for sign in (1, -1))
    return f01, f10


@pytest.mark.parametrize("flat_luma", [False, True])
def test_the_better_of_two_flows_that_are_near(flat_luma):
    """In colour: in drawings, much that moves has the luma of what is around it."""
    size, true = (60, 90), torch.tensor([3.0, 2.0])
    pair = tuple(textured(*size, *shift) for shift in ((0, 0), (3, 2)))
    if flat_luma:
        pair = tuple(torch.cat((0.5 + 0.587 * x[:, 1:2] - 0.3, 0.5 - 0.299 * x[:, 1:2], 0 * x[:, :1]), 1) for x in pair)
        assert max(int(np.ptp(luma(x))) for x in pair) <= 1

    flows = partial(constant_flows, size, true)
    inside = (..., slice(20, -20), slice(20, -20))
    right = flows(0.0)
    for off, wanted in ((1.5, right), (20.0, flows(20.0))):
        for found, expected in zip(between(flows(off), right, nearer(*pair, flows(off), right)), wanted, strict=True):
            assert torch.allclose(found[inside], expected[inside], atol=1e-3)
    for found, expected in zip(between(right, flows(1.5), nearer(*pair, right, flows(1.5))), right, strict=True):
        assert torch.allclose(found[inside], expected[inside], atol=1e-3)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [(-0.6, 0.6, 0), (6, 0, 0), (0, 6, 0), (40, 0, 40)],
    ids=["mean", "better", "stays", "far"],
)
def test_what_two_guesses_say_together(first, second, wanted):
    size = (60, 90)
    flows = partial(constant_flows, size, torch.tensor([3.0, 2.0]))
    pair = textured(*size), textured(*size, 3, 2)
    for found, expected in zip(agreed(*pair, flows(first), flows(second)), flows(wanted), strict=True):
        inside = (..., slice(20, -20), slice(20, -20))
        assert torch.allclose(found[inside], expected[inside], atol=1e-3)


def test_both_also_looks_at_mirrored_frames():
    """Here the network finds nothing but in them: their flow counts, mirrored back."""
    size, true = (64, 96), torch.tensor([3.0, 2.0])
    a, b = textured(*size), textured(*size, 3, 2)

    class Network:
        def flow(self, i0, i1):
            seen = [torch.equal(x, y.flip(-1)) for x, y in ((i0, a), (i1, b))]
            mirror = torch.tensor([-1.0, 1.0])
            return constant_flows(size, mirror * true, 0.0) if all(seen) else constant_flows(size, true, 10.0)

    gray = luma(a), luma(b)
    far = constant_flows(size, true, 30.0)
    found = Both().at_full_size(Seen(a, b, gray, 1.0, far), Network())
    for flow, expected in zip(found, constant_flows(size, true, 0.0), strict=True):
        assert (flow - expected)[..., 20:-20, 20:-20].abs().mean() < 0.2


@pytest.mark.parametrize(("off", "moved"), [(0, (26, -16)), (25, (32, -16))])
@pytest.mark.parametrize("size", [(256, 512), (250, 500)])
def test_guided_flow_is_classical_where_that_fits(monkeypatch, shifting_model, size, off, moved):
    """At half of the networks' resolution the network finds 8 * SHIFT. That stands where DIS is off."""
    engine = Engine(settings_for(shifting_model, flow="guided", scale=0.25))
    a, b = textured(*size), textured(*size, *moved)
    seen, flow_net = [], engine.model.flow_net

    gray = luma(a), luma(b)

    def dis(first, second, **options):
        there = 1 if np.array_equal(first, gray[0]) else -1
        half = (there * torch.tensor(moved, dtype=torch.float32) + off).view(1, 2, 1, 1) / 2
        return half.repeat(1, 1, *(n // 2 for n in size))

    monkeypatch.setattr("vs_slomo.model.dis.dis_flow", dis)
    monkeypatch.setattr(flow_net, "forward", lambda x, forward=flow_net.forward: seen.append(x.shape) or forward(x))
    pair = engine.pair(network_input(a, 0.25), network_input(b, 0.25), gray)
    assert [height for *_, height, _ in seen] == [32]
    inside = (..., slice(25, 65), slice(30, 100))
    for found, sign in zip(pair.finest, (1, -1), strict=True):
        wanted = pair.ratio * sign * torch.tensor(moved, dtype=torch.float32).view(1, 2, 1, 1)
        assert (found[inside] - wanted).abs().mean() < 0.5


def test_classical_flow_beside_another_device(monkeypatch):
    """Both directions at once, each on a thread; the same flow as on the CPU."""
    a, b = ((textured(60, 90, x, y)[0, 0] * 255).byte().numpy() for x, y in ((0, 0), (3, 2)))
    threads, meet = [], threading.Barrier(2)

    def dis(*gray, **options):
        threads.append(threading.get_ident())
        meet.wait(timeout=60)  # one after the other would never meet
        return dis_flow(*gray, **options)

    stage = Classical()
    there = [stage.classical(Seen(*torch.empty(2, 1, 3, 64, 96), (a, b), 1.0))]
    monkeypatch.setattr("vs_slomo.model.dis.dis_flow", dis)
    there.append(stage.classical(Seen(*torch.empty(2, 1, 3, 64, 96, device="meta"), (a, b), 1.0)))
    assert len(set(threads)) == 2
    assert all(torch.equal(x, y) for x, y in zip(*there, strict=True))


def test_classical_flow_without_the_gray_pictures(shifting_model):
    engine = Engine(settings_for(shifting_model, flow="dis"))
    with pytest.raises(ArgumentError) as error:
        engine.pair(textured(32, 32), textured(32, 32))
    assert str(error.value) == 'gray: got None, allowed: both frames in gray, for flow="dis"'


def test_bytes_of_a_pair():
    x, flow = torch.zeros(1, 3, 32, 32), torch.zeros(1, 2, 32, 32)
    assert Pair(x, x, (flow, flow)).nbytes == 4 * 32 * 32 * 10
    assert Pair(x.half(), x.half(), (flow, flow), (flow, flow)).nbytes == 32 * 32 * (12 + 16 + 16)


# --- shared and kept --------------------------------------------------------------------------------------


def test_one_engine_for_the_same_settings(shifting_model, tmp_path):
    path = shutil.copy(shifting_model, tmp_path / "model.safetensors")
    one = shared_engine(settings_for(path))
    assert shared_engine(settings_for(path)) is one
    assert shared_engine(settings_for(path, scale=0.5)) is not one
    os.utime(path, ns=(0, 0))
    assert shared_engine(settings_for(path)) is not one  # the file has changed


def test_the_last_one_frees_it(shifting_model, tmp_path):
    path = shutil.copy(shifting_model, tmp_path / "model.safetensors")
    gone = weakref.ref(shared_engine(settings_for(path)))
    gc.collect()
    assert gone() is None


def test_threads_that_come_at_once_share_one(shifting_model, tmp_path):
    path = shutil.copy(shifting_model, tmp_path / "model.safetensors")
    start, found = threading.Barrier(6), []

    def ask():
        start.wait()
        found.append(shared_engine(settings_for(path)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


class Kept:
    def __init__(self, nbytes=9_000):
        self.nbytes = nbytes


def test_pairs_are_bounded_in_bytes():
    cache, computed = ByteCache("pairs", 35_000), []

    def compute(k):
        computed.append(k)
        return Kept()

    for k in (0, 1, 2, 0, 3, 0, 1):
        cache.get((k, k + 1), lambda k=k: compute(k))
    assert computed == [0, 1, 2, 3, 1]  # when 3 came, 1 was the one not asked for longest
    assert cache.size <= cache.limit


def test_one_pair_is_kept_however_large_it_is():
    cache = ByteCache("pairs", 1)
    one = cache.get((0, 1), Kept)
    assert cache.get((0, 1), lambda: pytest.fail("computed again")) is one
    other = cache.get((1, 2), Kept)
    assert other is not one
    assert cache.get((0, 1), Kept) is not one


def test_pairs_of_identical_frames_are_kept_and_counted():
    """A still scene has very many of them."""
    cache = ByteCache("pairs", 100_000)
    for k in range(1000):
        assert cache.get((k, k + 1), lambda: None) is None
    assert cache.size <= cache.limit
    assert cache.get((999, 1000), lambda: pytest.fail("computed again")) is None


def test_an_error_leaves_nothing_behind():
    cache = ByteCache("pairs", 100_000)
    with pytest.raises(ZeroDivisionError):
        cache.get((0, 1), lambda: 1 // 0)
    assert cache.size == 0
    assert cache.get((0, 1), Kept).nbytes == 9_000
