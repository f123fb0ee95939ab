"""The cache and its samples: what moves is kept, what teaches nothing is left out, flows stay true."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.model.warp import backwarp
from vs_slomo.training import cache as caching
from vs_slomo.training.cache import find_clips, prepare, read_frames
from vs_slomo.training.samples import SceneSet, Windows, collate, texture_bank
from vs_slomo.training.scenes import Scene

SIZE = 96


def to_8_bit(frame):
    return (255 * frame.permute(1, 2, 0)).round().to(torch.uint8).numpy()


def frames_of(seed, count):
    # No bar, which is too thin and too fast for DIS.
    scene = Scene.random(seed, SIZE, SIZE, layers=1, speed=4)
    return [to_8_bit(scene.frame(t)) for t in range(count)]


def write(folder, frames):
    folder.mkdir(parents=True)
    for k, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{k:03}.png"), frame[..., ::-1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two clips: one of 14 frames, and one with a cut and a frame shown twice."""
    root = tmp_path_factory.mktemp("footage")
    write(root / "a" / "moving", frames_of(1, 14))
    here, there = frames_of(2, 10), frames_of(3, 12)
    here.insert(4, here[3])
    write(root / "b" / "broken", here + there)
    prepare(root, root / "cache")
    return root / "cache"


def test_clips_are_folders_of_pictures_and_videos(tmp_path):
    write(tmp_path / "x" / "clip", frames_of(1, 10))
    (tmp_path / "video.mp4").touch()
    (tmp_path / "notes.txt").touch()
    assert [p.name for p in find_clips(tmp_path)] == ["video.mp4", "clip"]


def test_frames_of_a_folder_are_rgb_in_order(tmp_path):
    frames = frames_of(1, 3)
    write(tmp_path / "clip", frames)
    for got, expected in zip(read_frames(tmp_path / "clip"), frames, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"no\.mp4: OpenCV cannot open this video"):
        list(read_frames(tmp_path / "no.mp4"))
    with pytest.raises(ArgumentError, match=r"data: got .* a folder with videos"):
        prepare(tmp_path / "nothing", tmp_path / "cache")


@pytest.mark.slow
def test_several_processes_make_the_same_cache(cache, tmp_path):
    prepare(cache.parent / "a", tmp_path / "one")
    prepare(cache.parent / "a", tmp_path / "two", processes=2)
    for name in ("index.json", "moving.npy", "moving.flow.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_cuts_and_duplicates_are_measured(cache):
    cut, duplicate = caching.joints(np.load(cache / "b_broken.npy"))
    assert np.flatnonzero(cut).tolist() == [10]
    assert np.flatnonzero(duplicate).tolist() == [3]


def test_no_window_runs_over_a_cut_or_a_duplicate(cache):
    windows = Windows(cache, 64).windows
    assert {clip for clip, _, _ in windows} == {0, 1}
    for clip, _, window in windows:
        assert window.first < min(window.truths) <= max(window.truths) < window.last
        if clip == 1:
            assert not window.first <= 10 < window.last
            assert not window.first <= 3 < window.last


def test_errors_are_those_of_dis(cache):
    clip, k, window = Windows(cache, 64).windows[0]
    frames = np.load(cache / "a_moving.npy")
    flow = caching.all_motion(frames, window.first, window.last, np.zeros(14, dtype=int))
    t = (window.truths[0] - window.first) / (window.last - window.first)
    l1, mse = caching.dis_error(frames[window.first], frames[window.truths[0]], frames[window.last], flow, t)
    assert clip == 0
    assert k == 0
    assert (l1, mse) == (window.l1[0], window.mse[0])
    assert 0 < mse < 0.01


def test_a_sample_follows_from_its_number(cache):
    one, two = Windows(cache, 64, own=0.25), Windows(cache, 64, own=0.25)
    for index in (0, 5, 10**9):
        for a, b in zip(vars(one[index]).values(), vars(two[index]).values(), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(one[0].truth, Windows(cache, 64, seed=1)[0].truth)
    assert [int(one[k].own) for k in range(8)] == [0, 0, 0, 1, 0, 0, 0, 1]


def test_flows_hold_after_mirroring_turning_and_reversing(cache):
    windows = Windows(cache, 64)
    batch = collate([windows[k] for k in range(24)])
    frame0, truth, frame1 = (
        torch.nn.functional.avg_pool2d(x.float() / 255, 2) for x in (batch.frame0, batch.truth, batch.frame1)
    )
    f01, f10 = batch.flow[:, :2], batch.flow[:, 2:]
    inner = (..., slice(8, -8), slice(8, -8))
    for here, there, flow in ((frame0, frame1, f01), (frame1, frame0, f10)):
        still = (here - there)[inner].abs().mean((1, 2, 3))
        moved = (here - backwarp(there, flow))[inner].abs().mean((1, 2, 3))
        assert (moved < 0.5 * still).float().mean() > 0.9
    # t is what the flow says: the truth is found at t along it.
    t = batch.t
    found = backwarp(frame0, -(1 - t) * t * f01 + t * t * f10)
    assert ((found - truth)[inner].abs().mean() < 0.4 * (frame0 - truth)[inner].abs().mean()).item()


def speeding_up(count):
    """Return pictures that move in a parabola: speed 0 at first, 0.5 pixels more with each."""
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8), (0, 0), 3)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    places = [np.array([[1, 0, 10 - 0.25 * k**2], [0, 1, 10 - 0.15 * k**2]]) for k in range(count)]
    return np.stack([cv2.warpAffine(picture, place, (SIZE, SIZE)) for place in places])


