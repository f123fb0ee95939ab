"""What makes the networks fast on CUDA: the same numbers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from vs_slomo.engine.cache import FrameCache
from vs_slomo.engine.cuda import CORES, Padded, graphs
from vs_slomo.engine.cuda.graphs import MOST, TRIES, Graphed, Recorded, Turns
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.settings import Settings
from vs_slomo.model.superslomo import network_input
from vs_slomo.model.unet import UNet


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 4), (20, 5), (8, 8)])
@pytest.mark.parametrize("last_activation", [False, True])
def test_more_channels_change_nothing(inputs, outputs, last_activation):
    torch.manual_seed(0)
    net, x = UNet(inputs, outputs, 2, last_activation=last_activation), torch.rand(1, inputs, 32, 64)
    expected = net(x)
    padded = Padded(net)
    assert net.conv1.weight.shape[1] % CORES == net.conv3.weight.shape[0] % CORES == 0
    made = padded(x)
    assert made.shape == expected.shape
    assert torch.allclose(made, expected, atol=1e-6)


@pytest.fixture
def recordings(monkeypatch):
    """CUDA's streams and recordings made believe; gives what was recorded, and lets the stream be chosen."""
    made, state = [], SimpleNamespace(cuda_stream=1)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: state)

    def recorded(step, like, stream):
        made.append((stream, *(x if x is None else tuple(x.shape) for x in like)))
        return step

    monkeypatch.setattr(graphs, "recorded", recorded)
    return made, state


def test_each_size_and_stream_is_recorded_once(recordings):
    made, state = recordings
    step = Recorded(lambda x, y: (x + (0 if y is None else y),))
    small, large = torch.ones(1, 2), torch.ones(2, 2)
    for x, y in ((small, None), (large, None), (small, None), (small, small), (small, small)):
        step(x, y)
    state.cuda_stream = 2
    step(small, None)
    assert made == [(1, (1, 2), None), (1, (2, 2), None), (1, (1, 2), (1, 2)), (2, (1, 2), None)]


def test_few_recordings_are_kept(recordings):
    made, _ = recordings
    step = Recorded(lambda x: (x,))
    for n in (*range(1, MOST + 1), 1, MOST + 1, 1, 2):
        step(torch.ones(n))
    assert len(step.kept) == MOST
    assert [shape[0] for _, shape in made] == [*range(1, MOST + 2), 2]  # 1 was used lately, 2 was not


def test_what_does_not_fit_is_not_recorded(recordings):
    made, _ = recordings
    step = Recorded(lambda x: (2 * x,), lambda shape: shape[0] < 3)
    assert torch.equal(step(torch.ones(3))[0], 2 * torch.ones(3))
    assert not made
    step(torch.ones(2))
    assert len(made) == 1


class Capture:
    """A recording made believe: it fails so many times."""

    def __init__(self, failures):
        self.failures, self.pools, self.left = failures, [], []

    @contextmanager
    def graph(self, graph, pool, capture_error_mode):
        self.pools.append(pool)
        yield
        if len(self.pools) <= self.failures:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")


