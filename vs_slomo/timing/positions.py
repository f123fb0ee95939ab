"""Which frames an output frame lies between, in exact fractions.

Output frame n lies at source position n / multi: the pair (k, k + 1) with k its floor, and t the rest.

    multi = 5/2     n   0     1     2     3     4     5
             position   0    2/5   4/5   6/5   8/5    2
                 k, t  0,0  0,2/5 0,4/5 1,1/5 1,3/5  2,0
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property

from vs_slomo.errors import ArgumentError
from vs_slomo.given import read_number, whole_number

Factor = int | Fraction | float | str
HALF = Fraction(1, 2)
LISTED = 1 << 22
"""Output frames that a timeline may have: each is listed when the script loads (19 hours at 60 fps)."""
LARGEST_RATE = (1 << 63) - 1
"""Of the host's numbers."""
NEAR = Fraction(1, 1000)
"""Positions from a clock that are this close to a frame, in frames, snap to it."""


def parse_multi(multi: Factor) -> Fraction:
    """Return the factor as an exact fraction of at least 1.

    A float means the shortest decimal that reads back as it: 2.4 is 12/5. A string is a decimal or "p/q".
    Raises ArgumentError.
    """
    allowed = 'a number of at least 1, such as 2, 2.5 or "5/2"'
    try:
        factor = read_number(multi)
    except ValueError:
        raise ArgumentError("multi", multi, allowed) from None
    if factor < 1:
        raise ArgumentError("multi", multi, allowed)
    return factor


def parse_rate(fps_num: int, fps_den: int | None = None) -> Fraction:
    """Return the rate fps_num / fps_den (1 where it is None). Raises ArgumentError."""
    fps_den = 1 if fps_den is None else fps_den
    for name, value in (("fps_num", fps_num), ("fps_den", fps_den)):
        whole_number(name, value, 1, LARGEST_RATE, "an integer of at least 1")
    return Fraction(int(fps_num), int(fps_den))


def read_rate(text: str) -> Fraction:
    """Return the rate that is written: "60", "60000/1001", or one over 1.001 as it is commonly rounded, "23.976".

    Raises ValueError.
    """
    rate = read_number(text)
    digits = len(text.strip().partition(".")[2])
    whole = round(rate * 1001 / 1000)
    exact = Fraction(whole * 1000, 1001)
    common = whole % 12 == 0 or whole % 15 == 0
    rounded = digits >= 2 and rate.denominator != 1 and f"{exact:.{digits}f}" == f"{rate:.{digits}f}"
    return exact if rounded and common else rate


def multi_for_rate(fps: Fraction, target: Fraction) -> Fraction:
    """Return the factor that leads from the clip's rate to another one.

    Raises ArgumentError: the target is below the clip's rate, or the clip has none (fps 0).
    """
    if fps == 0:
        raise ArgumentError(
            "fps_num/fps_den",
            str(target),
            "a target rate only for a clip that has a rate: set it with std.AssumeFPS, or give timecodes, or use multi",
        )
    if target < fps:
        raise ArgumentError("fps_num/fps_den", str(target), f"a rate of at least the clip's own, {fps}")
    return target / fps


def snapped(position: Fraction, near: Fraction = NEAR) -> Fraction:
    """Return the position, or that of a frame as near as this."""
    nearest = round(position)
    return Fraction(nearest) if abs(position - nearest) <= near else position


class Times(ABC):
    """Which frames of a clip each output frame lies between.

    frames: of the clip. length: of the output.
    period: clip frames and output frames after which everything comes again, or the whole clip's.
    """

    frames: int

    @property
    @abstractmethod
    def length(self) -> int: ...  # noqa: D102

    @property
    @abstractmethod
    def period(self) -> tuple[int, int]: ...  # noqa: D102

    @abstractmethod
    def at(self, n: int) -> tuple[int, Fraction]:
        """Return output frame n's source frame k and t in [0, 1)."""

    def nearest(self, n: int) -> int:
        """Return the source frame that output frame n shows across a cut: the nearer one, the earlier at t = 1/2."""
        k, t = self.at(n)
        return k + (2 * t.numerator > t.denominator)

    def crossed(self, n: int) -> range:
        """Return the pairs whose cuts, if they have one, lie between output frames n and n + 1."""
        if n + 1 >= self.length:
            return range(0)
        this, after = sorted((self.nearest(n), self.nearest(n + 1)))
        return range(this, after)

    @property
    def most_crossed(self) -> int:
        """The most pairs that a step crosses."""
        return max(len(self.crossed(n)) for n in range(self.period[1]))


@dataclass(frozen=True)
class Timing(Times):
    """A clip of `frames` frames, made `multi` times as many.

    frames: at least 1. multi: at least 1. Past the last source frame k grows on: there, it is repeated.
    """

    frames: int
    multi: Fraction

    @property
    def length(self) -> int:
        """floor(frames · multi), so that the duration holds."""
        return math.floor(self.frames * self.multi)

    @property
    def period(self) -> tuple[int, int]:
        """The factor's denominator and numerator."""
        p, q = self.multi.numerator, self.multi.denominator
        return (q, p) if p < self.length else (self.frames, self.length)

    def at(self, n: int) -> tuple[int, Fraction]:
        """Split position n / multi."""
        k, rest = divmod(n * self.multi.denominator, self.multi.numerator)
        return k, Fraction(rest, self.multi.numerator)

    @property
    def most_crossed(self) -> int:
        """One, as no step is longer than a source frame."""
        return 1


@dataclass(frozen=True)
class Timeline(Times):
    """A clip of `frames` frames, shown at any positions in any order.

    positions: of each output frame, in source frames; from the last source frame on, it is repeated.
    """

    frames: int
    positions: tuple[Fraction, ...]

    @property
    def length(self) -> int:
        """As many as there are positions."""
        return len(self.positions)

    @property
    def period(self) -> tuple[int, int]:
        """Nothing comes again."""
        return self.frames, self.length

    @cached_property
    def moments(self) -> list[tuple[int, Fraction]]:
        """Every position, split."""
        # In integers, and equal parts made once: hours have a million frames, and a Fraction costs a microsecond.
        last, part = self.frames - 1, cache(Fraction)
        split = ((*divmod(p.numerator, p.denominator), p.denominator) for p in self.positions)
        return [(k, part(rest, whole)) if k < last else (last, part(0, 1)) for k, rest, whole in split]

    def at(self, n: int) -> tuple[int, Fraction]:
        """Split the position."""
        return self.moments[n]