def test_motion_is_bent_by_the_frames_beside():
    frames, whole = speeding_up(12), np.zeros(12, dtype=int)
    bend = caching.all_motion(frames, 4, 6, whole)[4:, 16:-16, 16:-16].mean((1, 2))
    # What is moved to the left by 0.25 k^2 speeds up by 0.5 a frame, so by 2 in the square of two frames.
    np.testing.assert_allclose(bend, [-2, -1.2], atol=0.1)
    for first, last, bad in (
        (1, 3, whole),  # no frame 2 before
        (8, 10, whole),  # nor 2 behind
        (4, 6, np.array([0, 0, 0] + 9 * [1])),  # a cut between frames 2 and 3
        (4, 6, np.array(8 * [0] + 4 * [1])),  # and between 7 and 8
    ):
        assert not caching.all_motion(frames, first, last, bad)[4:].any()
    assert caching.all_motion(frames, 4, 6, np.array(9 * [0] + 3 * [1]))[4:].any()  # behind the last one asked for


def test_a_part_of_the_samples_is_bent_through_every_change(tmp_path):
    write(tmp_path / "clip", speeding_up(12))
    prepare(tmp_path, tmp_path / "cache")
    even, half, bent = (Windows(tmp_path / "cache", 64, curved=part) for part in (0.0, 0.5, 1.0))
    assert not any(even[k].bend.any() for k in range(20))
    batch = collate([bent[k] for k in range(40)])
    curves = batch.bend.abs().mean((1, 2, 3)) > 0.05
    assert 10 < curves.sum() < 40  # at the ends nothing bends
    assert 0.25 < sum(bool(half[k].bend.any()) for k in range(40)) / curves.sum() < 0.75
    frame0, truth = (torch.nn.functional.avg_pool2d(x.float() / 255, 2) for x in (batch.frame0, batch.truth))
    t, f01, f10 = batch.t, batch.flow[:, :2], batch.flow[:, 2:]
    line = -(1 - t) * t * f01 + t * t * f10
    errors = [
        (backwarp(frame0, way) - truth)[..., 8:-8, 8:-8].abs().mean((1, 2, 3))
        for way in (line, line + t * (1 - t) / 2 * batch.bend)
    ]
    assert (errors[1] < errors[0])[curves].float().mean() > 0.9


def test_the_cache_of_an_older_version(cache, tmp_path):
    shutil.copytree(cache, tmp_path / "old")
    for file in (tmp_path / "old").glob("*.flow.npy"):
        np.save(file, np.load(file)[:, :4])
    with pytest.raises(ArgumentError, match=r"cache: got .*, or one that this version wrote"):
        Windows(tmp_path / "old", 64)


def test_crops_have_to_fit(cache):
    with pytest.raises(ArgumentError, match="crop: got 128"):
        Windows(cache, 128)


def test_scenes_are_made_of_the_footage(cache):
    bank = texture_bank(cache, "", seed=0, count=4, size=32)
    assert bank.shape == (4, 3, 32, 32)
    assert torch.equal(bank, texture_bank(cache, "", seed=0, count=4, size=32))
    scenes = SceneSet(bank, 32)
    assert scenes[7].frames(0.5).shape == (1, 3, 32, 32)
    torch.testing.assert_close(scenes[7].frames(0.5), SceneSet(bank, 32)[7].frames(0.5))
    assert (scenes[7].frames(0.5) - scenes[8].frames(0.5)).abs().mean() > 0.01
