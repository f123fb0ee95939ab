"""retime(): what lies at a source frame is that frame, whatever the curve; the rest is made from two."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs
from clips import convert, counting, distance, from_pictures, moving, picture, planes, same

from vs_slomo.clips import cuts
from vs_slomo.clips.durations import duration, timed
from vs_slomo.errors import ArgumentError
from vs_slomo.filters.motion import motion
from vs_slomo.filters.retime import retime
from vs_slomo.filters.slomo import slomo
from vs_slomo.timing.timecodes import Timecodes

FRAMES = 12


@pytest.fixture(scope="module")
def clip():
    return moving(length=FRAMES)


@pytest.fixture
def made(shifting_model):
    """Retime with the model whose flow is the clip's true one."""

    def made(clip, curve, **options):
        return retime(clip, curve, model=shifting_model, device="cpu", **options)

    return made


def shown(out, clip):
    """Which source frame each frame is, to the bit; None where it is a new one."""
    sources = list(clip.frames())
    return [next((k for k, s in enumerate(sources) if same(f, s)), None) for f in out.frames()]


def test_the_same_speed_is_the_same_clip(clip, made):
    out = made(clip, lambda t: t)
    assert (len(out), out.fps, out.format.id) == (FRAMES, clip.fps, clip.format.id)
    assert shown(out, clip) == list(range(FRAMES))


def test_speed_ramp_freeze_and_reverse(clip, made):
    curve = [(0, 0), (2, 4), (6, 6, "hold"), (8, 6), (12, 2)]
    out = made(clip, curve, unit="frames")
    assert shown(out, clip) == [0, 2, 4, None, 5, None, 6, 6, 6, 5, 4, 3]


def test_an_exact_reverse(clip, made):
    out = made(clip, [(0, FRAMES - 1), (FRAMES, -1)], unit="frames")
    assert shown(out, clip) == list(range(FRAMES))[::-1]


def test_new_frames_are_where_they_must_be(made):
    clip = convert(from_pictures([picture(64, 48, n) for n in range(4)]), vs.GRAY16)
    truth = convert(from_pictures([picture(64, 48, t) for t in (0, 0.25, 1.5, 2.75, 1.125)]), vs.GRAY16)
    out = made(clip, [0, 0.25, 1.5, 2.75, 1.125], unit="frames")
    for n in range(1, 5):
        assert distance(out.get_frame(n), truth.get_frame(n), margin=8) < 0.004
    assert distance(out.get_frame(2), out.get_frame(3), margin=8) > 0.03


def test_what_is_within_a_thousandth_is_the_original(made):
    clip = moving(vs.GRAYS, length=7)
    out = made(clip, [3.0009, 4.9991, 5.0011], unit="frames")
    assert shown(out, clip) == [3, 5, None]


def test_seconds_count_from_the_clips_start(clip, made):
    assert shown(made(clip, [(0, 0.08), (0.12, 0.2)]), clip) == [2, 3, 4]
    assert shown(made(clip, np.array([0.08, 0.24])), clip) == [2, 6]


def test_another_rate(clip, made):
    out = made(clip, lambda t: t, fps_num=75)
    assert (out.fps, len(out)) == (75, 3 * FRAMES)
    assert shown(out, clip)[::3] == list(range(FRAMES))
    assert {duration(f) for f in out.frames()} == {Fraction(1, 75)}


def test_length_overrules_the_curve(clip, made):
    assert shown(made(clip, [(0, 2)], unit="frames", length=3), clip) == [2, 2, 2]
    assert shown(made(clip, [(0, 0), (2, 2)], unit="frames", length=4), clip) == [0, 1, 2, 2]
    assert len(made(clip, lambda t: 0, length=40)) == 40


def test_one_frame_is_enough(clip, made):
    assert shown(made(clip[0], [(0, 0), (3, 1)], unit="frames"), clip) == [0, 0, 0]
    assert shown(made(clip[0], [0.5], unit="frames", shutter=3), clip) == [0]


def test_a_variable_clip_at_its_true_moments(clip, made):
    codes = Timecodes.lasting([Fraction(n, 100) for n in (4, 8, 4, 4)])
    given = made(clip[:4], lambda t: t, fps_num=25, timecodes=codes)
    assert shown(given, clip) == [0, 1, None, 2, 3]
    with pytest.raises(ArgumentError, match="fps_num: got None, allowed: the output's rate, as the clip has none"):
        made(timed(clip[:4], codes), lambda t: t)
    with pytest.raises(ArgumentError, match="unit: got 'seconds', allowed: \"frames\", or timecodes"):
        made(timed(clip[:4], codes), lambda t: t, fps_num=25)
    assert shown(made(timed(clip[:4], codes), [(0, 3), (3, 0)], unit="frames", fps_num=25), clip) == [3, 2, 1]


