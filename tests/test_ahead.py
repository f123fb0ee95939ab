"""Classical flow that nodes of its own find ahead of a GPU: the same frames, several pairs at once."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
import vapoursynth as vs
from clips import moving, same

from vs_slomo import slomo
from vs_slomo.filters import ahead
from vs_slomo.filters.options import check_options
from vs_slomo.model import dis
from vs_slomo.model.flow import FLOWS


@pytest.mark.parametrize("flow", ["dis", "guided", "both"])
def test_the_same_frames(monkeypatch, flow):
    """Of a length that is no multiple of the nodes' number, with a frame that repeats."""
    clip = moving(vs.YUV420P8, 98, 66, 7)
    clip = clip[:4] + clip[3] + clip[4:]
    options = {"flow": flow, "device": "cpu", "sc": False}
    expected = slomo(clip, 3, **options)
    monkeypatch.setattr(ahead, "pays", lambda _: True)
    made = slomo(clip, 3, **options)
    assert all(same(a, b) for a, b in zip(made.frames(), expected.frames(), strict=True))


def test_several_pairs_at_once(monkeypatch):
    """Stand-ins for DIS that wait until a second one has begun: alone they would wait in vain."""
    begun, both = [], threading.Event()

    def found(gray0, _, **__):
        begun.append(threading.get_ident())
        if len(set(begun)) > 1:
            both.set()
        assert both.wait(30)
        return torch.zeros(1, 2, *(n // 2 for n in gray0.shape))

    monkeypatch.setattr(dis, "dis_flow", found)
    clip = ahead.flow_clip(moving(vs.GRAY8, length=8), FLOWS["dis"])
    assert clip.num_frames == 8
    read = [ahead.read(frame) for frame in clip.frames(prefetch=8, close=False)]
    assert all(flow.shape == (1, 2, 24, 32) for pair in read for flow in pair)


def test_where_it_pays():
    def pays(flow="dis", device="cuda", **options):
        made = check_options((640, 360), flow=flow, device="cpu", **options)
        return ahead.pays(replace(made, settings=replace(made.settings, device=device)))

    assert pays()
    assert not pays(device="cpu")  # the networks are at work on all cores
    assert not pays("unet")
    assert not pays("fast")
    assert not pays(dedupe=True)
    assert not pays(borders="auto")
