"""Cuts, on footage that was marked by eye (tests/data/cuts.json), and on pictures that were changed."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import vapoursynth as vs
from conftest import shared_path

from vs_slomo.clips import cuts

core = vs.core
MARKS = json.loads((Path(__file__).parent / "data/cuts.json").read_text())
FILM = "train/tears_of_steel_70s.webm"
DARK = cuts.NOISE


def scores(name, first, last):
    """Score of each pair of frames from `first` to `last`, and the cuts found."""
    clip = core.bs.VideoSource(str(shared_path("data", *name.split("/"))), cachemode=0, showprogress=False)
    found = [dict(f.props) for f in cuts.detect(clip[first : last + 1]).frames(close=True)][:-1]
    values = {first + i: props.get(cuts.SCORE) for i, props in enumerate(found)}
    return values, [first + i for i, props in enumerate(found) if props[cuts.NEXT]]


def test_a_whole_film_with_room_on_both_sides():
    """25 cuts, twelve pans, five stretches of flashes and two fades."""
    values, found = scores(FILM, 0, 1690)
    assert found == MARKS[FILM]["cuts"]
    assert min(values[k] for k in found) > cuts.THRESHOLD + 0.03
    assert max(s for k, s in values.items() if s is not None and k not in found) < cuts.THRESHOLD - 0.02


@pytest.mark.parametrize("name", ["train/bbb_1080p60_10s.mp4", "test/sar_64_45_bpyramid.mp4"])
def test_drawn_footage(name):
    assert scores(name, 0, 40)[1] == MARKS[name]["cuts"]


def picture(seed, shift=0):
    """Luma with structure of all sizes, as photographs have it."""
    rng = np.random.default_rng(seed)
    sizes = (3, 6, 12, 24, 48)
    wide = sum(cv2.resize(rng.random((h, 2 * h), np.float32), (192, 64), interpolation=cv2.INTER_CUBIC) for h in sizes)
    return (wide / len(sizes))[:, shift : shift + 96].clip(0, 1)


def light(picture, x=24, y=20, size=12):
    """The picture with a lamp in it that burns out."""
    rows, columns = np.mgrid[:64, :96]
    return (picture + 1.5 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / size**2)).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_what_changes_and_is_no_cut(seed):
    a, other = picture(seed), picture(seed + 100)
    noise = np.random.default_rng(seed).normal(0, 0.01, a.shape).astype(np.float32)
    changed = {
        "pan by an eighth of the width": picture(seed, shift=12),
        "brighter by half": (a * 1.5).clip(0, 1),
        "lamp": light(a),
        "fade to black over twelve frames": a * (11 / 12),
        "dissolve over six frames": a * (5 / 6) + other / 6,
        "noise": a + noise,
    }
    found = {name: cuts.score(a, b.astype(np.float32)) for name, b in changed.items()}
    assert all(score < cuts.THRESHOLD for score in found.values()), found
    assert cuts.score(a, other) > cuts.THRESHOLD


@pytest.mark.parametrize(("width", "height"), [(96, 48), (96, 41), (72, 64), (80, 52)])
def test_bars_hide_no_cut(width, height):
    """They are found in both pictures, and would make a cut of half a picture half a cut."""

    def framed(picture):
        whole = np.zeros((64, 96), np.float32)
        top, left = (64 - height) // 2, (96 - width) // 2
        whole[top : top + height, left : left + width] = cv2.resize(picture, (width, height))
        return whole

    for seed in range(5):
        assert cuts.score(framed(picture(seed)), framed(picture(seed + 100))) > cuts.THRESHOLD
        assert cuts.score(framed(picture(seed)), framed(picture(seed, shift=4))) < cuts.THRESHOLD


def test_score_has_no_direction_and_knows_the_same_picture():
    a, b = picture(1), picture(2)
    assert cuts.score(a, b) == pytest.approx(cuts.score(b, a))
    assert cuts.score(a, a) == 0


def test_flat_and_dark_pictures_prove_nothing():
    rng = np.random.default_rng(3)
    dark, also_dark = (rng.normal(0.1, DARK, (64, 96)).astype(np.float32) for _ in range(2))
    assert cuts.score(dark, also_dark) < cuts.THRESHOLD
    white = np.ones((64, 96), np.float32)
    assert cuts.score(picture(4), white) == 0, "burnt out"
    assert cuts.score(np.zeros((64, 96), np.float32), picture(4)) > cuts.THRESHOLD


def test_numbers_that_no_picture_has():
    a = picture(5)
    strange = a.copy()
    strange[0, :3] = np.nan, np.inf, -np.inf
    assert cuts.score(a, strange) == pytest.approx(cuts.score(a, strange.clip(0, 1).copy()), abs=0.05)