def test_a_keyframe_file(clip, made, tmp_path):
    path = tmp_path / "ramp.txt"
    path.write_text("0 0\n0.12 0.24  # twice as fast\n")
    assert shown(made(clip, path), clip) == [0, 2, 4]


# --- shutter ----------------------------------------------------------------------------------------------


def test_an_open_shutter_averages_what_passes(made):
    """The mean of the moments while it is open, around the frame's own."""
    clip = from_pictures([picture(64, 48, n) for n in range(5)])
    out = made(clip, [1, 2, 3], unit="frames", shutter=5, shutter_angle=180)
    moments = [2 + 0.5 / 5 * i for i in range(-2, 3)]
    truth = np.mean([picture(64, 48, t) for t in moments], axis=0)
    inside = np.s_[8:-8, 8:-8]
    for p, plane in enumerate(planes(out.get_frame(1))):
        assert np.abs(plane[inside] - truth[p][inside]).max() < 0.004


def test_a_wider_shutter_blurs_more(made):
    pictures = np.zeros((5, 3, 48, 64), np.float32)
    for n in range(5):
        pictures[n, :, :, 20 + 4 * n : 24 + 4 * n] = 1
    clip = from_pictures(pictures)
    spread = []
    for angle in (45, 180, 360):
        frame = made(clip, [1, 2, 3], unit="frames", shutter=9, shutter_angle=angle).get_frame(1)
        light = np.asarray(frame[0]).mean(axis=0)
        x = np.arange(64)
        centre = np.average(x, weights=light)
        assert centre == pytest.approx(29.5, abs=0.1)  # the blur lies around the frame's own moment
        spread.append(np.average((x - centre) ** 2, weights=light))
    # The stripe's own, and that of the way it goes while the shutter is open (a box of w has w² / 12).
    assert spread[2] - spread[0] == pytest.approx((4**2 - 0.5**2) / 12, rel=0.15)
    assert spread[0] < spread[1] < spread[2]


def test_a_freeze_has_no_blur(clip, made):
    assert shown(made(clip, [(0, 3)], unit="frames", length=3, shutter=7), clip) == [3, 3, 3]


def test_the_shutter_does_not_reach_over_a_cut(made):
    left, right = np.zeros((3, 48, 64), np.float32), np.ones((3, 48, 64), np.float32)
    clip = from_pictures([left] * 3 + [right] * 3).std.SetFrameProps(**{cuts.NEXT: 0, cuts.PREV: 0})
    clip = (
        clip[:2] + clip[2].std.SetFrameProps(**{cuts.NEXT: 1}) + clip[3].std.SetFrameProps(**{cuts.PREV: 1}) + clip[4:]
    )
    out = made(clip, lambda n: n, unit="frames", length=6, shutter=9, shutter_angle=360)
    assert [float(np.asarray(f[0]).mean()) for f in out.frames()] == [0, 0, 0, 1, 1, 1]
    assert [(f.props[cuts.PREV], f.props[cuts.NEXT]) for f in out.frames()] == [
        (0, 0), (0, 0), (0, 1), (1, 0), (0, 0), (0, 0),
    ]  # fmt: skip
    fast = {"unit": "frames", "length": 2, "shutter": 9, "shutter_angle": 360}
    for sc, whole in ((True, True), (False, False)):
        light = [
            float(np.asarray(f[0]).mean()) for f in made(clip, lambda n: 2 + n * Fraction(5, 2), sc=sc, **fast).frames()
        ]
        assert (light == [0, 1]) == whole
    mixed = made(clip, lambda n: n, unit="frames", length=6, shutter=9, shutter_angle=360, sc=False)
    assert 0 < float(np.asarray(mixed.get_frame(2)[0]).mean()) < 0.5