@pytest.fixture
def capture(monkeypatch):
    """Make one, with everything of CUDA that `recorded` asks for."""

    def make(failures):
        made, handles = Capture(failures), count()
        stream = SimpleNamespace(synchronize=lambda: None)
        for name, value in {
            "graph": made.graph,
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph_pool_handle": lambda: next(handles),
            "current_stream": lambda _: stream,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(graphs, "_give_up", lambda device, pool: made.left.append(pool))
        monkeypatch.setattr(graphs, "_pools", {})
        return made

    return make


@pytest.mark.parametrize("failures", [0, 1, TRIES])
def test_a_recording_that_fails_is_tried_again_with_other_memory(capture, failures, caplog):
    made = capture(failures)
    step = lambda x: (2 * x,)  # noqa: E731
    run = graphs.recorded(step, (torch.ones(1),), 1)
    assert made.left == list(range(failures))
    assert made.pools == list(range(min(failures + 1, TRIES)))
    assert (run is step) == (failures == TRIES)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert ("CUDA graphs do not work here" in "".join(warned)) == (failures == TRIES)


def test_nobody_works_while_one_records():
    turns, recording, errors = Turns(), [], []

    def work(k):
        for n in range(50):
            with turns.working():
                if recording:
                    errors.append("worked while another recorded")
                if (n + k) % 5 == 0:
                    with turns.working(), turns.recording(), turns.recording():
                        recording.append(k)
                        time.sleep(1e-4)
                        if recording != [k]:
                            errors.append("two recorded")
                        recording.clear()

    threads = [Thread(target=work, args=[k], daemon=True) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not errors
    assert turns._working == turns._waiting == 0


def test_an_error_leaves_the_turn_to_others():
    turns = Turns()
    with suppress(ValueError), turns.working(), turns.recording():
        raise ValueError
    with suppress(ValueError), turns.recording():
        raise ValueError

    def both():
        with turns.working(), turns.recording():
            pass

    thread = Thread(target=both, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.cuda
def test_a_pair_and_a_motion_as_wholes(seeing_model, monkeypatch):
    """The engine's recordings give what the same steps give without, at every t."""
    made = []
    for capturing in (False, True):  # while something records, nothing else is recorded: the steps run as they are
        engine = Engine(Settings(model=seeing_model, device="cuda", precision="fp32", scale=1.0, flow="unet"))
        rgb = torch.rand(2, 1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        with monkeypatch.context() as patch:
            if capturing:
                patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
            pair = engine.pair(*rgb)
            made.append([engine.render(engine.motion(pair, t), *rgb, 1, 1) for t in (0.2, 0.5, 0.8)])
    for a, b in zip(*made, strict=True):
        assert (a - b).abs().max() < 1e-4


@pytest.mark.cuda
def test_a_recording_gives_what_the_network_does():
    torch.manual_seed(0)
    net = UNet(6, 4, 4).cuda()
    graphed = Graphed(net)
    for size in ((64, 96), (32, 32), (64, 96)):
        x = torch.rand(1, 6, *size, device="cuda")
        assert torch.allclose(graphed(x), net(x), atol=1e-4)
    assert len(graphed.recorded.kept) == 2


@pytest.mark.cuda
def test_recordings_side_by_side():
    """Each stream has its own: what one thread computes does not reach another."""
    torch.manual_seed(0)
    net = UNet(6, 4, 4).cuda()
    graphed, given = Graphed(net), torch.rand(8, 1, 6, 64, 64, device="cuda")
    expected = [net(x) for x in given]

    def work(k):
        with torch.inference_mode(), torch.cuda.stream(torch.cuda.Stream()):
            made = [graphed(given[k]) for _ in range(20)]
            torch.cuda.current_stream().synchronize()
        return made

    with ThreadPoolExecutor(8) as pool:
        for made, truth in zip(pool.map(work, range(8)), expected, strict=True):
            assert all(torch.allclose(x, truth, atol=1e-4) for x in made)


@pytest.mark.cuda
@pytest.mark.parametrize(("precision", "least"), [("fp32", 80), ("fp16", 45), ("bf16", 30)])
def test_an_engine_gives_what_the_cpu_does(seeing_model, precision, least):
    """In dB, of noise that has been smoothed."""
    torch.manual_seed(0)
    frames = torch.rand(2, 1, 3, 128, 192)
    frames = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 9, 1, 4).unflatten(0, (2, 1))
    made = []
    for device, chosen in (("cpu", "fp32"), ("cuda", precision)):
        engine = Engine(Settings(model=seeing_model, device=device, precision=chosen, scale=1.0, flow="unet"))
        pair = engine.pair(*(network_input(x, 1) for x in frames))
        made.append(engine.render(engine.motion(pair, 0.25), *frames, 1, 1))
    error = (made[0] - made[1]).square().mean()
    assert -10 * torch.log10(error) >= least


@pytest.mark.cuda
def test_frames_are_sent_once():
    cache, read = FrameCache("cuda"), []
    for _ in range(3):
        x = cache.get("a", lambda: read.append(1) or torch.ones(8))
        assert x.is_cuda
        assert x.sum() == 8
    assert len(read) == 1
