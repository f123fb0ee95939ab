"""Samples that are cut on the device: the same pixels and fields that `samples.Windows` would cut."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from vs_slomo.model.warp import backwarp
from vs_slomo.training.cache import prepare
from vs_slomo.training.process import Process
from vs_slomo.training.resident import PlaceMaps, Resident
from vs_slomo.training.samples import CHANGES, FLIPPED, MIRRORED, REVERSED, TRANSPOSED, Windows, collate
from vs_slomo.training.scenes import Scene

CPU, SIZE, COUNT = torch.device("cpu"), 64, 48


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two clips of different sizes."""
    root = tmp_path_factory.mktemp("footage")
    for name, seed, height, width in (("one", 1, 96, 128), ("two", 2, 128, 96)):
        (root / name).mkdir()
        scene = Scene.random(seed, height, width, layers=1, speed=4)
        for t in range(12):
            picture = (255 * scene.frame(t).permute(1, 2, 0)).round().to(torch.uint8).numpy()
            cv2.imwrite(str(root / name / f"{t:03}.png"), picture[..., ::-1])
    prepare(root, root / "cache")
    return root / "cache"


def changed(x, change, signs_x, signs_y, swapped):
    """Do what `Windows` does, one change after the other: (C, S, S), and which of its channels are x and y."""
    if change & MIRRORED:
        x = x[..., ::-1] * signs_x
    if change & FLIPPED:
        x = x[..., ::-1, :] * signs_y
    if change & TRANSPOSED:
        x = x.swapaxes(-1, -2)[swapped]
    return x


def test_each_change_gives_the_same_pixels_and_flows(cache):
    windows = Windows(cache, SIZE, own=1.0, curved=1.0)
    resident = Resident(windows, CPU)
    drawn = resident.draw(CHANGES, 0)
    drawn = replace(drawn, change=np.arange(CHANGES), channels=np.tile([2, 0, 1], (CHANGES, 1)))
    drawn = replace(drawn, light=np.full((CHANGES, 3), 0.7))
    made = resident.cut(drawn)
    one = np.ones((6, 1, 1))
    signs_x, signs_y = one.copy(), one.copy()
    signs_x[0::2], signs_y[1::2] = -1, -1
    for k in range(CHANGES):
        number, own, window = windows.windows[drawn.window[k]]
        y, x, change = drawn.y[k], drawn.x[k], drawn.change[k]
        truth = window.truths[drawn.truth[k]]
        stack = windows.frames[number][[window.first, truth, window.last], y : y + SIZE, x : x + SIZE]
        stack = np.stack([(stack[..., c] * 0.7).astype(np.uint8) for c in (2, 0, 1)], 1)
        half = np.s_[:, y // 2 : (y + SIZE) // 2, x // 2 : (x + SIZE) // 2]
        flow = windows.flows[number][own][half].astype(np.float32)
        stack = changed(stack, change, 1, 1, slice(None))
        flow = changed(flow, change, signs_x, signs_y, [1, 0, 3, 2, 5, 4])
        t = (truth - window.first) / (window.last - window.first)
        if change & REVERSED:
            stack, flow, t = stack[::-1], flow[[2, 3, 0, 1, 4, 5]], 1 - t
        for name, expected in zip(("frame0", "truth", "frame1"), stack, strict=True):
            assert np.abs(getattr(made, name)[k].numpy().astype(int) - expected).max() <= 1, name
        assert np.array_equal(made.flow[k], flow[:4])
        assert np.array_equal(made.bend[k], flow[4:])
        assert float(made.t[k]) == pytest.approx(t)
        assert made.error[k].tolist() == pytest.approx([window.l1[drawn.truth[k]], window.mse[drawn.truth[k]]])


def test_samples_have_the_shapes_and_types_of_those_that_processes_read(cache):
    windows = Windows(cache, SIZE, own=0.25, curved=0.5)
    here = Resident(windows, CPU)
    made, read = here.cut(here.draw(8, 3)), collate([windows[k] for k in range(8)])
    for name, expected in vars(read).items():
        values = getattr(made, name)
        assert (values.shape, values.dtype) == (expected.shape, expected.dtype), name
    assert made.own.tolist() == read.own.tolist()
    bends = made.bend.abs().amax((1, 2, 3)) > 0
    assert torch.cat([here.cut(here.draw(COUNT, n)).bend for n in range(4)]).abs().amax((1, 2, 3)).gt(0).sum() > 0
    assert not bends.all()


def test_processes_share_a_step_and_a_resumed_run_goes_on(cache):
    resident = Resident(Windows(cache, SIZE, own=0.5), CPU)
    whole = [next(steps) for steps in [resident.batches(6, Process(0, 1, CPU), 0)] for _ in range(3)]
    parts = [next(resident.batches(6, Process(rank, 2, CPU), 2)) for rank in range(2)]
    for rank, part in enumerate(parts):
        for name, values in vars(part).items():
            assert torch.equal(values, getattr(whole[2], name)[rank::2]), name
    assert not torch.equal(whole[0].truth, whole[1].truth)


def test_crops_lie_in_their_pictures_and_where_most_happens(cache):
    windows = Windows(cache, SIZE)
    resident = Resident(windows, CPU)
    drawn = resident.draw(400, 0)
    for corner, length in ((drawn.y, resident.height), (drawn.x, resident.width)):
        assert corner.min() == 0
        assert (corner % 2 == 0).all()
        assert (corner <= length[drawn.window] - SIZE).all()
    assert len(set(drawn.window.tolist())) == len(windows.windows)
    maps = PlaceMaps([np.array([[0, 0, 0], [0, 0, 5]], np.float32), np.array([[7.0]], np.float32)])
    many = np.zeros(200, int)
    y, x = maps.best(many, 50, many + 62, many + 94, np.random.default_rng(0))
    assert (y >= 32).all()
    assert (x >= 64).all()


def test_what_is_moved_lands_on_what_it_moves_to(cache):
    resident = Resident(Windows(cache, SIZE), CPU)
    batch = resident.cut(resident.draw(COUNT, 1))
    frame0, frame1 = (torch.nn.functional.avg_pool2d(x.float() / 255, 2) for x in (batch.frame0, batch.frame1))
    inner = (..., slice(6, -6), slice(6, -6))
    still = (frame0 - frame1)[inner].abs().mean((1, 2, 3))
    moved = (frame0 - backwarp(frame1, batch.flow[:, :2]))[inner].abs().mean((1, 2, 3))
    assert (moved < 0.6 * still).float().mean() > 0.8
