"""Duplicates: which frames they are, where what is between them lies, and what `slomo(dedupe=...)` makes of them."""

from __future__ import annotations

import math
import random
import subprocess
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
import vapoursynth as vs
from clips import convert, core, counting, distance, from_pictures, frozen, moving, picture, planes, same
from conftest import shared_path
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo import slomo
from vs_slomo.clips import duplicates as dedupe
from vs_slomo.clips import formats
from vs_slomo.clips.select import select
from vs_slomo.errors import ArgumentError
from vs_slomo.timing.positions import Timing

F = Fraction
GAP = dedupe.MAX_GAP


# --- where a moment lies ----------------------------------------------------------------------------------


def around(shown, k, gap=GAP, speed=lambda _t: 1.0):
    """What is known around frame k of a clip whose frame n shows the picture of the moment shown[n]."""
    fresh = {}
    for o in range(1 - gap, gap + 1):
        n = k + o
        if 0 <= n < len(shown) and (n == 0 or shown[n] != shown[n - 1]):
            fresh[o] = float(shown[n] - shown[n - 1]) * speed(n) if n else 0.0
    return fresh


def content(shown, k, t=0, gap=GAP, **kwargs):
    """The moment that is shown at k + t."""
    first, second, t = dedupe.place(F(t), around(shown, k, gap, **kwargs), gap)
    a, b = (shown[min(max(k + o, 0), len(shown) - 1)] for o in (first, second))
    return a + (b - a) * t


def slower(step, frames=40):
    """A picture every `step` frames, each shown from the first frame that is due or late."""
    return [step * math.floor(n / step) for n in range(frames)]