@pytest.mark.parametrize("speed", [1, 3, Fraction(1, 2)])
@pytest.mark.parametrize("curved", [True, False])
def test_source_frames_that_an_output_frame_needs(made, speed, curved):
    clip, requests = counting(moving(length=30))
    asked = {"unit": "frames", "length": 8, "sc": False, "curved": curved}
    still = made(clip, lambda n: 6 + n * speed, **asked)
    blurred = made(clip, lambda n: 6 + n * speed, **asked, shutter=9, shutter_angle=180)
    requests.clear()
    still.get_frame(3)
    assert len(set(requests)) <= 2 + 2 * curved
    requests.clear()
    blurred.get_frame(3)
    assert len(set(requests)) <= math.ceil(speed * Fraction(1, 2)) + 2 + 2 * curved


# --- cuts and order ---------------------------------------------------------------------------------------


def test_cuts_are_where_the_curve_leads_over_them(made):
    clip = moving(length=8).std.SetFrameProps(**{cuts.NEXT: 0, cuts.PREV: 0})
    clip = clip[:3] + clip[3].std.SetFrameProps(**{cuts.NEXT: 1}) + clip[4:]
    out = made(clip, [2, 3, 4, 3.5, 3.25, 4, 0, 1, 6], unit="frames")
    after = [f.props[cuts.NEXT] for f in out.frames()]
    #          2  3->4     4->3.5: 3 is shown; 3.25->4 back over it, 4->0 too, 1->6 as well
    assert after == [0, 1, 1, 0, 1, 1, 0, 1, 0]
    assert [f.props[cuts.PREV] for f in out.frames()] == [0, *after[:-1]]


def test_of_a_long_step_nothing_is_said(made):
    clip = moving(length=40, width=32, height=32)
    out = made(clip, [0, 16, 39], unit="frames")
    told = [cuts.NEXT in f.props for f in out.frames()]
    assert told == [True, False, True]


def test_frames_may_be_asked_for_in_any_order(clip, made):
    out = made(clip, [(0, 0), (5, 11), (12, 2.5)], unit="frames")
    first = list(out.frames())
    again = made(clip, [(0, 0), (5, 11), (12, 2.5)], unit="frames")
    assert all(same(again.get_frame(n), first[n]) for n in (7, 2, 11, 0, 8, 3))


