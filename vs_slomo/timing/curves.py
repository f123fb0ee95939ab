"""Retiming curves: which source time each output time shows, from keyframes, a function or an array.

A keyframe is (output time, source time, easing); the easing, "linear" where it is left out, leads to the next one:

    linear   at one speed
    hold     this keyframe's picture stays, and the next one's comes at once
    smooth   the speed changes without a jump and never turns back (monotone cubic: Fritsch and Carlson, SIAM
             J. Numer. Anal. 17, 1980). It takes over a linear neighbour's speed, is at rest beside a hold and at
             either end of the curve, and passes from smooth to smooth at the mean of both speeds

Before the first keyframe and after the last the picture stands still.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal, get_args

from vs_slomo.errors import ArgumentError, shown
from vs_slomo.given import read_lines, read_number

from .positions import LISTED

Easing = Literal["linear", "hold", "smooth"]
EASINGS = get_args(Easing)
Number = int | float | Fraction | str
Keyframe = tuple[Number, Number] | tuple[Number, Number, str]
Curve = Iterable[Sequence[object]] | Callable[[Fraction], Number] | Iterable[Number] | str | os.PathLike[str]
"""Keyframes, or the name of a file of them (see `read`); a function of the output time, which is an exact Fraction;
or an array with the source time of every output frame.

