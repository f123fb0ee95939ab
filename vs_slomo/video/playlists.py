"""Files that name other files. A stranger's playlist shall not make this read, or ask the network for, what it likes.

A playlist may name parts in its own folder or below. What lies elsewhere (absolute names, "..", links, addresses of any
kind) is read only with `allow_playlist`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from vs_slomo.errors import SourceError

LARGEST = 16 << 20
"""Bytes of a playlist."""
DEEPEST = 4
"""Playlists in playlists."""
HEAD = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:#EXTM3U|ffconcat version|<\?xml|<MPD|\[playlist\])")
QUOTED = re.compile(r"""URI\s*=\s*"([^"]*)\"""")
NAMED = re.compile(
    r"""(?:sourceURL|media|initialization|href|src)\s*=\s*["']([^"']*)|<BaseURL[^>]*>([^<]*)""",
)
"""In DASH and its like."""
ADDRESS = re.compile(r"[A-Za-z][\w+.,-]*:")
"""A protocol of ffmpeg's; also a drive of Windows."""


def check_playlist(path: Path, depth: int = 0) -> None:
    """Raise SourceError where a file is a playlist that leads out of its folder; other files are not read."""
    text = _text(path)
    if text and depth > DEEPEST:
        raise SourceError(f"{path}: is a playlist in more than {DEEPEST} playlists")
    home = path.parent.resolve()
    for name, said in _said(text):
        place = (path.parent / said.partition("?")[0]).resolve()
        if ADDRESS.match(said) or said.startswith(("//", "\\")) or "\0" in said or not place.is_relative_to(home):
            raise SourceError(
                f"{path.name}: is a playlist that leads out of its folder, to {name}; allow_playlist=True "
                "(--allow-playlist) reads it all the same"
            )
        if os.path.isfile(place):  # noqa: PTH113  # of any name
            check_playlist(place, depth + 1)


def parts(path: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the files that a playlist names, and those that the playlists among them name; none for other files."""
    if not os.path.isfile(path):  # noqa: PTH113  # a pipe would be waited for
        return
    try:
        text = _text(path)
    except OSError:
        return
    for _, said in _said(text) if depth <= DEEPEST else ():
        place = path.parent / said.partition("?")[0]
        if "\0" not in said and os.path.isfile(place):  # noqa: PTH113  # of any name
            yield place
            yield from parts(place, depth + 1)


def _text(path: Path) -> str:
    """Return a playlist's text; "" for other files, of which only the beginning is read."""
    with path.open("rb") as file:
        head = file.read(64)
        return (head + file.read(LARGEST)).decode("utf-8", "surrogateescape") if HEAD.match(head) else ""


def _said(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name in a playlist, with each way in which it may be meant."""
    for name in named(text):
        for said in {name, unquote(name)}:
            yield name, said


def named(text: str) -> Iterator[str]:
    """Yield all that a playlist names."""
    if re.match(r"\ufeff?\s*ffconcat", text):
        for found in re.finditer(r"""^\s*file\s+(?:'([^']*)'|(\S+))""", text, re.MULTILINE):
            yield found[1] or found[2]
        return
    if re.match(r"\ufeff?\s*<", text):  # DASH and its like: what may be an address
        for found in NAMED.finditer(text):
            yield (found[1] or found[2] or "").strip()
        return
    for line in text.splitlines():
        if line.startswith("#"):
            yield from QUOTED.findall(line)
        elif line.strip():
            yield line.strip()
