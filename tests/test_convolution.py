"""The faster convolutions: the same numbers, which one is chosen, and the same bits wherever they run."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from conftest import python
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.engine import cpu
from vs_slomo.engine.cpu import TABLES, WAYS, Accelerated, Row, ToomCook, accelerate, chosen_way, toom_cook
from vs_slomo.model.unet import Convolution, Enlarging, UNet


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


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


@pytest.mark.parametrize("kind", [Convolution, Enlarging])
def test_bfloat16_where_the_processor_does_not_multiply_it(monkeypatch, kind):
    monkeypatch.setattr(cpu, "can_pack", lambda dtype: dtype == torch.float32)
    layer = kind(4, 4, 3).bfloat16()
    x = [part.bfloat16() for part in inputs_for(layer, 16, 24)]
    torch.testing.assert_close(WAYS["direct"](layer, (16, 24))(*x), layer(*x))


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
    assert sum(isinstance(m, Accelerated) for m in net.modules()) == 22
    assert torch.allclose(net(x), expected, atol=1e-5)
    assert torch.allclose(net(x[..., :64]), UNet.forward(net, x[..., :64]), atol=1e-5)  # another size


# --- which way --------------------------------------------------------------------------------------------


@pytest.fixture(params=[*TABLES, "DEFAULT"])
def processor(request, monkeypatch):
    """A processor's kind."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    return request.param


@pytest.mark.parametrize("kind", [Convolution, Enlarging])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_whatever_the_table_chooses_can_be_made(processor, kind, dtype):
    names = set()
    for channels, kernel, size in itertools.product((8, 64, 256), (3, 5, 7), ((8, 14), (128, 224))):
        if kind is Enlarging and kernel != 3:
            continue
        layer = kind(channels, channels, kernel).to(dtype)
        name = chosen_way(layer, channels, size)
        WAYS[name](layer, size)
        names.add(name)
    assert names == ({"direct"} if processor == "DEFAULT" or dtype != torch.float32 else names)
    assert len(names) > 1 or processor == "DEFAULT" or dtype != torch.float32


def test_the_first_row_that_fits_counts(monkeypatch):
    rows = (Row(Convolution, 3, 8, 4, "toom-cook", (100, 200)), Row(Convolution, 3, 4, 4, "folded"))
    monkeypatch.setitem(TABLES, torch.backends.cpu.get_cpu_capability(), rows)
    layer = Convolution(8, 4, 3)
    sizes = {"toom-cook": [(10, 10), (1, 199)], "folded": [(9, 11), (10, 20)]}
    for name, places in sizes.items():
        assert [chosen_way(layer, 8, size) for size in places] == [name, name]
    assert chosen_way(Convolution(4, 4, 3), 4, (10, 10)) == "folded"
    assert chosen_way(Convolution(3, 4, 3), 3, (10, 10)) == "direct"
    assert chosen_way(Convolution(8, 3, 3), 8, (10, 10)) == "direct"
    assert chosen_way(Convolution(8, 4, 5), 8, (10, 10)) == "direct"
    assert chosen_way(Enlarging(8, 4, 3), 8, (10, 10)) == "direct"


def test_the_layer_runs_that_way(monkeypatch):
    chosen = []
    monkeypatch.setattr(cpu, "chosen_way", lambda *given: chosen.append(given[1:]) or "toom-cook")
    layer = Convolution(3, 4, 3)
    run, (x,) = Accelerated(layer), inputs_for(layer, 16, 24)
    for _ in range(2):
        assert torch.allclose(run(x), layer(x), atol=1e-5)
    assert isinstance(run.ways[3, 16, 24], ToomCook)
    assert chosen == [(3, (16, 24))]


# --- the same bits ----------------------------------------------------------------------------------------


def outputs(threads, width=16, size=(160, 224)):
    """Both networks' output for the same input, by so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = []
        for channels in ((6, 4), (20, 5)):
            torch.manual_seed(1)
            net, x = UNet(*channels, width), torch.rand(1, channels[0], *size)
            accelerate(net)
            made.append(net(x))
            assert len({type(way) for m in net.modules() if isinstance(m, Accelerated) for way in m.ways.values()}) > 1
        return made
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def with_a_table():
    if torch.backends.cpu.get_cpu_capability() not in TABLES:
        pytest.skip("this kind of processor has no table")


@pytest.mark.usefixtures("with_a_table")
def test_any_number_of_threads_gives_the_same_bits():
    for one, two, three in zip(outputs(1), outputs(2), outputs(3), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.mark.usefixtures("with_a_table")
def test_two_processes_give_the_same_bits():
    code = """
        import hashlib, sys, torch
        from test_convolution import outputs
        with torch.inference_mode():
            made = outputs(int(sys.argv[1]))
        print(hashlib.sha256(b"".join(x.numpy().tobytes() for x in made)).hexdigest())
    """
    first, second = (python(code, threads) for threads in (1, 2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