def test_every_format(made):
    for format_id in (vs.YUV420P8, vs.YUV444P16, vs.RGB24, vs.GRAYH, vs.RGBS):
        clip = moving(format_id, length=3)
        out = made(clip, [0, 0.5, 2], unit="frames", shutter=3)
        assert out.format.id == clip.format.id
        out.get_frame(1)


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "options", "message"),
    [
        ([], {}, "curve: got [], allowed: at least one keyframe or number"),
        ([(0, 0), (0.4, 9)], {}, "got 'source time 0.9 at output frame 1', allowed: times in the clip, from 0 to 0.48"),
        ([(0, 0), (12, 99)], {"unit": "frames"}, "allowed: times in the clip, from 0 to 12 frames"),
        (lambda t: -t - 1, {}, "curve: got 'source time -1 at output frame 0', allowed: times in the clip"),
        (lambda t: math.nan, {}, "curve: got 'nan at output time 0', allowed: a finite number"),
        ([(0, 0)], {}, "curve: got 'one of 0 output frames', allowed: 1 to 4194304 output frames"),
        ([(0, 0), (0.01, 0.01)], {}, "curve: got 'one of 0 output frames', allowed: 1 to 4194304 output frames"),
        ([0], {"length": 0}, "length: got 0, allowed: 1 to 4194304 output frames"),
        ([0], {"length": 2.5}, "length: got 2.5, allowed: 1 to 4194304 output frames"),
        ([(0, 0), (1e9, 1)], {}, "curve: got 'one of 25000000000 output frames', allowed: 1 to 4194304 output frames"),
        (None, {}, "curve: got None, allowed: keyframes, the name of a file of them, a function, or an array"),
        ([0], {"unit": "fields"}, "unit: got 'fields', allowed: 'seconds' or 'frames'"),
        ([0], {"shutter": 4}, "shutter: got 4, allowed: an odd number from 1 to 31"),
        ([0], {"shutter": 33}, "shutter: got 33, allowed: an odd number from 1 to 31"),
        ([0], {"shutter": 3.0}, "shutter: got 3.0, allowed: an odd number from 1 to 31"),
        ([0], {"shutter_angle": "half"}, "shutter_angle: got 'half', allowed: degrees, above 0 and up to 360"),
        ([0], {"fps_den": 1001}, "fps_den: got 1001, allowed: only together with fps_num"),
        ([0], {"shutter_angle": 0}, "shutter_angle: got 0, allowed: degrees, above 0 and up to 360"),
        ([0], {"shutter_angle": math.nan}, "shutter_angle: got nan, allowed: degrees, above 0 and up to 360"),
        ([0], {"fps_num": 0}, "fps_num: got 0, allowed: an integer of at least 1"),
    ],
)  # fmt: skip
def test_bad_arguments_are_errors_when_the_script_loads(clip, made, curve, options, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        made(clip, curve, **options)


# --- chains -----------------------------------------------------------------------------------------------


def test_after_slomo_what_it_has_made_is_taken_as_it_is(clip, made, shifting_model):
    """Positions that slomo has made are the same in a chain; what lies between them is made of what is made."""
    positions = [0, 0.5, 3.5, 4, 10.5, 2]
    doubled = slomo(clip, 2, model=shifting_model, device="cpu")
    chain, once = made(doubled, [2 * p for p in positions], unit="frames"), made(clip, positions, unit="frames")
    assert all(same(a, b) for a, b in zip(chain.frames(), once.frames(), strict=True))


def test_after_dedupe_a_picture_is_where_it_belongs(made, shifting_model):
    pictures = [picture(64, 48, n - n % 2) for n in range(12)]
    clip = from_pictures(pictures)
    even = slomo(clip, 1, dedupe=True, model=shifting_model, device="cpu")
    positions = [0, 3, 5, 4, 7]
    chain, once = made(even, positions, unit="frames"), made(clip, positions, unit="frames", dedupe=True)
    assert all(same(a, b) for a, b in zip(chain.frames(), once.frames(), strict=True))
    halfway = from_pictures([picture(64, 48, 3)]).get_frame(0)
    # The model's flow is that of a frame, the pictures are two apart: half of the way is left.
    assert distance(once.get_frame(1), halfway, margin=12) < distance(clip.get_frame(3), halfway, margin=12)


def test_dedupe_slomo_and_retime_in_a_chain_and_in_one_call(shifting_model):
    """The same to the bit where the chain's frames come from the originals; beside them it interpolates once more."""
    clip = moving(vs.GRAY16, 128, 96, times=[n // 2 for n in range(12)])
    options = {"model": shifting_model, "device": "cpu", "flow": "dis"}
    positions = [0, 3, 5, 4, 7, 3.5, 4.25, 5.5]
    even = slomo(slomo(clip, 1, dedupe=True, **options), 2, **options)
    chain = retime(even, [2 * p for p in positions], unit="frames", **options)
    once = retime(clip, positions, unit="frames", dedupe=True, **options)
    truth = moving(vs.GRAY16, 128, 96, times=[p / 2 for p in positions])
    assert [same(a, b) for a, b in zip(chain.frames(), once.frames(), strict=True)] == [True] * 5 + [False] * 3
    for made in (chain, once):
        assert all(distance(a, b, margin=16) < 0.01 for a, b in zip(made.frames(), truth.frames(), strict=True))


def test_after_slomo_a_cut_is_where_slomo_says(made, shifting_model):
    left, right = np.zeros((3, 48, 64), np.float32), np.ones((3, 48, 64), np.float32)
    clip = from_pictures([left] * 3 + [right] * 3).std.SetFrameProps(**{cuts.NEXT: 0, cuts.PREV: 0})
    clip = clip[:2] + clip[2].std.SetFrameProps(**{cuts.NEXT: 1}) + clip[3:]
    doubled = slomo(clip, 2, model=shifting_model, device="cpu")
    out = made(doubled, [4, 4.5, 5, 5.25, 5.5, 5.75, 6, 5.5], unit="frames")
    assert [float(np.asarray(f[0]).mean()) for f in out.frames()] == [0, 0, 0, 0, 0, 1, 1, 0]
    assert [f.props[cuts.NEXT] for f in out.frames()] == [0, 0, 0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("name", ["debug", "multi", "foo"])
def test_an_option_that_it_does_not_have(name):
    clip = vs.core.std.BlankClip(width=32, height=32, format=vs.YUV420P8, length=2, keep=True)
    with pytest.raises(TypeError, match=rf"^retime\(\) got an unexpected keyword argument '{name}'$"):
        retime(clip, [(0, 0), (1, 1)], **{name: 1})
    with pytest.raises(TypeError, match=rf"^motion\(\) got an unexpected keyword argument '{name}'$"):
        motion(clip, **{name: 1})
