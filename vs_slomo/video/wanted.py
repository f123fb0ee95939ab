"""What the user wants to go with the picture: which kinds of tracks, which sound, which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Literal

from vs_slomo.errors import ArgumentError
from vs_slomo.given import texts

from .contents import Stream
from .probe import Container

Audio = Literal["copy", "stretch", "drop"]
UNKNOWN = 1 << 31
"""A sound track's number that no file has."""
KINDS = ("audio", "subtitles", "chapters", "attachments", "cover", "tags")
"""What `tracks` of `render` may name."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """What goes with the picture from a file.

    start, duration: the part of the file, in seconds of its clock; a duration of None is the whole file.
    stretch: how many times as long the picture takes. audio: "copy" (where the container does not take a track as it
    is, it is encoded), "stretch" (encoded, and slowed down with the picture) or "drop".
    kinds: those of KINDS that are kept. audio_tracks: the sound tracks that are kept, by number from 1 or by language;
    None keeps all.
    """

    file: Container
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    stretch: Fraction = Fraction(1)
    audio: Audio = "copy"
    kinds: frozenset[str] = frozenset(KINDS)
    audio_tracks: tuple[str, ...] | None = None


def parse_kinds(tracks: str | Sequence[str], *, subtitles: bool) -> frozenset[str]:
    """Return the kinds that are kept: "all", "none", or names of KINDS with commas between. Raises ArgumentError."""
    allowed = f"all, none, or some of {', '.join(KINDS)} with commas between"
    names = tracks.replace(" ", "").split(",") if isinstance(tracks, str) else texts("tracks", tracks, allowed)
    names = [*KINDS] if names == ["all"] else [] if names in (["none"], [""]) else names
    for name in names:
        if name not in KINDS:
            raise ArgumentError("tracks", tracks, allowed)
    return frozenset(names) - (frozenset() if subtitles else {"subtitles"})


def parse_audio_tracks(chosen: str | int | Sequence[str | int] | None) -> tuple[str, ...] | None:
    """Return the sound tracks by number or language. Raises ArgumentError."""
    if chosen is None:
        return None
    parts = chosen.split(",") if isinstance(chosen, str) else chosen if isinstance(chosen, list | tuple) else [chosen]
    names = tuple(
        part.strip() if isinstance(part, str) else str(min(int(part), UNKNOWN))
        for part in parts
        if isinstance(part, str | Integral) and not isinstance(part, bool)
    )
    if not names or len(names) < len(parts) or any(not name or name == "0" or name.startswith("-") for name in names):
        raise ArgumentError("audio_track", chosen, 'numbers from 1 or languages, such as 2 or "deu" or "1,eng"')
    return names


def chosen_sound(tracks: Tracks) -> tuple[Stream, ...]:
    """Return the sound tracks that are kept, each once. Raises ArgumentError where one is not there."""
    sounds = tracks.file.of_kind("audio")
    if tracks.audio == "drop" or "audio" not in tracks.kinds:
        return ()
    if tracks.audio_tracks is None:
        return sounds
    found: dict[int, Stream] = {}
    for name in tracks.audio_tracks:
        matching = [
            s for n, s in enumerate(sounds, 1) if name == str(n) or name.lower() == s.tags.get("language", "").lower()
        ]
        if not matching:
            there = ", ".join(f"{n} ({s.tags.get('language', 'und')}, {s.codec})" for n, s in enumerate(sounds, 1))
            raise ArgumentError("audio_track", name, f"one of the file's: {there or 'none, it has no sound'}")
        found |= {s.index: s for s in matching}
    return tuple(found.values())
