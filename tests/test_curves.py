"""Curves: keyframes and their easings, functions, arrays, and every error's text."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vs_slomo.errors import ArgumentError
from vs_slomo.timing.curves import EASINGS, sampler

FPS = Fraction(24)

steps = st.fractions(Fraction(1, 10), 5, max_denominator=20)


@st.composite
def keyframes(draw, *, growing):
    """Keyframes with any easings; the source time grows, or goes wherever it likes."""
    count = draw(st.integers(1, 6))
    time, source, made = Fraction(0), Fraction(0), []
    for _ in range(count):
        made.append((time, source, draw(st.sampled_from(EASINGS))))
        time += draw(steps)
        source = source + draw(steps) if growing else draw(st.fractions(0, 10, max_denominator=20))
    return made


def sampled(curve, times, frames=100):
    at, _ = sampler(curve, 1 / FPS, frames)
    return [at(Fraction(t) * FPS) for t in times]


def test_linear_is_exact():
    assert sampled([(0, 0), (3, 1), (4, 3)], ["0", "1", "2", "3", "7/2"]) == [
        0,
        Fraction(1, 3),
        Fraction(2, 3),
        1,
        2,
    ]


def test_a_float_means_its_shortest_decimal():
    assert sampled([(0, 0.1), (0.3, 0.4)], ["3/10", "1/10"]) == [Fraction(4, 10), Fraction(2, 10)]


def test_hold_stays_until_the_next_keyframe():
    assert sampled([(0, 1, "hold"), (2, 5, "hold"), (3, 0)], ["0", "199/100", "2", "299/100", "3"]) == [1, 1, 5, 5, 0]


def test_smooth_comes_from_rest_and_goes_to_rest():
    # Alone it is the smoothstep, 3u² - 2u³.
    assert sampled([(0, 0, "smooth"), (1, 1)], ["0", "1/4", "1/2", "3/4", "1"]) == [
        0,
        Fraction(5, 32),
        Fraction(1, 2),
        Fraction(27, 32),
        1,
    ]


def test_smooth_takes_over_a_linear_neighbours_speed():
    at, _ = sampler([(0, 0), (1, 1, "smooth"), (2, 1.5), (3, 2)], Fraction(1), 1)
    near = Fraction(1, 10**6)
    assert float((at(1 + near) - at(Fraction(1))) / near) == pytest.approx(1, abs=1e-5)
    assert float((at(Fraction(2)) - at(2 - near)) / near) == pytest.approx(0.5, abs=1e-5)


def test_smooth_passes_a_keyframe_without_a_jump_in_speed():
    at, _ = sampler([(0, 0, "smooth"), (1, 1, "smooth"), (2, 1.25, "smooth"), (4, 4)], Fraction(1), 1)
    near = Fraction(1, 10**6)
    for keyframe in (1, 2):
        before = (at(Fraction(keyframe)) - at(keyframe - near)) / near
        after = (at(keyframe + near) - at(Fraction(keyframe))) / near
        assert float(before) == pytest.approx(float(after), abs=1e-4)
        assert before > 0


@given(keyframes(growing=True))
def test_what_only_grows_never_turns_back(curve):
    at, _ = sampler(curve, Fraction(1), 1)
    end = curve[-1][0]
    values = [at(end * i / 60) for i in range(61)]
    assert values == sorted(values)


@given(keyframes(growing=False), st.fractions(0, 1))
def test_no_easing_overshoots(curve, part):
    at, _ = sampler(curve, Fraction(1), 1)
    time = curve[-1][0] * part
    i = max(i for i, (t, *_) in enumerate(curve) if t <= time)
    near = [s for _, s, _ in curve[i : i + 2]]
    assert min(near) <= at(time) <= max(near)


@given(keyframes(growing=False))
def test_every_keyframe_is_met(curve):
    at, _ = sampler(curve, Fraction(1), 1)
    assert [at(t) for t, *_ in curve] == [s for _, s, _ in curve]


def test_outside_the_keyframes_the_picture_stands_still():
    assert sampled([(1, 2), (2, 3, "smooth")], ["0", "1/2", "2", "9"]) == [2, 2, 3, 3]


def test_the_last_keyframe_is_the_end():
    assert sampler([(0, 0), (2, 1)], 1 / FPS, 7)[1] == 48
    assert sampler([(0, 0), (2.002, 1)], Fraction(1001, 24000), 7)[1] == 48


def test_a_function_gets_exact_times_and_may_return_floats():
    seen = []

    def curve(time):
        seen.append(time)
        return math.sqrt(time)

    at, frames = sampler(curve, Fraction(1001, 24000), 7)
    assert frames == 7
    assert at(Fraction(3)) == Fraction(str(math.sqrt(3003 / 24000)))
    assert seen == [Fraction(3003, 24000)]
    assert sampler(lambda t: t / 3, Fraction(1001, 24000), 7)[0](Fraction(1)) == Fraction(1001, 72000)


@pytest.mark.parametrize("array", [[0, 0.5, 0.25], np.array([0, 0.5, 0.25]), np.array([0, 0.5, 0.25], np.float32)])
def test_an_array_has_a_source_time_for_every_frame(array):
    at, frames = sampler(array, 1 / FPS, 7)
    assert frames == 3
    assert [at(Fraction(n)) for n in range(3)] == [0, Fraction(1, 2), Fraction(1, 4)]
    assert at(Fraction(3, 2)) == Fraction(3, 8)  # what an open shutter sees between two frames
    assert at(Fraction(9)) == Fraction(1, 4)


def test_a_two_dimensional_array_is_keyframes():
    assert sampler(np.array([[0.0, 0.0], [2.0, 1.0]]), 1 / FPS, 7)[1] == 48


def test_a_file_of_keyframes(tmp_path):
    path = tmp_path / "ramp.txt"
    path.write_text("# output source easing\n0 0\n1001/1000 1.001 smooth  # slower\n\n3 2 hold\n4 0\n")
    at, frames = sampler(path, Fraction(1, 24), 7)
    assert frames == 96
    assert at(Fraction(1001, 1000) * 24) == Fraction(1001, 1000)
    assert at(Fraction(95)) == 2


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ([], "curve: got [], allowed: at least one keyframe or number"),
        (np.zeros(0), "curve: got array([], dtype=float64), allowed: at least one keyframe or number"),
        (None, "curve: got None, allowed: keyframes, the name of a file of them, a function, or an array"),
        (2, "curve: got 2, allowed: keyframes, the name of a file of them, a function, or an array"),
        ({0: 0, 1: 2}, "curve: got {0: 0, 1: 2}, allowed: keyframes, the name of a file of them, a function, or"),
        ([(0, 0), (2, 1), (1, 2)], "got 'keyframe 1 at 2, and keyframe 2 at 1', allowed: output times that grow"),
        ([(0, 0), (0, 1)], "got 'keyframe 0 at 0, and keyframe 1 at 0', allowed: output times that grow"),
        ([(-1, 0), (0, 1)], "got 'keyframe 0 at -1', allowed: output times from 0 on"),
        ([(0, math.nan), (1, 1)], 'got "nan as keyframe 0\'s source time", allowed: a finite number'),
        ([(0, 0), (math.inf, 1)], 'got "inf as keyframe 1\'s output time", allowed: a finite number'),
        ([(0, 0), ("soon", 1)], 'got "soon as keyframe 1\'s output time", allowed: a finite number'),
        ([(0, 0, "cubic"), (1, 1)], "easing 'cubic'\", allowed: one of linear, hold, smooth"),
        ([(0, 0), (1,)], "got 'keyframe 1: (1,)', allowed: (output time, source time) or with an easing"),
        ([(0, 0), 3], "got 'keyframe 1: 3', allowed: (output time, source time) or with an easing"),
        ([0.0, math.nan], "got 'nan as value 1', allowed: a finite number"),
    ],
)
def test_bad_curves(curve, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        sampler(curve, 1 / FPS, 7)


@pytest.mark.parametrize("value", [math.nan, None, "soon", 1j])
def test_a_function_must_return_numbers(value):
    at, _ = sampler(lambda time: value, 1 / FPS, 7)
    with pytest.raises(ArgumentError, match=re.escape(f"got '{value} at output time 0.125', allowed: a finite")):
        at(Fraction(3))


def test_bad_files_say_where(tmp_path):
    path = tmp_path / "ramp.txt"
    path.write_text("0 0\n1 1 sometimes\n")
    with pytest.raises(ArgumentError, match="line 2: 1 1 sometimes', allowed: output time, source time and"):
        sampler(path, 1 / FPS, 7)
    with pytest.raises(ArgumentError, match=r"nothing\.txt', allowed: a file of keyframes that can be read"):
        sampler(tmp_path / "nothing.txt", 1 / FPS, 7)
