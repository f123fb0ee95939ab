"""A rate from the times of frames: the average one, and the one that most frames have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

USUAL = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "100", "120000/1001")
) + tuple(Fraction(rate) for rate in ("120", "240", "10", "12", "15", "20", "12.5", "15000/1001"))
ROUNDING = 1e-4
"""Seconds by which times are off where a time base is finer than what made them."""
STEADY = 0.25
"""Frames no farther than this, in frames, from their places at a constant rate have that rate."""
NEAR = 0.005
"""Of a rate: as near as this, it is taken for a usual one."""
FASTEST = 480


def spread(times: NDArray[np.int64], base: Fraction, rate: Fraction) -> float:
    """Return by how many seconds the frames' offsets from a constant rate differ."""
    offsets = times - np.arange(len(times)) / float(rate * base)
    return float(np.ptp(offsets)) * float(base)


def deviation(times: NDArray[np.int64], base: Fraction, rate: Fraction) -> float:
    """Return by how many seconds frames are off their places at a rate, at the most."""
    return spread(times, base, rate) / 2


def average(times: NDArray[np.int64], base: Fraction, announced: float) -> Fraction | None:
    """Return the average rate; None where there is none.

    It is a whole rate, or one over 1.001, where that fits the times as well: up to a tick, or as well as the mean
    does where frames jitter (repeated fields).
    """
    if len(times) < 2 or times[0] == times[-1]:
        return None
    mean = Fraction(len(times) - 1, int(times[-1] - times[0])) / base
    whole = max(1, round(mean))
    exact = base > Fraction(1, 1000) and mean * base > Fraction(1, 2)  # AVI: a tick is a frame, and no rounding
    tick = ROUNDING if exact else max(float(2 * base), ROUNDING)
    jitter = spread(times, base, mean)
    tolerance = max(tick, jitter + tick) if jitter / 2 * mean <= STEADY else tick
    near = [rate for rate in (Fraction(whole), Fraction(whole * 1000, 1001)) if spread(times, base, rate) < tolerance]
    # Few frames fit both; then what the container announces decides.
    return min(near, key=lambda rate: (abs(rate - announced) > 0.01, spread(times, base, rate)), default=mean)


def prevailing(times: NDArray[np.int64], base: Fraction, announced: float) -> Fraction | None:
    """Return the rate of the usual step from frame to frame: the median one, or the usual rate near it."""
    mean = average(times, base, announced)
    steps = np.diff(times)
    if mean is None or len(steps) < 3:
        return mean
    middle = float(np.median(steps))
    tick = 1.0 if middle >= 3 else 0.0  # a rounding, unless ticks are as long as frames
    alike = steps[np.abs(steps - middle) <= max(tick, middle / 10)]
    rate = 1 / (float(alike.mean()) * float(base)) if len(alike) and alike.mean() > 0 else 0.0
    if not 0 < rate <= FASTEST:
        return mean
    found = Fraction(rate).limit_denominator(1001)
    candidates = [*USUAL, Fraction(max(1, round(rate)))]
    near = [usual for usual in candidates if abs(float(usual) / rate - 1) < NEAR]
    # Times in milliseconds cannot tell 30 from 29.97 in a few frames: the header can.
    uncertain = float(base) / (float(alike.mean()) * float(base)) / max(1, len(alike)) + 1e-5
    best = min(near, key=lambda usual: abs(float(usual) / rate - 1), default=found)
    told = [usual for usual in near if abs(float(usual) - announced) < 0.01]
    if told and abs(float(told[0]) / rate - 1) < abs(float(best) / rate - 1) + uncertain:
        return told[0]
    return best
