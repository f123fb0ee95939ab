"""The faster convolutions: the same numbers, and which one is chosen."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.engine import cpu as convolution
from vs_slomo.engine.cpu import WAYS, Fastest, ToomCook, accelerate, fastest, toom_cook
from vs_slomo.model.unet import Convolution, Enlarging, UNet


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def forgotten(tmp_path, monkeypatch):
    """Nothing has been chosen yet; the file of the choices."""
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path))
    convolution._all.cache_clear()
    yield tmp_path / "convolutions.json"
    convolution._all.cache_clear()


def inputs_for(layer, height, width, parts=1):
    channels = layer.in_channels
    sizes = [channels // parts] * (parts - 1) + [channels - channels // parts * (parts - 1)]
    return [torch.randn(1, c, height, width).contiguous(memory_format=torch.channels_last) for c in sizes]


# --- the same numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Convolution, Enlarging])
@pytest.mark.parametrize("name", WAYS)
@given(
    channels=st.tuples(st.integers(1, 12), st.integers(1, 9)),
    kernel=st.sampled_from([3, 5, 7]),
    size=st.tuples(st.integers(2, 40), st.integers(7, 40)),
    parts=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_every_way_gives_the_layers_numbers(name, kind, channels, kernel, size, parts, seed):
    torch.manual_seed(seed)
    kernel = 3 if kind is Enlarging else kernel
    layer = kind(max(parts, channels[0]), channels[1], kernel)
    inputs = inputs_for(layer, *size, parts)
    try:
        way = WAYS[name](layer, size)
    except NotImplementedError:
        assert name == "folded"
        return
    expected = layer(*inputs)
    for _ in range(2):  # what it keeps from one run to the next does no harm
        assert torch.allclose(way(*inputs), expected, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_bands_meet_without_a_seam(rows):
    layer = Convolution(4, 5, 5)
    way = ToomCook(layer, (19, 23))
    way.rows = min(way.rows, rows)
    (x,) = inputs_for(layer, 19, 23)
    assert torch.allclose(way(x), layer(x), atol=1e-5)


def test_what_is_only_for_single_precision():
    layer = Enlarging(4, 4, 3).bfloat16()
    made = []
    for name, way in WAYS.items():
        try:
            way(layer, (16, 16))
        except NotImplementedError:
            continue
        made.append(name)
    assert made == ["direct"]


@pytest.mark.parametrize("taps", [2, 3, 5, 7])
@pytest.mark.parametrize("outputs", [2, 4, 6])
def test_toom_cook(outputs, taps):
    """The matrices of any size give the correlation."""
    put, weights, take = toom_cook(outputs, taps, ToomCook.POINTS)
    x, w = torch.randn(outputs + taps - 1).double(), torch.randn(taps).double()
    found = put @ ((weights @ w) * (take @ x))
    assert torch.allclose(found, F.conv1d(x[None, None], w[None, None])[0, 0], atol=1e-9)


@pytest.mark.parametrize("last_activation", [False, True])
def test_a_network_that_is_accelerated(last_activation):
    torch.manual_seed(0)
    net, x = UNet(6, 4, 4, last_activation=last_activation), torch.rand(1, 6, 64, 96)
    expected = net(x)
    accelerate(net)
    assert sum(isinstance(m, Fastest) for m in net.modules()) == 22
    assert torch.allclose(net(x), expected, atol=1e-5)
    assert torch.allclose(net(x[..., :64]), UNet.forward(net, x[..., :64]), atol=1e-5)  # another size


# --- the choice -------------------------------------------------------------------------------------------


class Slow(convolution.Direct):
    def __call__(self, *inputs):
        for _ in range(30):
            out = super().__call__(*inputs)
        return out


class Wrong(convolution.Direct):
    def __call__(self, *inputs):
        return torch.zeros_like(super().__call__(*inputs))


class Broken(convolution.Direct):
    def __call__(self, *inputs):
        raise RuntimeError("this processor cannot")


def test_the_fastest_that_is_right(monkeypatch):
    layer = Convolution(8, 8, 3)
    ways = {"direct": Slow, "wrong": Wrong, "broken": Broken, "quick": convolution.Direct}
    monkeypatch.setattr(convolution, "WAYS", ways)
    assert fastest(layer, inputs_for(layer, 32, 32)) == "quick"
    del ways["quick"]
    assert fastest(layer, inputs_for(layer, 32, 32)) == "direct"


def test_the_choice_is_kept_and_announced(forgotten, monkeypatch, caplog):
    convolution._announce.cache_clear()
    layer, chosen = Convolution(3, 4, 3), []

    def choose(layer, inputs):
        chosen.append(tuple(x.shape for x in inputs))
        return "toom-cook"

    monkeypatch.setattr(convolution, "fastest", choose)
    (x,) = inputs_for(layer, 16, 24)
    for _ in range(2):
        run = Fastest(layer)
        run(x)
        assert isinstance(run.ways[3, 16, 24], ToomCook)
        convolution._all.cache_clear()  # as another process
    assert chosen == [((1, 3, 16, 24),)]
    (stored,) = json.loads(forgotten.read_text()).values()
    assert stored == {"keep 3 to 4, 3x3, 16x24 float32": "toom-cook"}
    assert list(forgotten.parent.iterdir()) == [forgotten]
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "choosing the fastest convolutions for this machine: this takes longer once, for each size"
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"keep 3 to 4, 3x3, 16x24 float32": "none"}}'])
def test_a_file_that_is_no_good_is_written_anew(forgotten, text):
    forgotten.write_text(text.replace('"a"', json.dumps(convolution._machine())))
    layer = Convolution(3, 4, 3)
    Fastest(layer)(*inputs_for(layer, 16, 24))
    chosen = json.loads(forgotten.read_text())[convolution._machine()]
    assert chosen["keep 3 to 4, 3x3, 16x24 float32"] in WAYS


def test_without_a_place_to_write(forgotten, monkeypatch):
    forgotten.write_text("")  # a file where a folder must be
    monkeypatch.setenv("VS_SLOMO_HOME", str(forgotten))
    layer = Convolution(3, 4, 3)
    (x,) = inputs_for(layer, 16, 24)
    assert torch.allclose(Fastest(layer)(x), layer(x), atol=1e-5)
