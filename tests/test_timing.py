"""Output frame to source frames, in exact fractions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.errors import ArgumentError
from vs_slomo.timing.positions import NEAR, Timeline, Timing, multi_for_rate, parse_multi, parse_rate, snapped

factors = st.fractions(1, 12, max_denominator=1001)
rates = st.sampled_from([Fraction(n, d) for n in (24000, 25000, 30000, 60000, 120000) for d in (1000, 1001)])
lengths = st.integers(1, 60)
FACTOR = 'a number of at least 1, such as 2, 2.5 or "5/2"'


# --- factors and rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (1, Fraction(1)),
        (4, Fraction(4)),
        (2.5, Fraction(5, 2)),
        (2.4, Fraction(12, 5)),
        (2.997, Fraction(2997, 1000)),
        (1.1, Fraction(11, 10)),
        (1e3, Fraction(1000)),
        ("5/2", Fraction(5, 2)),
        ("2.5", Fraction(5, 2)),
        (" 8 ", Fraction(8)),
        (Fraction(2002, 1001), Fraction(2)),
        (Decimal("2.4"), Fraction(12, 5)),
        (np.float64(2.4), Fraction(12, 5)),
        (np.int64(3), Fraction(3)),
    ],
)
def test_factors(given, meant):
    assert parse_multi(given) == meant


@pytest.mark.parametrize(
    "given",
    [
        0,
        -2,
        0.5,
        0.999999,
        Fraction(999, 1000),
        math.nan,
        math.inf,
        -math.inf,
        Decimal("Infinity"),
        Decimal("NaN"),
        "two",
        "",
        "1/0",
        "5/2/1",
        "1e999999999",
        "1E-999999999",
        None,
        True,
        [2],
        2j,
        b"2",
    ],
)
def test_refused_factors(given):
    with pytest.raises(ArgumentError) as error:
        parse_multi(given)
    assert str(error.value) == f"multi: got {given!r}, allowed: {FACTOR}"


@given(st.floats(1, 1e6))
def test_a_float_means_its_shortest_decimal(value):
    assert float(parse_multi(value)) == value
    assert parse_multi(value) == parse_multi(repr(value)) == Fraction(repr(value))


@given(factors)
def test_a_fraction_means_itself(value):
    assert parse_multi(value) == parse_multi(str(value)) == value


@given(rates, factors)
def test_rates_are_exact(fps, factor):
    target = fps * factor
    assert parse_rate(target.numerator, target.denominator) == target
    assert fps * multi_for_rate(fps, target) == target


def test_rate_without_a_denominator():
    assert parse_rate(60) == parse_rate(60, 1) == parse_rate(120, 2) == 60
    assert multi_for_rate(Fraction(24000, 1001), parse_rate(60)) == Fraction(1001, 400)


@pytest.mark.parametrize("value", [0, -1, 2.0, "60", True, Fraction(60), [60]])
@pytest.mark.parametrize("name", ["fps_num", "fps_den"])
def test_refused_rates(name, value):
    with pytest.raises(ArgumentError) as error:
        parse_rate(**{"fps_num": 60, "fps_den": 1} | {name: value})
    assert str(error.value) == f"{name}: got {value!r}, allowed: an integer of at least 1"


def test_a_rate_below_the_clips():
    with pytest.raises(ArgumentError) as error:
        multi_for_rate(Fraction(30000, 1001), Fraction(24))
    assert str(error.value) == "fps_num/fps_den: got '24', allowed: a rate of at least the clip's own, 30000/1001"
    assert multi_for_rate(Fraction(30000, 1001), Fraction(30000, 1001)) == 1


def test_a_rate_for_a_clip_without_one():
    with pytest.raises(ArgumentError) as error:
        multi_for_rate(Fraction(0), Fraction(60))
    assert str(error.value) == (
        "fps_num/fps_den: got '60', allowed: a target rate only for a clip that has a rate: "
        "set it with std.AssumeFPS, or give timecodes, or use multi"
    )


@given(st.integers(-1000, 1000), st.fractions(-1, 1))
def test_snapping(frame, off):
    off *= 2 * NEAR
    position = frame + off
    assert snapped(position) == (frame if abs(off) <= NEAR else position)


# --- where an output frame lies ---------------------------------------------------------------------------


def test_the_example_in_the_module():
    times = Timing(4, Fraction(5, 2))
    assert [times.at(n) for n in range(6)] == [
        (0, 0),
        (0, Fraction(2, 5)),
        (0, Fraction(4, 5)),
        (1, Fraction(1, 5)),
        (1, Fraction(3, 5)),
        (2, 0),
    ]


@given(lengths, factors)
def test_as_many_frames_as_the_duration_holds(frames, multi):
    times = Timing(frames, multi)
    assert times.length == math.floor(frames * multi) >= frames
    assert times.length <= frames * multi < times.length + 1


@given(lengths, factors)
def test_position(frames, multi):
    times = Timing(frames, multi)
    for n in range(times.length):
        k, t = times.at(n)
        assert 0 <= t < 1
        assert k + t == n / multi
        assert k < frames  # what lies behind the last frame is its repetition, k + 1 at the most


@given(lengths, factors)
def test_every_original_is_kept_where_the_factor_meets_it(frames, multi):
    times = Timing(frames, multi)
    originals = [k for k, t in map(times.at, range(times.length)) if t == 0]
    assert originals == list(range(0, frames, multi.denominator))


@given(lengths, factors)
def test_everything_comes_again_after_a_period(frames, multi):
    times = Timing(frames, multi)
    cycle, period = times.period
    assert 1 <= period <= times.length or multi == 1
    for n in range(times.length - period):
        k, t = times.at(n)
        assert times.at(n + period) == (k + cycle, t)


@given(lengths, factors)
def test_cuts_lie_between_the_shown_frames(frames, multi):
    """Each pair that is stepped over is named once, behind the last output frame that shows its first half."""
    times = Timing(frames, multi)
    crossed = [list(times.crossed(n)) for n in range(times.length)]
    shown = [times.nearest(n) for n in range(times.length)]
    for n, (k, t) in enumerate(map(times.at, range(times.length))):
        assert shown[n] == (k if t <= Fraction(1, 2) else k + 1)
    assert crossed[-1] == []
    for n in range(times.length - 1):
        assert crossed[n] == list(range(shown[n], shown[n + 1]))
        assert len(crossed[n]) <= 1  # at a factor of 1 or more no frame is skipped
    assert [k for pairs in crossed for k in pairs] == list(range(shown[-1]))


@given(lengths, st.lists(st.fractions(0, 70, max_denominator=60), min_size=1, max_size=30))
def test_timeline(frames, positions):
    times = Timeline(frames, tuple(positions))
    assert times.length == len(positions)
    assert times.period == (frames, len(positions))
    for n, position in enumerate(positions):
        k, t = times.at(n)
        assert 0 <= t < 1
        assert k + t == min(position, frames - 1)
        after = times.nearest(min(n + 1, len(positions) - 1))
        assert list(times.crossed(n)) == list(range(*sorted((times.nearest(n), after))))
