"""Packets that show nothing: alt-ref frames of VP8, VP9 and AV1, which are only looked at by other frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def vp8_hides(packet: Any) -> bool:
    """Return whether a packet of VP8 is never shown: bit 4 of its first byte."""
    data = memoryview(packet)
    return packet.size > 0 and not data[0] & 0x10


def vp9_hides(packet: Any) -> bool:
    """Return whether a packet of VP9 is never shown: a single frame whose header says so."""
    data = memoryview(packet)
    if not packet.size or data[-1] & 0xE0 == 0xC0:  # several frames, of which the last is shown
        return False
    bits = f"{data[0]:08b}{data[1]:08b}" if len(data) > 1 else f"{data[0]:08b}"
    at = 5 if bits[2:4] == "11" else 4  # profile 3 has one bit more
    if bits[at] == "1":  # an earlier frame is shown
        return False
    return bits[at + 2 : at + 3] == "0"


SEQUENCE, FRAME_HEADER, FRAME = 1, 3, 6
"""Units of AV1 that matter here."""


def av1_hides(packet: Any) -> bool:
    """Return whether a packet of AV1 is never shown: each of its frames says so."""
    frames = False
    for kind, first in _units(memoryview(packet)):
        if kind == SEQUENCE and first & 0x08:  # a still picture's short header, whose frames say nothing
            return False
        if kind in (FRAME_HEADER, FRAME):
            frames = True
            if first & 0x90:  # an earlier frame is shown, or this one
                return False
    return frames


def _units(data: memoryview) -> Iterator[tuple[int, int]]:
    """Return kind and first byte of the units (OBU) of a packet."""
    at = 0
    while at < len(data):
        head, at = data[at], at + 1 + (data[at] >> 2 & 1)
        size, shift = len(data) - at, 0
        if head & 2:  # its size follows, in groups of 7 bits
            size, more = 0, True
            while more and at < len(data) and shift < 56:
                size |= (data[at] & 0x7F) << shift
                more, at, shift = data[at] > 0x7F, at + 1, shift + 7
        if at < len(data) and size:
            yield head >> 3 & 15, data[at]
        at += size


HIDDEN: dict[str, Callable[[Any], bool]] = {"vp8": vp8_hides, "vp9": vp9_hides, "av1": av1_hides}
"""By codec: whether a packet shows nothing."""
