"""Packets that show nothing: alt-ref frames of VP8 and VP9, which are only looked at by other frames."""

from __future__ import annotations

from collections.abc import Callable
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


HIDDEN: dict[str, Callable[[Any], bool]] = {"vp8": vp8_hides, "vp9": vp9_hides}
"""By codec: whether a packet shows nothing."""
