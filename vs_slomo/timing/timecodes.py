"""When each frame is shown, where the rate varies: exact, and as files (timecode format v1 and v2).

    frame          0       1       2     ...    27      end
    ticks          0    4649    7646         88569    91566       of 1/90000 s (a phone's video)
    lasts      51.66   33.30   33.30         33.30                milliseconds

A moment between two frames is a position, as everywhere here: 1/3 of the way from frame 1 to frame 2 is 4/3.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, groupby, pairwise
from pathlib import Path

from vs_slomo.errors import ArgumentError
from vs_slomo.given import BITS, read_lines, read_number, whole_number
from vs_slomo.outputs import write_text

from .positions import LISTED, NEAR, Timeline, Timing, read_rate

HELD, HELD_STEPS = Fraction(1, 2), 4
"""Seconds, and times as long as most frames: one that lasts longer is held."""


@dataclass(frozen=True)
class Timecodes:
    """The moments at which a clip's frames begin.

    ticks: of every frame's beginning and of the last one's end, growing integers; the first one is time 0.
    unit: seconds that a tick lasts.
    rounding: seconds by which a moment may be off, because it was rounded when it was written.
    pace: ticks after which most frames follow each other. A frame that lasts `HELD` seconds and `HELD_STEPS` times as
        long is held, as a slide on a screen is: what follows it comes within that time. 0: no frame is held.

    Raises ArgumentError: no frames, or moments that do not grow.
    """

    ticks: Sequence[int]
    unit: Fraction
    rounding: Fraction = Fraction(0)
    pace: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be shown."""
        if self.unit <= 0:
            raise ArgumentError("timecodes", f"ticks of {float(self.unit):g} s", "ticks that last")
        if len(self.ticks) < 2:
            raise ArgumentError("timecodes", "none", "a moment for every frame")
        if isinstance(self.ticks, range):
            return
        for n, (this, after) in enumerate(pairwise(self.ticks)):
            if after <= this:
                moments = [f"{float((tick - self.ticks[0]) * self.unit * 1000):.3f}" for tick in (this, after)]
                got = f"frame {n} at {moments[0]} ms, and what follows it at {moments[1]} ms"
                raise ArgumentError("timecodes", got, "moments that grow from frame to frame")

    @classmethod
    def constant(cls, frames: int, fps: Fraction) -> Timecodes:
        """Return those of a clip with a constant rate."""
        return cls(range(frames + 1), 1 / fps)

    @classmethod
    def starting(
        cls, ticks: Sequence[int], unit: Fraction, rounding: Fraction = Fraction(0), lasts: int | None = None
    ) -> Timecodes:
        """Return those of frames that begin at `ticks`.

        lasts: how many ticks the last frame lasts; None: as many as the one before it.
        """
        if len(ticks) < 2:
            raise ArgumentError("timecodes", f"{len(ticks)} moments", "at least 2, or a frame's duration is not known")
        return cls((*ticks, ticks[-1] + (ticks[-1] - ticks[-2] if lasts is None else lasts)), unit, rounding)

    @classmethod
    def lasting(cls, durations: Iterable[Fraction]) -> Timecodes:
        """Return those of frames that last so many seconds."""
        durations = list(durations)
        per_second = common_denominator(durations)
        return cls(tuple(accumulate((int(d * per_second) for d in durations), initial=0)), Fraction(1, per_second))

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.ticks) - 1

    @property
    def duration(self) -> Fraction:
        """Of all frames together, in seconds."""
        return (self.ticks[-1] - self.ticks[0]) * self.unit

    @property
    def rate(self) -> Fraction | None:
        """Frames per second where all last equally long, else None."""
        step = self.ticks[1] - self.ticks[0]
        constant = isinstance(self.ticks, range) or all(b - a == step for a, b in pairwise(self.ticks))
        return 1 / (step * self.unit) if constant else None

    def of(self, frames: int) -> Timecodes:
        """Return these timecodes for a clip of `frames` frames; one moment more than that is its end.

        Raises ArgumentError where they are not that clip's.
        """
        if self.frames == frames:
            return self
        if self.frames == frames + 1:
            return replace(self, ticks=self.ticks[:-1])
        raise ArgumentError("timecodes", f"{self.frames} moments", f"one for every frame of the clip, {frames}")

    def __getitem__(self, frames: slice) -> Timecodes:
        """Return those of a part of the clip, as `clip[frames]` has it."""
        start, stop, step = frames.indices(self.frames)
        if step != 1:
            raise ArgumentError("timecodes", frames, "a part, without a step")
        return replace(self, ticks=self.ticks[start : stop + 1])

    def _moves(self, k: int) -> int:
        """Return during how many ticks frame k turns into the next one; before that it is held."""
        step = self.ticks[k + 1] - self.ticks[k]
        held = self.pace and step > HELD_STEPS * self.pace and step * self.unit >= HELD
        return self.pace if held else step

    def paced(self) -> Timecodes:
        """Return the timecodes without the time for which frames are held: those of the motion."""
        if not self.pace:
            return self
        moves = accumulate((self._moves(k) for k in range(self.frames)), initial=0)
        return Timecodes(tuple(moves), self.unit, self.rounding)

    def time(self, position: Fraction) -> Fraction:
        """Return the moment of a position in [0, frames], in seconds."""
        k = min(math.floor(position), self.frames - 1)
        moves, t = self._moves(k), position - k
        begins = self.ticks[k + 1] - moves if t else self.ticks[k]
        return (begins - self.ticks[0] + t * moves) * self.unit

    def position(self, time: Fraction) -> Fraction:
        """Return the position of a moment in [0, duration], in seconds.

        Where it is a frame's own moment for all we know (to `rounding`, or to 1/1000 of the way to the next), it is
        that frame.
        """
        return self._position(time.numerator * self.unit.denominator, time.denominator * self.unit.numerator)

    def _position(self, moment: int, parts: int) -> Fraction:
        """Return the position of a moment that is counted in so many parts of a tick.

        In integers, as hours have a million frames, and a Fraction costs a microsecond.
        """
        moment += self.ticks[0] * parts
        k = min(bisect_right(self.ticks, moment // parts), self.frames) - 1
        step = self._moves(k) * parts
        since = max(0, moment - (self.ticks[k + 1] * parts - step))
        off = min(since, step - since)
        near = off * NEAR.denominator <= step * NEAR.numerator
        if near or (self.rounding and off * self.unit <= self.rounding * parts):
            return Fraction(k if off == since else k + 1)
        return Fraction(k * step + since, step)

    def at_rate(self, fps: Fraction) -> Timeline:
        """Return the timeline that shows every frame at its own moment, at a constant rate."""
        # The end is as uncertain as the moments that it was concluded from: three of them.
        length = math.floor((self.duration + 3 * self.rounding) * fps)
        if not 1 <= length <= LISTED:
            allowed = f"a rate with 1 to {LISTED} frames in {float(self.duration):.3f} s"
            raise ArgumentError("fps_num/fps_den", str(fps), allowed)
        step, parts = fps.denominator * self.unit.denominator, fps.numerator * self.unit.numerator
        return Timeline(self.frames, tuple(self._position(n * step, parts) for n in range(length)))

    def multiplied(self, times: Timing) -> Timecodes:
        """Return the timecodes of `multi` times as many frames: each duration is divided by `multi`."""
        if rate := self.rate:
            return Timecodes.constant(times.length, rate * times.multi)
        if times.length > LISTED:
            raise ArgumentError("multi", str(times.multi), f"at most {LISTED} frames of output with timecodes")
        moments = [self.time(n / times.multi) for n in range(times.length + 1)]
        return Timecodes.lasting(b - a for a, b in pairwise(moments))

    def slowed(self, factor: Fraction) -> Timecodes:
        """Return those of frames that last `factor` times as long."""
        return replace(self, unit=self.unit * factor, rounding=self.rounding * factor)

    def lasts(self, n: int) -> Fraction:
        """Return how many seconds frame n lasts."""
        return (self.ticks[n + 1] - self.ticks[n]) * self.unit

    def durations(self) -> list[Fraction]:
        """Return how many seconds each frame lasts."""
        return [self.lasts(n) for n in range(self.frames)]

    def write(self, path: str | os.PathLike[str], version: int = 2) -> None:
        """Write a timecode file.

        2: a line for each frame's beginning, in milliseconds to the nanosecond, each rounded by itself, and one for
        the last one's end. 1: a rate for each run of frames; ArgumentError where no decimal is that rate.
        """
        version = whole_number("version", version, 1, 2, "1 or 2")
        lines = self._rates() if version == 1 else self._moments()
        write_text(path, "\n".join([f"# timecode format v{version}", *lines, ""]), name="path")

    def _moments(self) -> list[str]:
        return [f"{(tick - self.ticks[0]) * self.unit * 1000:.6f}" for tick in self.ticks]

    def _rates(self) -> list[str]:
        durations = self.durations()
        usual = Counter(durations).most_common(1)[0][0]
        lines, n = [f"Assume {_decimal(1 / usual)}"], 0
        for duration, run in groupby(durations):
            end = n + len(list(run))
            if duration != usual:
                lines.append(f"{n},{end - 1},{_decimal(1 / duration)}")
            n = end
        return lines


def load(timecodes: Timecodes | str | os.PathLike[str], frames: int) -> Timecodes:
    """Return a clip's timecodes, given as such or as a file. Raises ArgumentError where they are not that clip's."""
    if isinstance(timecodes, Timecodes):
        return timecodes.of(frames)
    if not isinstance(timecodes, str | os.PathLike):
        raise ArgumentError("timecodes", timecodes, "Timecodes, or the name of a timecode file")
    return read(timecodes, frames)


def read(path: str | os.PathLike[str], frames: int) -> Timecodes:
    """Read a timecode file, format v1 or v2, of a clip of `frames` frames.

    v2 may have a line for the clip's end; else the last frame lasts as long as the one before it. A rate with
    decimals in v1 means the rate over 1.001 that it was rounded from: 23.976 is 24000/1001.

    Raises ArgumentError: no such file, another format, what is no number, moments or ranges out of order.
    """
    path = Path(path)
    if frames > LISTED:
        raise ArgumentError("timecodes", f"a clip of {frames} frames", f"a clip of at most {LISTED} frames")
    head, *lines = read_lines(path, "timecodes", "a timecode file that can be read") or [""]
    words = head.lower().replace("timestamp", "timecode").split()
    # Comments and empty lines mean nothing; numbers as an editor counts the lines.
    numbered = [(n, text) for n, line in enumerate(lines, 2) if (text := line.partition("#")[0].strip())]
    match words:
        case ["#", "timecode", "format", "v1"]:
            return _parse_v1(path, numbered, frames)
        case ["#", "timecode", "format", "v2"]:
            return _parse_v2(path, numbered).of(frames)
        case _:
            raise ArgumentError(
                "timecodes", f"{path}: {head[:60]}", 'a first line "# timecode format v1" or "# timecode format v2"'
            )


def _parse_v2(path: Path, lines: list[tuple[int, str]]) -> Timecodes:
    moments = []
    for n, line in lines:
        try:
            moments.append(read_number(line))
        except ValueError:
            raise _bad_line(path, n, line, "a moment in milliseconds") from None
    per_ms = common_denominator(moments)
    digits = max((len(line.partition(".")[2]) for _, line in lines), default=0)
    return Timecodes.starting(
        [int(m * per_ms) for m in moments], Fraction(1, 1000 * per_ms), Fraction(1, 2000 * 10**digits)
    )


def _parse_v1(path: Path, lines: list[tuple[int, str]], frames: int) -> Timecodes:
    if not lines or lines[0][1].split()[0].lower() != "assume":
        n, line = lines[0] if lines else (2, "")
        raise _bad_line(path, n, line, "Assume and a rate")
    (n, line), *ranges = lines
    durations = [1 / _rate(path, n, line, line.partition(" ")[2])] * frames
    reached = 0
    for n, line in ranges:
        try:
            first, last, rate = line.split(",")
            start, end = int(first), int(last) + 1
        except ValueError:
            raise _bad_line(path, n, line, "first frame, last frame, rate") from None
        if not reached <= start < end:
            raise _bad_line(path, n, line, f"a range of frames from {reached} on")
        reached = end
        run = slice(start, min(end, frames))
        durations[run] = [1 / _rate(path, n, line, rate)] * len(durations[run])
    return Timecodes.lasting(durations)


def _rate(path: Path, n: int, line: str, text: str) -> Fraction:
    try:
        rate = read_rate(text)
    except ValueError:
        rate = Fraction(0)
    if rate <= 0:
        raise _bad_line(path, n, line, "a rate in frames per second")
    return rate


def common_denominator(numbers: Iterable[Fraction]) -> int:
    """Return the least denominator that all have. Raises ArgumentError where it has too many digits to count with."""
    least = 1
    for number in numbers:
        least = math.lcm(least, number.denominator)
        if least.bit_length() > BITS:
            raise ArgumentError("timecodes", "moments or rates without a common measure", "decimals of fewer digits")
    return least


def _decimal(rate: Fraction) -> str:
    """Return the decimal that reads back as this rate. Raises ArgumentError."""
    for digits in range(13):
        if Fraction(text := f"{rate:.{digits}f}") == rate:
            return text
    if read_rate(text := f"{rate:.6f}") == rate:
        return text
    raise ArgumentError("version", 1, f"2, because no decimal is the rate {rate}")


def _bad_line(path: Path, n: int, line: str, allowed: str) -> ArgumentError:
    return ArgumentError("timecodes", f"{path}, line {n}: {line[:60]}", allowed)
