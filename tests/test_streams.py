"""Several devices and streams: in order each flow is found at most 1.1 times, and every stream is busy.

The engines are stand-ins: each call waits until all streams are at work.
"""

from __future__ import annotations

import threading
from collections import deque

import pytest
import torch
import vapoursynth as vs
from clips import core, moving, same

from vs_slomo import slomo
from vs_slomo.engine.pair import Pair
from vs_slomo.errors import ArgumentError
from vs_slomo.filters import options as options_of
from vs_slomo.filters import pairs
from vs_slomo.filters.options import RUN, Spread

PATIENCE = 2.0
"""Seconds for which a stream waits for the others. They are at work at once where it never has to wait in vain."""


class Meeting:
    """Where streams wait until all of them are at work. together, alone: how many waited with success, and in vain."""

    def __init__(self, streams: int) -> None:
        self.streams, self.here, self.round = streams, 0, 0
        self.together = self.alone = 0
        self.changed = threading.Condition()

    def wait(self):
        with self.changed:
            self.here += 1
            if self.here == self.streams:
                self.here, self.round, self.together = 0, self.round + 1, self.together + self.streams
                self.changed.notify_all()
                return
            now = self.round
            if not self.changed.wait_for(lambda: self.round > now, PATIENCE):
                self.here, self.alone = self.here - 1, self.alone + 1


class StandIn:
    """An engine that finds no flow, but waits until all streams look for one."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting, self.runs, self.lock = meeting, 0, threading.Lock()

    def stream(self):
        return None

    def wait(self, *_):
        """Nothing is on its way."""

    def run(self, work, stream=None):
        return work()

    def pair(self, rgb0, rgb1, *_):
        self.meeting.wait()
        with self.lock:
            self.runs += 1
        nothing = torch.zeros(1, 2, *rgb0.shape[-2:])
        return Pair(rgb0, rgb1, (nothing, nothing))

    def bent(self, pair, previous, next_, pace=(1, 1)):
        return pair

    def motion(self, pair, t):
        return t

    def render(self, motion, plane0, plane1, ratio_x, ratio_y, origin=(0, 0), peak=None, *, wait=True):
        return plane0 if motion < 0.5 else plane1


@pytest.fixture
def engines(monkeypatch):
    """Return a function that makes stand-ins for so many streams, by the device's name, which is any "cpu:N"."""

    def stand_ins(streams):
        found, lock, meeting = {}, threading.Lock(), Meeting(streams)

        def engine(settings):
            with lock:
                return found.setdefault(settings.device, StandIn(meeting))

        monkeypatch.setattr(pairs, "shared_engine", engine)
        monkeypatch.setattr(options_of, "check_device", lambda name: name)
        return found, meeting

    return stand_ins


@pytest.fixture(autouse=True)
def host():
    threads = core.num_threads
    core.num_threads = 8
    yield
    core.num_threads = threads


def in_order(clip, requests):
    """Read a clip as vspipe does with -r REQUESTS."""
    waiting, asked, frames = deque(), 0, []
    for _ in range(len(clip)):
        while asked < len(clip) and len(waiting) < requests:
            waiting.append(clip.get_frame_async(asked))
            asked += 1
        frames.append(waiting.popleft().result(60))
    return frames


@pytest.mark.parametrize("multi", [2, 8])
@pytest.mark.parametrize("curved", [True, False])
@pytest.mark.parametrize(("devices", "streams"), [(2, 1), (1, 2), (2, 2), (1, 3)])
def test_each_flow_is_found_once_and_every_stream_is_busy(devices, streams, multi, curved, engines):
    length = 4 * RUN + 1 if devices > 1 else 41
    clip = moving(vs.GRAY8, 32, 32, length)
    names = [f"cpu:{n}" for n in range(devices)]
    found, meeting = engines(devices * streams)
    out = slomo(clip, multi, device=names, num_streams=streams, curved=curved, model="bundled", scale=1, sc=False)
    spread = Spread(devices, streams, RUN if curved and devices > 1 else 1)
    in_order(out, spread.requests(multi))
    flows = sum(engine.runs for engine in found.values())
    assert len(found) == devices
    assert length - 1 <= flows <= 1.1 * (length - 1)
    assert meeting.together + meeting.alone == flows
    # Some wait in vain: at the beginning, at the end, where a device begins a run, and where the host's order puts the
    # streams out of step (2 to 26 of 86, however long they wait). Where a stream has nothing to do, all wait in vain.
    assert meeting.alone <= 0.5 * flows


def test_any_number_of_streams_gives_the_same(seeing_model):
    clip = moving(vs.YUV420P8, 48, 32, 9)
    one = slomo(clip, 3, model=seeing_model, device="cpu", curved=True)
    for streams in (2, 3):
        several = slomo(clip, 3, model=seeing_model, device="cpu", curved=True, num_streams=streams)
        for a, b in zip(in_order(one, 4), in_order(several, 9), strict=True):
            assert same(a, b)


@pytest.mark.parametrize("spread", [Spread(2, 1, 20), Spread(2, 2, 20), Spread(3, 2, 1), Spread(1, 4, 1)])
def test_pairs_are_spread_evenly(spread):
    taken = [spread.stream(pair) for pair in range(2 * spread.period)]
    assert taken[: spread.period] == taken[spread.period :]
    assert {taken.count(n) for n in range(spread.devices * spread.streams)} == {len(taken) / (
        spread.devices * spread.streams
    )}  # fmt: skip


@pytest.mark.parametrize("device", [[], ["cpu", "cpu"], ["cpu", 1], 3, ["cpu", "nonsense"], ("cpu", "cuda:0")])
def test_devices_are_different_and_of_one_kind(device, seeing_model):
    with pytest.raises(ArgumentError, match="device: got"):
        slomo(moving(vs.GRAY8), device=device, model=seeing_model)
