"""Which of a source filter's frames belong to which of the file's times."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .contents import NO_PTS
from .probe import Container

log = logging.getLogger("vs_slomo")

USELESS = 0.2
"""Where more of the frames than this share another one's time, the file has no times."""
DELAY = 16
"""Frames by which a decoder may be late, where the file has no times of presentation."""


@dataclass(frozen=True, eq=False)
class Matched:
    """kept: the filter's frames that are shown. file: with their times. repaired: what was done, or nothing."""

    kept: list[int]
    file: Container
    repaired: str = ""


@dataclass(frozen=True)
class Stamps:
    """The times that a source filter gives its frames, in units of `base` seconds, as the file has them."""

    ticks: Sequence[int]
    base: Fraction


def match(file: Container, count: int, stamps: Stamps | None, name: str) -> Matched:
    """Give each of a filter's `count` frames its time.

    By the filter's own times where it tells them; else by the number of frames. Where neither fits, frames are spread
    over the film's times, so that it keeps its length and its rate. Of frames with one time the last is shown.
    """
    kept, times, notes = list(range(count)), None, list[str]()
    numbers_do = file.format in NO_PTS and count in (len(file.times), len(file.shown))  # what it tells is guessed too
    if stamps is not None and len(stamps.ticks) == count and not numbers_do:
        found = _by_time(file, stamps)
        if found is not None:
            kept, times = found
            notes += _losses(file, len(times), name)
    if times is None and count == len(file.times):
        times = file.times
    if times is None and count == len(file.shown):
        kept, times = np.flatnonzero(file.shown).tolist(), file.times
    if times is None:
        lost = count - len(file.times)
        said = (
            f"drops {-lost} of {len(file.times)} frames" if lost < 0 else f"gives {count} frames for {len(file.times)}"
        )
        notes.append(f"{name} {said}; which ones is not known, so that all are spread over the same time")
        times = _spread(file.times, count)
    keep, times, note = _apart(times, file)
    kept = [kept[n] for n in keep]
    notes += [note] if note else []
    return Matched(kept, replace(file, times=times), "; ".join(notes))


def _spread(times: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return `count` times over the same length: some of the file's, or evenly spaced ones where it has too few."""
    if count <= len(times):
        return times[np.round(np.linspace(0, len(times) - 1, count)).astype(np.int64)]
    return np.round(np.linspace(int(times[0]), int(times[-1]), count)).astype(np.int64)


def _by_time(file: Container, stamps: Stamps) -> tuple[list[int], NDArray[np.int64]] | None:
    """Return the shown frames and their times; None where the filter's times are not the file's."""
    places: dict[int, list[int]] = defaultdict(list)
    for number, time in enumerate(file.pts.tolist()):
        places[time].append(number)
    scale = stamps.base / file.time_base
    ticks = [round(tick * scale) for tick in stamps.ticks]
    step = max(1, int(np.median(np.diff(file.clock)))) if len(file.clock) > 1 else 1
    early = [n * step for n in range(DELAY + 1)] if file.format in NO_PTS else [0]
    found = max((_placed(file, places, [tick - less for tick in ticks]) for less in early), key=_known)
    known = _known(found)
    if known < (0.9 if len(ticks) in (len(file.times), len(file.shown)) else 0.5) * len(ticks) or not known:
        return None
    _fill(found, file)
    kept, times = list[int](), list[int]()
    for n, at_place in enumerate(found):
        if at_place is not None:
            if file.shown[at_place]:
                kept.append(n)
                times.append(int(file.clock[at_place]))
        elif times and times[-1] + step < _next_time(file, found, n):
            kept.append(n)  # a picture of no packet of its own: shown after the one before it
            times.append(times[-1] + step)
    return (kept, np.array(times, np.int64)) if times else None


def _known(found: Sequence[int | None]) -> int:
    return sum(place is not None for place in found)


def _placed(file: Container, places: Mapping[int, list[int]], ticks: Sequence[int]) -> list[int | None]:
    """Return the place in the file of the frame at each of these times."""
    found: list[int | None] = []
    last = -1
    for tick in ticks:
        there = places.get(tick, [])
        later = there[bisect_right(there, last) :]
        # A hidden packet may have the time of the picture that it helps to make.
        place = next((at for at in later if file.shown[at]), later[0] if later else None)
        if place is not None:
            last = place
        found.append(place)
    return found


def _fill(found: list[int | None], file: Container) -> None:
    """Give frames without a time the places between their neighbours', where there are as many. Changes `found`."""
    n = 0
    while n < len(found):
        end = next((m for m in range(n, len(found)) if found[m] is not None), len(found))
        before = found[n - 1] if n else -1
        behind = found[end] if end < len(found) else len(file.shown)
        if before is not None and behind is not None and end > n:
            free = [at for at in range(before + 1, behind) if file.shown[at]]
            if len(free) == end - n:
                found[n:end] = free
        n = end + 1


def _next_time(file: Container, found: Sequence[int | None], n: int) -> int:
    """Return the time of the first frame from n on that is known."""
    return next((int(file.clock[place]) for place in found[n:] if place is not None), int(file.clock[-1]) + (1 << 62))


def _losses(file: Container, count: int, name: str) -> list[str]:
    """Return what is said of frames that did not come, unless two packets make one."""
    lost = len(file.times) - count
    pairs = file.looks.paired or (lost > 4 and abs(len(file.times) - 2 * count) <= 2 + count // 20)
    if lost <= 0 or pairs:
        return []
    return [f"{name} drops {lost} of {len(file.times)} frames; the others keep their times"]


def _apart(times: NDArray[np.int64], file: Container) -> tuple[list[int], NDArray[np.int64], str]:
    """Return the frames whose times grow: of those at one time the last; and what was done."""
    if len(times) < 2:
        return list(range(len(times))), times, ""
    # From the end: a frame is kept if it is shown before all that follow it.
    following = np.minimum.accumulate(times[::-1])[::-1]
    keep = np.flatnonzero(np.append(times[:-1] < following[1:], values=True))
    gone = len(times) - len(keep)
    if not gone:
        return keep.tolist(), times, ""
    if gone > USELESS * len(times):
        rate = file.announced if 1 <= file.announced <= 300 else 25
        even = int(times[0]) + np.round(np.arange(len(times)) / (rate * float(file.time_base))).astype(np.int64)
        return list(range(len(times))), even, f"the file has no usable times; its frames come at {rate:g} a second"
    note = f"{gone} frame{'s' * (gone > 1)} at the time of another {'are' if gone > 1 else 'is'} left out"
    return keep.tolist(), times[keep], note
