"""Where output frames lie: properties that hold for every timeline, in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.timing.curves import sampler
from vs_slomo.timing.positions import HALF, NEAR, Timeline, Timing, snapped
from vs_slomo.timing.timecodes import Timecodes

RATES = [Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)] + [Fraction(n) for n in (12, 24, 25, 30, 50, 60, 240)]

rates = st.sampled_from(RATES)
factors = st.fractions(1, 9, max_denominator=40)


def clocks(unit, shortest, longest):
    steps = st.lists(st.integers(shortest, longest), min_size=1, max_size=30)
    return steps.map(lambda steps: Timecodes(tuple(accumulate(steps, initial=0)), unit))


film = clocks(Fraction(1001, 24000), 1, 4)  # with repeated frames
variable = st.one_of(clocks(Fraction(1, 90000), 300, 9000), clocks(Fraction(1, 1000), 5, 120), film)
positions = st.lists(st.fractions(0, 12, max_denominator=50), min_size=1, max_size=40)


def at_all(times):
    return [times.at(n) for n in range(times.length)]


def place(times, n):
    k, t = times.at(n)
    return k + t


@given(st.integers(1, 50), factors)
def test_a_factor_keeps_the_duration_and_every_original(frames, multi):
    times = Timing(frames, multi)
    assert times.length == math.floor(frames * multi)
    assert 0 <= frames - times.length / multi < 1 / multi
    moments = at_all(times)
    assert all(0 <= t < 1 for _, t in moments)
    assert [k + t for k, t in moments] == [n / multi for n in range(times.length)]
    if multi.denominator == 1:
        assert [k for k, t in moments if t == 0] == list(range(frames))


@given(st.integers(1, 50), factors)
def test_a_factor_comes_again_after_its_period(frames, multi):
    times = Timing(frames, multi)
    cycle, period = times.period
    if period < times.length:
        assert all(place(times, n + period) == place(times, n) + cycle for n in range(period))
    else:
        assert (cycle, period) == (frames, times.length)


@given(variable, rates)
def test_a_constant_rate_from_a_variable_one(codes, fps):
    if codes.duration * fps < 1:
        return
    times = codes.at_rate(fps)
    assert 0 <= codes.duration - times.length / fps < 1 / fps  # the duration holds
    shown = [place(times, n) for n in range(times.length)]
    assert shown == sorted(shown)  # time never turns back
    assert all(0 <= t < 1 and 0 <= k < codes.frames for k, t in at_all(times))
    for n, position in enumerate(shown):
        error = abs(codes.time(position) - n / fps)
        if position < codes.frames - 1:  # the last frame stays
            k = math.floor(position)
            assert error == 0 if position != k else error <= codes.lasts(k) / 1000 or error <= codes.lasts(k - 1) / 1000


@given(st.integers(1, 60), rates, st.integers(1, 5))
def test_constant_timecodes_are_the_same_as_a_factor(frames, fps, multi):
    codes = Timecodes.constant(frames, fps)
    times, same = codes.at_rate(fps * multi), Timing(frames, Fraction(multi))
    assert times.length == same.length
    assert [place(times, n) for n in range(times.length)] == [
        min(place(same, n), frames - 1) for n in range(same.length)
    ]


@given(film)
def test_a_rate_that_meets_every_frame_shows_every_original(codes):
    times = codes.at_rate(1 / codes.unit)
    originals = {k for k, t in at_all(times) if t == 0}
    assert originals == set(range(codes.frames))


@given(st.integers(1, 12), positions)
def test_any_positions_in_any_order(frames, positions):
    times = Timeline(frames, tuple(positions))
    assert times.length == len(positions)
    assert [place(times, n) for n in range(times.length)] == [min(p, frames - 1) for p in positions]
    assert all(0 <= t < 1 and 0 <= k < frames for k, t in at_all(times))
    assert all(k + 1 < frames for k, t in at_all(times) if t)  # there is a frame to go to


@given(st.integers(1, 12), positions)
def test_steps_cross_what_lies_between(frames, positions):
    times = Timeline(frames, tuple(positions))
    nearest = [math.ceil(min(p, Fraction(frames - 1)) - HALF) for p in positions]
    assert [times.nearest(n) for n in range(times.length)] == nearest
    for n in range(times.length - 1):
        assert set(times.crossed(n)) == set(range(nearest[n], nearest[n + 1])) | set(range(nearest[n + 1], nearest[n]))
    assert not times.crossed(times.length - 1)


@given(st.integers(2, 40), factors)
def test_every_cut_is_crossed_once(frames, multi):
    times = Timing(frames, multi)
    crossed = [k for n in range(times.length) for k in times.crossed(n)]
    assert crossed == sorted(set(crossed))
    assert all(len(times.crossed(n)) <= 1 for n in range(times.length))


@given(st.fractions(0, 100, max_denominator=5000))
def test_what_is_near_a_frame_is_that_frame(position):
    off = abs(position - round(position))
    assert snapped(position) == (round(position) if off <= NEAR else position)


@given(rates, st.integers(1, 200), st.fractions(Fraction(1, 8), 8, max_denominator=16))
def test_a_steady_speed_is_a_factor(fps, frames, speed):
    # The curve of retime() and the factor of slomo() agree: half the speed is twice the frames.
    clip = Timecodes.constant(frames, fps)
    at, count = sampler([(0, 0), (clip.duration / speed, clip.duration)], 1 / fps, 1)
    assert count == math.floor(frames / speed)
    assert [at(Fraction(n)) * fps for n in range(count)] == [n * speed for n in range(count)]


def test_three_hours_from_24000_1001_to_60000_1001_do_not_drift():
    film, video = Fraction(24000, 1001), Fraction(60000, 1001)
    frames = 3 * 3600 * 24000 // 1001
    codes = Timecodes.constant(frames, film)
    by_factor = Timing(frames, video / film)
    length = math.floor(codes.duration * video)
    assert by_factor.length == length
    # Every fifth frame is an original, whether it comes from the factor or from the clock; so is the last one.
    for n in [*range(50), *range(0, length, 9973), *range(length - 50, length)]:
        position = codes.position(n / video)
        assert position == n * Fraction(2, 5) == place(by_factor, n)
        assert codes.time(position) == n / video
        assert (position.denominator == 1) == (n % 5 == 0)


def test_three_hours_of_a_phone_do_not_drift():
    # 3 hours of frames of 33.3, 33.3, 52 and 100 ms, at 60000/1001.
    pattern = (2997, 2997, 4649, 8992)
    frames = 3 * 3600 * 90000 // sum(pattern) * len(pattern)
    codes = Timecodes(tuple(accumulate((pattern[n % 4] for n in range(frames)), initial=0)), Fraction(1, 90000))
    video = Fraction(60000, 1001)
    length = math.floor(codes.duration * video)
    assert 0 <= codes.duration - length / video < 1 / video
    for n in [*range(50), *range(0, length, 9973), *range(length - 50, length)]:
        position = codes.position(n / video)
        off = codes.time(position) - n / video
        assert off == 0 or (position.denominator == 1 and abs(off) <= Fraction(8992, 90_000_000))
