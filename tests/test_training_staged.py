"""Synthetic clips with exact labels at t: the labels fit the frames, and the clips are drawn beside footage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vs_slomo.errors import ArgumentError
from vs_slomo.model.superslomo import flows_at
from vs_slomo.model.warp import backwarp, resize_field
from vs_slomo.training.config import build, check
from vs_slomo.training.samples import STAGED, Windows, collate
from vs_slomo.training.staged import PAIRS, SIZE, write_clips

CLIPS = 2
"""The second one has figures."""


def write_footage(folder):
    """A cache of one clip of noise, with one window that no teacher has anything to say of."""
    folder.mkdir(parents=True)
    window = {"first": 0, "last": 2, "motion": 1.0, "truths": [1], "l1": [0.1], "mse": [0.1]}
    (folder / "index.json").write_text(json.dumps([{"name": "noise", "windows": [window]}]))
    (folder / "teacher.json").write_text(json.dumps({"noise": [1]}))
    half, blocks = SIZE // 2, SIZE // 32
    cells = np.random.default_rng(0).integers(0, 255, (10, SIZE // 8, SIZE // 8, 3), np.uint8)
    np.save(folder / "noise.npy", cells.repeat(8, 1).repeat(8, 2))
    for name, shape in (("flow", (6, half, half)), ("teacher", (7, half, half)), ("gain", (blocks, blocks))):
        np.save(folder / f"noise.{name}.npy", np.zeros((1, *shape), np.float32))


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    write_footage(folder / "train")
    write_clips(folder / "train", folder / "staged", CLIPS)
    return folder


def test_the_labels_fit_the_frames(caches):
    """What a label believes is what the true frame shows, and far from what stands still shows."""
    windows = Windows(caches / "staged", 256, own=1.0, taught=True)
    assert len(windows.windows) == CLIPS * len(PAIRS)
    warped_error, still_error, moved = [], [], []
    for k in range(12):
        sample = collate([windows[k]])
        frame0, truth, frame1 = (x.float() / 255 for x in (sample.frame0, sample.truth, sample.frame1))
        flows = resize_field(sample.teacher[:, :4], 2, 2) * 2
        for frame, flow, belief in ((frame0, flows[:, :2], 4), (frame1, flows[:, 2:], 5)):
            seen = (resize_field(sample.teacher[:, belief : belief + 1], 2, 2) == 1).expand_as(truth)
            warped_error.append((backwarp(frame, flow) - truth)[seen].abs().mean())
            still_error.append((frame - truth)[seen].abs().mean())
            moved.append(seen.float().mean())
    assert np.mean(moved) > 0.5
    assert np.mean(warped_error) < 0.25 * np.mean(still_error)


def test_visibility_is_that_of_the_labels(caches):
    windows = Windows(caches / "staged", 256, own=1.0, taught=True)
    for k in range(6):
        teacher = windows[k].teacher
        torch.testing.assert_close(teacher[6], teacher[4] - teacher[5], atol=2e-3, rtol=0)
        assert teacher[6].abs().max() > 0.5


def test_flow_between_the_ends_leads_to_t(caches):
    """Where nothing is covered, equation 4 on the exact flow is near the label, for motion is nearly even."""
    windows = Windows(caches / "staged", 256, own=1.0, taught=True)
    sample = collate([windows[k] for k in range(12)])
    ft0, _ = flows_at((sample.flow[:, :2], sample.flow[:, 2:]), sample.t)
    sure = sample.teacher[:, 4:5] == 1
    off = (ft0 - sample.teacher[:, :2]).square().sum(1, keepdim=True).sqrt()
    length = sample.teacher[:, :2].square().sum(1, keepdim=True).sqrt()
    assert off[sure].median() < 0.2 * length[sure].median() + 0.1


def test_a_third_of_the_windows(caches):
    windows = Windows(caches / "train", 256, own=1.0, taught=True, staged=caches / "staged")
    share = np.diff(windows.share, prepend=0)
    assert share.sum() == pytest.approx(1)
    assert share[:1].sum() == pytest.approx(1 - STAGED)
    assert len(share) == 1 + CLIPS * len(PAIRS)
    drawn = np.mean([windows[k].teacher.abs().max() > 0 for k in range(60)])
    assert 0.15 < drawn < 0.55


def test_the_same_clips_again(caches, tmp_path):
    write_clips(caches / "train", tmp_path / "again", CLIPS, processes=2)
    files = sorted(p.name for p in (caches / "staged").iterdir())
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == files
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (caches / "staged" / name).read_bytes()
    write_clips(caches / "nowhere", tmp_path / "again", CLIPS)  # nothing left to do


@pytest.mark.parametrize(("staged", "message"), [(-1, "staged: got -1"), (5, "rife: got ''")])
def test_what_is_refused(staged, message):
    with pytest.raises(ArgumentError, match=message):
        check(build({"data": "d", "run": "r", "staged": staged}))
