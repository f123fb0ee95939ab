"""Tags and chapters, as ffmpeg reads them from a file: FFMETADATA."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from .contents import Chapter

OWN = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "timecode", "vendor_id"),
    *("handler_vendor", "number_of_frames", "number_of_bytes", "bps", "source_id", "alpha_mode", "reel_name"),
}
"""Tags that tell of the old file only."""
GENERATED = re.compile(r"(duration|bps|number_of_\w+|_statistics_\w+)(-\w+)?", re.IGNORECASE)
HANDLERS = re.compile(r"(Video|Sound|Subtitle|Data)Handler|.*Media Handler|\s*", re.IGNORECASE)


def kept_tags(tags: Mapping[str, str], only: Sequence[str] = ()) -> dict[str, str]:
    """Return the tags that hold of the new file as well; only those of these names, if any."""
    named = {"title": tags["name"]} if "name" in tags and "title" not in tags else {}  # MP4's tracks
    found = named | {
        key: value.partition(";")[0] if key.lower() == "creation_time" else value  # QuickTime may have two
        for key, value in tags.items()
        if key.lower() not in OWN
        and key != "name"
        and not GENERATED.fullmatch(key)
        and not (key.lower() == "handler_name" and HANDLERS.fullmatch(value))
        and not (key.lower() == "language" and value == "und")
        and not (key.lower() == "software" and value.startswith("Lavf"))
    }
    return {key: value for key, value in found.items() if not only or key.lower() in only}


def escaped(text: str) -> str:
    """Return a key or a value as FFMETADATA has it."""
    return re.sub(r"([=;#\\\n])", r"\\\1", text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""))


def _lines(tags: Iterable[tuple[str, str]]) -> list[str]:
    # ffmpeg takes a backslash at the end for one that continues the line, also an escaped one.
    return [f"{escaped(key)}={escaped(f'{value} ' if value.endswith(chr(92)) else value)}" for key, value in tags]


def write_metadata(
    path: Path, tags: Mapping[str, str], streams: Iterable[Mapping[str, str]], chapters: Iterable[Chapter]
) -> None:
    """Write tags of the file, of its streams in their order, and chapters. Bytes that are no UTF-8 stay as they are."""
    lines = [";FFMETADATA1", *_lines(tags.items())]
    for stream in streams:
        lines += ["[STREAM]", *_lines(stream.items())]
    for chapter in chapters:
        times = [round(time * 1_000_000) for time in (chapter.start, chapter.end)]
        lines += ["[CHAPTER]", "TIMEBASE=1/1000000", f"START={times[0]}", f"END={times[1]}"]
        lines += _lines((key, value) for key, _, value in (tag.partition("=") for tag in chapter.tags))
    path.write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))


def without_gaps(chapters: Iterable[Chapter]) -> list[Chapter]:
    """Return chapters, in order, as MP4 has them: from the start on, one behind the other, each with a title.

    What lies before the first one becomes a chapter with an empty title; else all of them would begin too early.
    """
    found = [*chapters]
    if found and found[0].start > 0:
        found.insert(0, Chapter(Fraction(0), found[0].start, ()))
    ends = [chapter.start for chapter in found[1:]] + [chapter.end for chapter in found[-1:]]
    return [
        replace(chapter, end=end, tags=chapter.tags if _titled(chapter) else ("title=", *chapter.tags))
        for chapter, end in zip(found, ends, strict=True)
    ]


def _titled(chapter: Chapter) -> bool:
    return any(tag.lower().startswith("title=") for tag in chapter.tags)


def moved(chapters: Iterable[Chapter], zero: Fraction, end: Fraction | None, stretch: Fraction) -> list[Chapter]:
    """Return the chapters of a part that begins at `zero`, at their new times.

    They are put in order: readers of Matroska leave out one that begins before another in front of it.
    """
    found = []
    for chapter in sorted(chapters, key=lambda chapter: chapter.start):
        begins = max(chapter.start, zero)
        ends = chapter.end if end is None else min(chapter.end, end)
        marks = chapter.start >= zero and (end is None or chapter.start < end)  # a moment, without a length
        if begins < ends or (marks and begins == ends):
            found.append(Chapter((begins - zero) * stretch, (ends - zero) * stretch, chapter.tags))
    return found
