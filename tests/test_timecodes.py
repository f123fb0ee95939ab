"""Timecodes: exact arithmetic, and files of both formats."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.errors import ArgumentError
from vs_slomo.timing import timecodes
from vs_slomo.timing.positions import Timing
from vs_slomo.timing.timecodes import Timecodes

NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
PHONE = Timecodes((0, 4649, 7646, 10643, 13641, 16638), Fraction(1, 90000), Fraction(1, 180000))
"""A phone's video: frames of 51.66 and 33.3 ms."""

ticks = st.lists(st.integers(1, 10_000), min_size=1, max_size=40).map(lambda steps: tuple(accumulate(steps, initial=0)))
units = st.fractions(Fraction(1, 1_000_000), Fraction(1, 10), max_denominator=1_000_000)
codes = st.builds(Timecodes, ticks, units)


def written(tmp_path, text):
    path = tmp_path / "codes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_position_lies_between_two_frames_in_proportion():
    assert PHONE.position(Fraction(0)) == 0
    assert PHONE.position(Fraction(4649, 90000)) == 1
    assert PHONE.position(Fraction(4649, 90000) / 4) == Fraction(1, 4)
    assert PHONE.position(Fraction(4649 + 999, 90000)) == 1 + Fraction(1, 3)
    assert PHONE.position(PHONE.duration) == PHONE.frames == 5


@given(codes, st.fractions(0, 1))
def test_time_and_position_undo_each_other(codes, part):
    time = codes.duration * part
    position = codes.position(time)
    assert 0 <= position <= codes.frames
    gap = max(codes.durations())
    assert abs(codes.time(position) - time) <= gap / 1000
    if position.denominator != 1:
        assert codes.time(position) == time


@given(codes)
def test_durations_add_up_and_come_back(codes):
    assert sum(codes.durations()) == codes.duration
    again = Timecodes.lasting(codes.durations())
    assert [again.time(Fraction(k)) for k in range(again.frames + 1)] == [
        codes.time(Fraction(k)) for k in range(codes.frames + 1)
    ]


def test_a_moment_within_the_rounding_is_the_frame():
    # Matroska's milliseconds: 30 fps is written as 0, 33, 67, 100.
    codes = Timecodes((0, 33, 67, 100), Fraction(1, 1000), Fraction(1, 2000))
    assert [codes.position(Fraction(n, 30)) for n in range(3)] == [0, 1, 2]
    assert [codes.position(Fraction(n, 60)).denominator == 1 for n in range(6)] == [True, False] * 3
    exact = Timecodes(codes.ticks, codes.unit)
    assert exact.position(Fraction(1, 30)) == 1 + Fraction(1, 102)


def test_rounded_moments_lose_no_frame():
    # 15 fps in milliseconds; the last frame is taken to last 66 of them.
    codes = Timecodes.starting((0, 67, 133, 200, 267, 333), Fraction(1, 1000), Fraction(1, 2000))
    times = codes.at_rate(Fraction(60))
    assert times.length == 24
    assert [times.at(n) for n in range(0, 24, 4)] == [(k, 0) for k in range(6)]
    assert times.at(23) == (5, 0)


def test_a_constant_rate_is_recognised():
    assert Timecodes.constant(5, NTSC_FILM).rate == NTSC_FILM
    assert Timecodes((0, 1001, 2002, 3003), Fraction(1, 24000)).rate == NTSC_FILM
    assert PHONE.rate is None


@given(st.integers(1, 30), st.fractions(1, 7, max_denominator=9))
def test_multiplied_constant_timecodes_are_constant(frames, multi):
    times = Timing(frames, multi)
    after = Timecodes.constant(frames, NTSC).multiplied(times)
    assert after.frames == times.length
    assert after.rate == NTSC * multi


@given(codes, st.fractions(1, 5, max_denominator=7))
def test_multiplying_divides_every_duration(codes, multi):
    times = Timing(codes.frames, multi)
    after = codes.multiplied(times)
    assert after.duration == codes.time(times.length / multi)
    if multi.denominator == 1:
        assert after.durations() == [d / multi for d in codes.durations() for _ in range(multi.numerator)]


