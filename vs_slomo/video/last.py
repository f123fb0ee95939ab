"""When the last picture of a file ends, as far as its packets tell."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

LONGEST = 3600
"""Seconds for which a last picture may be shown; more is no duration."""


@dataclass
class Last:
    """The picture that is shown last: its recording, its time and how long it lasts, in ticks.

    reordered: whether pictures are not stored as they are shown. Then MP4's durations are those of other pictures.
    right, wrong: how many durations lead, and do not lead, to the next picture.
    """

    part: int = -1
    time: int = 0
    lasts: int = 0
    reordered: bool = False
    right: int = 0
    wrong: int = 0

    def see(self, part: int, time: int, lasts: int) -> None:
        """Note a picture."""
        if part == self.part and time <= self.time:
            self.reordered = True
            return
        if part == self.part:
            fits = abs(self.time + self.lasts - time) <= 1
            self.right, self.wrong = self.right + fits, self.wrong + (not fits)
        self.part, self.time, self.lasts = part, time, lasts

    def end(self, offsets: tuple[Fraction, ...], base: Fraction) -> int | None:
        """Return when it ends by the file's clock, in ticks; None where that is not told, or not believed."""
        if self.reordered or self.wrong >= self.right or not 0 < self.lasts * base < LONGEST:
            return None
        return self.time + self.lasts + round(offsets[min(self.part, len(offsets) - 1)] / base)