Keyframes are wide in type: for a type checker, [(0, 0), (1, 2, "smooth")] in a variable is a list of
tuple[object, ...].
"""

Sampler = Callable[[Fraction], Fraction]


@dataclass(frozen=True)
class Keyframes:
    """A curve through keyframes, exact."""

    times: tuple[Fraction, ...]
    sources: tuple[Fraction, ...]
    easings: tuple[Easing, ...]

    def __call__(self, time: Fraction) -> Fraction:
        """Return the source time of an output time."""
        i = bisect_right(self.times, time) - 1
        if i < 0 or i == len(self.times) - 1 or self.easings[i] == "hold":
            return self.sources[max(i, 0)]
        own, span = self._speed(i), self.times[i + 1] - self.times[i]
        u = (time - self.times[i]) / span
        if self.easings[i] == "linear":
            return self.sources[i] + span * own * u
        m0, m1 = (self._passing(own, other) for other in (i - 1, i + 1))
        return self.sources[i] + span * u * (m0 + u * (3 * own - 2 * m0 - m1 + u * (m0 + m1 - 2 * own)))

    def _speed(self, i: int) -> Fraction:
        """Return the mean speed from keyframe i to the next."""
        return (self.sources[i + 1] - self.sources[i]) / (self.times[i + 1] - self.times[i])

    def _passing(self, own: Fraction, i: int) -> Fraction:
        """Return the speed at which a smooth part with the mean speed `own` meets the part that starts at keyframe i.

        What leaves the cubic monotone lies between 0 and 3 times its mean speed.
        """
        if not 0 <= i < len(self.times) - 1 or self.easings[i] == "hold" or own * self._speed(i) <= 0:
            return Fraction(0)
        other = self._speed(i)
        return min(other, 3 * own, key=abs) if self.easings[i] == "linear" else 2 * own * other / (own + other)


def sampler(curve: Curve, step: Fraction, frames: int) -> tuple[Sampler, int]:
    """Return the source time as a function of the output position in frames, and how many output frames there are.

    step: output time from frame to frame. frames: as many as a function is asked for.
    Keyframes end with the last one, an array with its last value; both stand still outside.
    Raises ArgumentError.
    """
    if callable(curve):
        return lambda n: _called(curve, n * step), frames
    names: Callable[[int], str] = "keyframe {}".format
    if isinstance(curve, str | os.PathLike):
        file, numbered = Path(curve).name, read_numbered(curve)
        names, curve = lambda n: f"{file}, line {numbered[n][0]}", [keyframe for _, keyframe in numbered]
        if not curve:
            raise ArgumentError("curve", file, "at least one line of output time and source time")
    if not isinstance(curve, Iterable) or isinstance(curve, Mapping):
        raise ArgumentError("curve", curve, "keyframes, the name of a file of them, a function, or an array")
    points = list(islice(curve, LISTED + 1))
    if len(points) > LISTED:
        raise ArgumentError("curve", f"more than {LISTED} values", f"at most {LISTED} keyframes or numbers")
    if not points:
        raise ArgumentError("curve", curve, "at least one keyframe or number")
    if hasattr(points[0], "__len__"):
        keyframes = _keyframes(points, names)
        return lambda n: keyframes(n * step), int(keyframes.times[-1] / step)
    values = tuple(_number(value, f"as value {n}") for n, value in enumerate(points))
    each: list[Easing] = ["linear"] * len(values)
    return Keyframes(tuple(map(Fraction, range(len(values)))), values, tuple(each)), len(values)


def read(path: str | os.PathLike[str]) -> list[Keyframe]:
    """Return the keyframes of `read_numbered`."""
    return [keyframe for _, keyframe in read_numbered(path)]


def read_numbered(path: str | os.PathLike[str]) -> list[tuple[int, Keyframe]]:
    """Read keyframes from a text file: output time, source time and easing in each line; each with its line's number.

    Numbers are decimals or fractions ("1001/24"), the easing may be left out, what follows # is a comment.
    """
    keyframes: list[tuple[int, Keyframe]] = []
    for n, line in enumerate(read_lines(path, "curve", "a file of keyframes that can be read"), 1):
        match line.partition("#")[0].split():
            case []:
                pass
            case [time, source]:
                keyframes.append((n, (time, source)))
            case [time, source, "linear" | "hold" | "smooth" as easing]:
                keyframes.append((n, (time, source, easing)))
            case _:
                allowed = f"output time, source time and, if you like, one of {', '.join(EASINGS)}"
                raise ArgumentError("curve", f"{path}, line {n}: {line}", allowed)
    return keyframes


def _keyframes(curve: Sequence[object], names: Callable[[int], str]) -> Keyframes:
    """Check keyframes and make them exact. names: from a keyframe's number to what errors call it."""
    times, sources = [], []
    easings: list[Easing] = []
    for n, keyframe in enumerate(curve):
        parts = [*islice(keyframe, 4)] if isinstance(keyframe, Iterable) and not isinstance(keyframe, str) else []
        if len(parts) not in (2, 3):
            raise ArgumentError(
                "curve", f"{names(n)}: {shown(keyframe)}", "(output time, source time) or with an easing"
            )
        times.append(_number(parts[0], f"as {names(n)}'s output time"))
        sources.append(_number(parts[1], f"as {names(n)}'s source time"))
        easings.append(_easing(parts[2] if len(parts) == 3 else "linear", names(n)))
    if times[0] < 0:
        raise ArgumentError("curve", f"{names(0)} at {float(times[0]):g}", "output times from 0 on")
    for n, (this, after) in enumerate(pairwise(times)):
        if after <= this:
            got = f"{names(n)} at {float(this):g}, and {names(n + 1)} at {float(after):g}"
            raise ArgumentError("curve", got, "output times that grow from keyframe to keyframe")
    return Keyframes(tuple(times), tuple(sources), tuple(easings))


def _easing(name: object, keyframe: str) -> Easing:
    for easing in EASINGS:
        if name == easing:
            return easing  # type: ignore[no-any-return]  # get_args has no types
    raise ArgumentError("curve", f"{keyframe}'s easing {name!r}", f"one of {', '.join(EASINGS)}")


def _called(curve: Callable[[Fraction], object], time: Fraction) -> Fraction:
    return _number(curve(time), f"at output time {float(time):g}")


def _number(value: object, what: str) -> Fraction:
    """Return a number as an exact fraction; a float means its shortest decimal."""
    try:
        return read_number(value)
    except ValueError:
        raise ArgumentError(
            "curve",
            f"{value[:60] if isinstance(value, str) else shown(value)} {what}",
            "a finite number, of not too many digits",
        ) from None