def test_the_last_frame_lasts_as_long_as_the_one_before():
    assert Timecodes.starting((100, 140, 200), Fraction(1, 1000)).durations() == [
        Fraction(40, 1000),
        Fraction(60, 1000),
        Fraction(60, 1000),
    ]


@pytest.mark.parametrize(
    ("ticks", "message"),
    [
        ((0,), "timecodes: got 'none', allowed: a moment for every frame"),
        ((0, 10, 8, 20), "timecodes: got 'frame 1 at 10.000 ms, and what follows it at 8.000 ms', allowed: moments"),
        ((0, 10, 10), "moments that grow from frame to frame"),
    ],
)
def test_moments_must_grow(ticks, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        Timecodes(ticks, Fraction(1, 1000))


def test_one_moment_has_no_duration():
    with pytest.raises(ArgumentError, match="got '1 moments', allowed: at least 2"):
        Timecodes.starting((0,), Fraction(1))


# --- files ------------------------------------------------------------------------------------------------


def test_v2_is_read_exactly(tmp_path):
    path = written(tmp_path, "# timecode format v2\n0\n51.655556\n\n84.955556 # a comment\n118.255556\n")
    codes = timecodes.read(path, 4)
    assert [codes.time(Fraction(k)) for k in range(4)] == [
        0,
        Fraction("0.051655556"),
        Fraction("0.084955556"),
        Fraction("0.118255556"),
    ]
    assert codes.duration == Fraction("0.118255556") + Fraction("0.0333")
    assert codes.rounding == Fraction("0.0000000005")


def test_v2_may_begin_late_and_end_with_its_end(tmp_path):
    path = written(tmp_path, "\ufeff# timestamp format v2\r\n80\r\n120\r\n200\r\n210\r\n")
    codes = timecodes.read(path, 3)
    assert codes.durations() == [Fraction(40, 1000), Fraction(80, 1000), Fraction(10, 1000)]
    assert codes.time(Fraction(0)) == 0


def test_v1_is_read_exactly(tmp_path):
    path = written(tmp_path, "# timecode format v1\nAssume 23.976\n# a comment\n2,3,29.97\n5,5,12.5\n8,99,25\n")
    codes = timecodes.read(path, 10)
    film, video = 1 / NTSC_FILM, 1 / NTSC
    expected = [film, film, video, video, film, Fraction(2, 25), film, film, Fraction(1, 25), Fraction(1, 25)]
    assert codes.durations() == expected


@pytest.mark.parametrize(
    ("decimal", "rate"),
    [
        ("24", 24),
        ("25.000", 25),
        ("12.5", Fraction(25, 2)),
        ("23.976", NTSC_FILM),
        ("23.976024", NTSC_FILM),
        ("23.98", NTSC_FILM),
        ("29.97", NTSC),
        ("59.94", Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("29.98", Fraction(2998, 100)),
        ("24000/1001", NTSC_FILM),
    ],
)
def test_rates_in_v1(tmp_path, decimal, rate):
    path = written(tmp_path, f"# timecode format v1\nAssume {decimal}\n")
    assert timecodes.read(path, 3).rate == rate


@pytest.mark.parametrize("version", [1, 2])
def test_files_come_back(tmp_path, version):
    durations = [Fraction(1001, 24000)] * 5 + [Fraction(1001, 30000)] * 3 + [Fraction(2, 25)]
    path = tmp_path / "codes.txt"
    codes = Timecodes.lasting(durations)
    codes.write(path, version)
    again = timecodes.read(path, len(durations))
    worst = max(abs(codes.time(Fraction(k)) - again.time(Fraction(k))) for k in range(len(durations) + 1))
    assert worst == 0 if version == 1 else worst <= Fraction(1, 2 * 10**9)


def test_v2_does_not_drift(tmp_path):
    # Every moment is rounded by itself: after ten minutes it is as near as after a frame.
    frames = 14386
    path = tmp_path / "ten_minutes.txt"
    Timecodes.constant(frames, NTSC_FILM).write(path)
    codes = timecodes.read(path, frames)
    assert abs(codes.time(Fraction(frames)) - frames / NTSC_FILM) <= codes.rounding
    assert codes.position(60 / NTSC_FILM) == 60


def test_v1_refuses_a_rate_that_is_no_decimal(tmp_path):
    with pytest.raises(ArgumentError, match="version: got 1, allowed: 2, because no decimal is the rate 10000/333"):
        PHONE.write(tmp_path / "codes.txt", 1)
    with pytest.raises(ArgumentError, match="version: got 3, allowed: 1 or 2"):
        PHONE.write(tmp_path / "codes.txt", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a first line"),
        ("0\n33\n", 'codes.txt: 0\', allowed: a first line "# timecode format v1"'),
        ("# timecode format v3\nassume 25\n", "# timecode format v3', allowed"),
        ("# timecode format v2\n0\nabc\n", "line 3: abc', allowed: a moment in milliseconds"),
        ("# timecode format v2\n0\nnan\n", "line 3: nan', allowed: a moment in milliseconds"),
        ("# timecode format v2\n0\n40\n30\n", "frame 1 at 40.000 ms, and what follows it at 30.000 ms"),
        ("# timecode format v2\n0\n40\n40\n", "moments that grow from frame to frame"),
        ("# timecode format v2\n0\n40\n", "got '2 moments', allowed: one for every frame of the clip, 3"),
        ("# timecode format v2\n0\n40\n80\n120\n160\n", "got '5 moments', allowed: one for every frame of the clip, 3"),
        ("# timecode format v2\n", "got '0 moments', allowed: at least 2"),
        ("# timecode format v1\n", "line 2: ', allowed: Assume and a rate"),
        ("# timecode format v1\n0,1,25\n", "line 2: 0,1,25', allowed: Assume and a rate"),
        ("# timecode format v1\nAssume 0\n", "line 2: Assume 0', allowed: a rate in frames per second"),
        ("# timecode format v1\nAssume 25\n1,0,30\n", "line 3: 1,0,30', allowed: a range of frames from 0 on"),
        ("# timecode format v1\nAssume 25\n0,1,30\n1,2,30\n", "line 4: 1,2,30', allowed: a range of frames from 2 on"),
        ("# timecode format v1\nAssume 25\n0,1\n", "line 3: 0,1', allowed: first frame, last frame, rate"),
        ("# timecode format v1\nAssume 25\n0,1,fast\n", "line 3: 0,1,fast', allowed: a rate in frames per second"),
    ],
)
def test_bad_files_say_where(tmp_path, text, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        timecodes.read(written(tmp_path, text), 3)


def test_ticks_must_last():
    with pytest.raises(ArgumentError, match=re.escape("timecodes: got 'ticks of 0 s', allowed: ticks that last")):
        Timecodes((0, 1), Fraction(0))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArgumentError, match=r"nothing\.txt', allowed: a timecode file that can be read"):
        timecodes.read(tmp_path / "nothing.txt", 3)


def test_a_frame_that_is_held_changes_within_the_usual_time():
    """A slide that stays for a second: its motion to the next one begins 40 ms before it."""
    codes = Timecodes((0, 40, 80, 1080, 1120), Fraction(1, 1000), pace=40)
    at = [codes.position(Fraction(n, 1000)) for n in (60, 80, 900, 1040, 1050, 1060, 1080)]
    assert at == [Fraction(3, 2), 2, 2, 2, Fraction(9, 4), Fraction(5, 2), 3]
    assert [codes.time(position) for position in (Fraction(2), Fraction(9, 4), Fraction(3))] == [
        Fraction(80, 1000),
        Fraction(1050, 1000),
        Fraction(1080, 1000),
    ]
    assert codes.paced().ticks == (0, 40, 80, 120, 160)
    assert codes[2:].slowed(Fraction(2)).position(Fraction(1, 2)) == 0
    assert codes[2:].slowed(Fraction(2)).position(Fraction(198, 100)) == Fraction(3, 4)


def test_gaps_that_cameras_leave_are_no_holds():
    codes = Timecodes((0, 40, 80, 480, 520), Fraction(1, 1000), pace=40)
    assert codes.position(Fraction(280, 1000)) == Fraction(5, 2)
    assert replace(codes, pace=0).paced().pace == 0
