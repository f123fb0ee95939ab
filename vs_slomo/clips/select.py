"""Which frame of a clip stands where in another: frames picked by a pattern, clips shifted in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import vapoursynth as vs

from vs_slomo.timing.positions import Times

LONGEST, CHUNK = 4000, 500
"""The most offsets in a period of SelectEvery, and in a piece of a longer one: its search for duplicates takes
quadratic time."""
ENDLESS = 1 << 26
"""Frames of a clip beyond which nobody knows its end: a player hands over such a clip (mpv: 2^27 - 1 frames)."""
PIECED = 1 << 16
"""Output frames up to which a long period is given to the host as a list: a longer one is computed frame by frame."""


def is_endless(clip: vs.VideoNode) -> bool:
    """Whether the clip comes from a player, and its end is not known."""
    return int(clip.num_frames) > ENDLESS


class Pattern(Sequence[int]):
    """As many numbers as `length`, each computed when it is asked for."""

    def __init__(self, length: int, at: Callable[[int], int]) -> None:
        self.length, self.at = length, at

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, i: int) -> int: ...
    @overload
    def __getitem__(self, i: slice) -> list[int]: ...
    def __getitem__(self, i: int | slice) -> int | list[int]:
        if isinstance(i, slice):
            return [self.at(n) for n in range(*i.indices(self.length))]
        if not 0 <= i < self.length:
            raise IndexError(i)
        return self.at(i)


def select(clip: vs.VideoNode, cycle: int, offsets: Sequence[int], length: int) -> vs.VideoNode:
    """Return `length` frames: of every `cycle` frames those at `offsets`. Past the clip's end its last frame repeats.

    Patterns are not listed frame by frame, since a player's clip may have no known end, and a factor many digits.
    """
    if len(offsets) > LONGEST and length > PIECED:
        return computed(clip, lambda n: cycle * (n // len(offsets)) + offsets[n % len(offsets)], length)
    periods = -(-length // len(offsets))
    repeats = periods if len(offsets) > LONGEST else 1
    if cycle * repeats == 1:  # SelectEvery refuses it
        repeats = 2
    if repeats > 1:
        offsets = [cycle * i + offset for i in range(repeats) for offset in offsets]
        cycle, periods = cycle * repeats, -(-periods // repeats)
    missing = periods * cycle - clip.num_frames
    if missing > 0:
        clip = clip + clip[-1].std.Loop(missing)
    if len(offsets) <= LONGEST:
        return clip.std.SelectEvery(cycle, list(offsets), modify_duration=False)[:length]
    pieces = (offsets[i : i + CHUNK] for i in range(0, length, CHUNK))
    return vs.core.std.Splice([clip.std.SelectEvery(clip.num_frames, p, modify_duration=False) for p in pieces])[
        :length
    ]


def computed(clip: vs.VideoNode, at: Callable[[int], int], length: int) -> vs.VideoNode:
    """Return `length` frames, of which frame n is the clip's frame at(n), or its last one past the end."""
    last = clip.num_frames - 1
    blank = clip.std.BlankClip(length=length, keep=True)
    return blank.std.FrameEval(lambda n: clip[min(at(n), last)].std.Loop(n + 1), clip_src=[clip])


def per_output_frame(clip: vs.VideoNode, times: Times) -> vs.VideoNode:
    """Return, for each output frame, the clip's frame k that `times` gives for it."""
    cycle, period = times.period
    return select(clip, cycle, Pattern(period, lambda n: times.at(n)[0]), times.length)


def shifted(clip: vs.VideoNode, offset: int) -> vs.VideoNode:
    """Return the clip whose frame k is frame k + offset of the given one. The first and the last frame repeat."""
    last = clip.num_frames - 1
    offset = max(-last, min(offset, last))
    if offset > 0:
        return clip[offset:] + clip[-1].std.Loop(offset)
    return clip[0].std.Loop(-offset) + clip[:offset] if offset < 0 else clip


def next_frames(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the clip whose frame k is frame k + 1 of the given one. The last frame repeats."""
    return shifted(clip, 1)