LOST = {
    "every frame doubled": [F(n // 2 * 2) for n in range(40)],
    "every frame three times": [F(n // 3 * 3) for n in range(40)],
    "every third lost": [F(n - (n % 3 == 2)) for n in range(40)],
    "every fifth lost": [F(n - (n % 5 == 4)) for n in range(40)],
    "one lost": [F(n - (n == 20)) for n in range(40)],
    "two in a row lost": [F(n - {20: 1, 21: 2}.get(n, 0)) for n in range(40)],
    "3:2, of frames lost": [F(n // 5 * 5 + 3 * (n % 5 >= 3)) for n in range(40)],
}
SLOWER = {f"{1 / step} of the rate": slower(step) for step in (F(5, 4), F(6, 5), F(5, 2), F(4, 3), F(3, 2))}


@pytest.mark.parametrize("name", [*LOST, *SLOWER])
@pytest.mark.parametrize("t", [F(0), F(2, 5)])
def test_steady_motion_is_steady_again(name, t):
    """Lost frames and slower rates alike, though 3:2 is in both: what has moved tells them apart."""
    shown = (LOST | SLOWER)[name]
    assert [content(shown, k, t) for k in range(GAP, 40 - 2 * GAP)] == [k + t for k in range(GAP, 40 - 2 * GAP)]


@pytest.mark.parametrize("name", [*LOST, *SLOWER])
def test_motion_that_is_not_steady_stays_near(name):
    shown, rng = (LOST | SLOWER)[name], np.random.default_rng(0)
    speeds = np.exp(rng.normal(0, 0.15, len(shown)))
    frames = range(GAP, 40 - 2 * GAP)
    off = [abs(content(shown, k, speed=lambda n: speeds[n]) - k) for k in frames]
    held = [k - shown[k] for k in frames]
    assert np.mean([*map(float, off)]) <= 0.25 * np.mean([*map(float, held)])


def test_originals_stay_where_nothing_is_repeated():
    shown = [F(n) for n in range(20)]
    assert all(dedupe.place(t, around(shown, k), GAP) == (0, 1, t) for k in range(20) for t in (F(0), F(1, 3)))


@pytest.mark.parametrize("length", [GAP + 1, GAP + 2, 12])
def test_what_stands_longer_than_max_gap_stays_static(length):
    shown = [F(min(n, 10) + max(0, n - 9 - length)) for n in range(40)]  # 10 stands from frame 10 on
    assert shown.count(F(10)) == length
    for k in range(10, 10 + length):
        assert dedupe.place(F(0), around(shown, k), GAP) == (0, 1, F(0))


def test_what_stands_for_max_gap_is_refilled():
    shown = [F(n) if n < 10 else F(10) if n < 10 + GAP else F(n) for n in range(30)]
    assert [content(shown, k) for k in range(10, 10 + GAP)] == [F(k) for k in range(10, 10 + GAP)]


@given(
    st.lists(st.integers(1, GAP + 2), min_size=8, max_size=20),
    st.integers(2, 8),
    st.fractions(0, 1, max_denominator=7).filter(lambda t: t < 1),
    st.randoms(use_true_random=False),
)
def test_any_gaps_give_a_moment_between_two_frames_in_reach(gaps, max_gap, t, rng):
    shown = [F(n) for i, gap in enumerate(gaps) for n in [sum(gaps[:i])] * gap]
    speeds = [rng.uniform(0.1, 3) for _ in shown]
    for k in range(len(shown)):
        first, second, at = dedupe.place(t, around(shown, k, max_gap, lambda n: speeds[n]), max_gap)
        assert -max_gap < first < second <= max_gap
        assert second - first <= max_gap
        assert 0 <= at < 1
        assert first <= t + at < second + 1


# --- which frames repeat ----------------------------------------------------------------------------------


def repeats(clip, **kwargs):
    return [dict(f.props)[dedupe.REPEATS] for f in dedupe.detect(clip, **kwargs).frames(close=True)]


def footage(name, first, length, width=448, height=252):
    clip = core.bs.VideoSource(str(shared_path("data", *name.split("/"))), cachemode=0, showprogress=False)
    return frozen(clip[first : first + length].resize.Bicubic(width, height, format=vs.YUV420P8))


def noisy(clip, sigma):
    def add(n, f):
        out = f.copy()
        plane = np.asarray(out[0])
        noise = np.random.default_rng(n).normal(0, sigma, plane.shape)
        np.copyto(plane, (plane + noise).round().clip(0, 255).astype(np.uint8))
        return out

    return clip.std.ModifyFrame(clip, add)


@pytest.mark.parametrize("name", ["val/bee_720p.mp4", "val/gopro_walk.mp4", "val/sam2_04_coffee.mp4"])
@pytest.mark.parametrize("sigma", [0, 5, 10])
def test_duplicates_with_noise_are_found_and_motion_is_none(name, sigma):
    clip = select(footage(name, 60, 8, 640, 360), 8, [0, 0, 1, 2, 2, 3, 4, 5, 5, 5, 6, 7], 12)
    assert repeats(noisy(clip, sigma)) == [0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0]


def test_duplicates_that_a_codec_went_over_are_found(tmp_path):
    clip = select(footage("train/bbb_480p24_30s.mp4", 80, 8), 8, [n // 2 for n in range(16)], 16)
    path = tmp_path / "doubled.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "yuv4mpegpipe", "-i", "-"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as encoder:
        clip.output(encoder.stdin, y4m=True)
        encoder.stdin.close()
    assert encoder.returncode == 0
    coded = core.bs.VideoSource(str(path), cachemode=0, showprogress=False)
    assert not same(coded.get_frame(2), coded.get_frame(3)), "the codec has changed them"
    assert repeats(coded) == [0, 1] * 8


def test_a_mouth_that_moves_is_no_duplicate():
    """A 1/50 of the width, and nothing else in a 1080p picture."""
    face = np.full((1080, 1920), 0.6, np.float32)
    mouths = [face.copy() for _ in range(3)]
    mouths[1][700:716, 900:938] = 0.3
    mouths[2][700:716, 900:938] = 0.3
    clip = convert(from_pictures([np.stack([m] * 3) for m in mouths]), vs.GRAY8)
    assert repeats(clip) == [0, 0, 1]


@pytest.mark.parametrize("preset", [vs.GRAY16, vs.RGB24, vs.YUV420P10, vs.YUV444PS, vs.RGBH], ids=lambda f: f.name)
def test_formats_and_numbers_that_no_picture_has(preset):
    assert repeats(moving(preset, 64, 48, times=[0, 0, 1, 1])) == [0, 1, 0, 1]


# --- the clip ---------------------------------------------------------------------------------------------

TWOS = [0, 0, 1, 1, 2, 2, 3, 3]
"""Pictures of `moving`, a SHIFT apart: what `shifting_model` knows."""


@pytest.fixture
def shift(shifting_model, engine_of):
    """`slomo` with the model whose flow is known."""
    engine_of(shifting_model)
    return lambda clip, multi=1, **options: slomo(
        clip, multi, **{"model": shifting_model, "device": "cpu", "dedupe": True} | options
    )


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.YUV420P10, vs.RGBS], ids=lambda f: f.name)
def test_refilled_without_changing_the_rate(shift, preset):
    clip = moving(preset, 96, 64, times=TWOS)
    out = shift(clip)
    assert (out.num_frames, out.fps, out.format.id) == (8, clip.fps, clip.format.id)
    true = moving(preset, 96, 64, times=[0, 0.5, 1, 1.5, 2, 2.5, 3, 3])
    for n in range(8):
        if TWOS.index(TWOS[n]) == n or n == 7:  # the last picture has no neighbour
            assert same(out.get_frame(n), clip.get_frame(n)), "fresh frames are the originals"
        assert distance(out.get_frame(n), true.get_frame(n), margin=8) < 0.01
    assert not same(out.get_frame(1), clip.get_frame(1))


@pytest.mark.parametrize("multi", [F(2), F(5, 2)], ids=str)
def test_refilled_and_multiplied(shift, multi):
    clip = moving(vs.GRAY16, 96, 64, times=TWOS)
    out, times = shift(clip, multi), Timing(8, multi)
    assert (out.num_frames, out.fps) == (times.length, clip.fps * multi)
    for n in range(times.length):
        true = picture(96, 64, float(min(n / multi / 2, 3)))
        want = convert(from_pictures([true]), vs.GRAY16).get_frame(0)
        if n / multi <= 6:
            assert distance(out.get_frame(n), want, margin=8) < 0.01, n


def test_without_it_duplicates_stay(shift):
    clip = moving(vs.GRAY8, 64, 48, times=TWOS)
    assert shift(clip, dedupe=None) is clip
    assert shift(clip, dedupe=False) is clip


def test_a_title_stays_static(shift):
    clip = moving(vs.GRAY8, 64, 48, times=[0, 1, *[2] * (GAP + 1), 3, 4])
    out = shift(clip)
    assert all(same(out.get_frame(n), clip.get_frame(n)) for n in range(len(clip)))


def test_nothing_is_moved_across_a_cut(shift):
    """Neither in front of a cut, where the last picture stands, nor behind it."""
    other = moving(vs.GRAY8, 96, 64, times=[40, 40, 41, 41])
    clip = moving(vs.GRAY8, 96, 64, times=[0, 0, 1, 1]) + other
    mark = [int(n == 3) for n in range(8)]
    told = clip.std.ModifyFrame(clip, lambda n, f: with_props(f, _SceneChangeNext=mark[n]))
    out = shift(told)
    for n in (2, 3, 4, 6, 7):
        assert same(out.get_frame(n), clip.get_frame(n)), n
    for n, t in ((1, 0.5), (5, 40.5)):
        assert distance(out.get_frame(n), moving(vs.GRAY8, 96, 64, times=[t]).get_frame(0), margin=8) < 0.01
    assert [n for n in range(8) if out.get_frame(n).props["_SceneChangeNext"]] == [3]


def with_props(frame, **props):
    out = frame.copy()
    out.props.update(props)
    return out


@pytest.mark.parametrize("max_gap", [2, GAP])
def test_how_far_a_frame_looks_and_what_it_takes_in_full(shift, max_gap, monkeypatch):
    source = moving(vs.YUV420P8, 64, 48, times=[n // 2 for n in range(30)])
    made, in_full = formats.network_clip, []
    monkeypatch.setattr(formats, "network_clip", lambda *args, **kw: counting(made(*args, **kw), in_full)[0])
    clip, requests = counting(source)
    out = shift(clip, max_gap=max_gap)
    assert requests == [], "nothing is asked for when the script loads"
    out.get_frame(15)
    assert set(requests) <= set(range(15 - max_gap, 15 + max_gap + 1))
    assert sorted(set(in_full)) == [14, 16]
    in_full.clear()
    out.get_frame(20)
    assert in_full == [], "an original needs no network"


def test_any_order_and_a_cache_of_nothing_give_the_same(shift):
    source = moving(vs.YUV420P8, 64, 48, times=[0, 0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 6])
    out = shift(source, 2)
    first = [planes(out.get_frame(n)) for n in range(len(out))]
    order = list(range(len(out)))
    random.Random(0).shuffle(order)
    before = core.max_cache_size
    try:
        core.max_cache_size = 1
        again = shift(source, 2, num_streams=2)
        futures = {n: again.get_frame_async(n) for n in order}
        for n, future in futures.items():
            assert all(np.array_equal(a, b) for a, b in zip(first[n], planes(future.result()), strict=True)), n
    finally:
        core.max_cache_size = before


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_clips(shift, length):
    clip = moving(vs.GRAY8, 64, 48, times=[0] * length)
    out = shift(clip, 2)
    assert all(same(out.get_frame(n), clip.get_frame(0)) for n in range(2 * length))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dedupe": 2}, "dedupe: got 2, allowed: None, True or a threshold in (0, 1]"),
        ({"dedupe": "auto"}, "dedupe: got 'auto', allowed: None, True or a threshold in (0, 1]"),
        ({"dedupe": math.nan}, "dedupe: got nan, allowed: None, True or a threshold in (0, 1]"),
        ({"max_gap": 1}, "max_gap: got 1, allowed: an integer from 2 to 24"),
        ({"max_gap": 25}, "max_gap: got 25, allowed: an integer from 2 to 24"),
        ({"max_gap": 5.0}, "max_gap: got 5.0, allowed: an integer from 2 to 24"),
        ({"max_gap": True}, "max_gap: got True, allowed: an integer from 2 to 24"),
    ],
)
def test_refused(shift, options, message):
    with pytest.raises(ArgumentError) as error:
        shift(moving(), **options)
    assert str(error.value) == message


# --- real footage -----------------------------------------------------------------------------------------


def psnr(a, b):
    return -10 * math.log10(np.mean([np.mean((x - y) ** 2) for x, y in zip(a, b, strict=True)]))


@pytest.mark.parametrize("shown", [[n // 2 * 2 for n in range(11)], [n - (n % 3 == 2) for n in range(11)]])
def test_at_least_two_decibels_above_repeating_and_better_than_blending(shown):
    true = footage("val/gopro_walk.mp4", 60, 11, 224, 128)
    clip = select(true, 11, shown, 11)
    replaced = [n for n in range(GAP, 10) if shown[n] != n]
    truth, held = ([planes(x.get_frame(n))[0] for n in replaced] for x in (true, clip))
    mixed = [(planes(true.get_frame(n - 1))[0] + planes(true.get_frame(n + 1))[0]) / 2 for n in replaced]
    out = slomo(clip, 1, dedupe=True, device="cpu")
    made = [planes(out.get_frame(n))[0] for n in replaced]
    assert psnr(made, truth) > psnr(held, truth) + 2
    assert psnr(made, truth) > psnr(mixed, truth)
