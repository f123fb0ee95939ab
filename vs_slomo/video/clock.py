"""One clock for a whole file: the packets of all its streams, with times that hold across joined recordings.

A recording for broadcast (MPEG-TS, MPEG-PS, HLS) may be several that were joined: each counts time from a start of its
own. All streams of a part are moved by the same amount, so that they keep their distance; the amount is such that the
picture goes on where that of the part before it ended.

    file      1.4 s .. 5.4 s | 1.4 s .. 3.4 s        as written
    clock     1.4 s .. 5.4 s | 5.4 s .. 7.4 s        part 1 is moved by 4 s
"""

from __future__ import annotations

import glob
import hashlib
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.paths import indexes_dir

from .playlists import check_playlist

if TYPE_CHECKING:
    from av.container import InputContainer

JUMPS = 0x0200
"""AVFMT_TS_DISCONT: a format whose times may jump."""
BACK, AHEAD = 0.1, 10.0
"""Seconds by which a stream's time must jump to be taken for a new recording; ffmpeg takes the same."""
JOINED = "matroska"
"""A format whose files may be put one behind the other as they are; within each, times do not jump back."""
NUMBERED = re.compile(r"%0?(\d{0,2})d")
"""A place for a number; ffmpeg fills it with zeros in any case."""
IMAGES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".bmp",
    ".dpx",
    ".exr",
    ".webp",
    ".tga",
    ".ppm",
    ".pgm",
    ".jp2",
    ".jxl",
}


def pyav() -> Any:
    """Return PyAV. Raises SourceError where it is not installed."""
    try:
        import av
        import av.logging
    except ImportError:
        raise SourceError("PyAV is not installed, which reads video files: pip install av (extra: cli)") from None
    return av


def seconds_per_tick(base: Any) -> Fraction:
    """Return a time base of PyAV as a fraction."""
    return Fraction(base.numerator, base.denominator)


@dataclass(frozen=True)
class Input:
    """A video file, or numbered pictures.

    path: the absolute name as given. readable: a name for it that every library takes.
    start: the first number of numbered pictures; None for a file.
    """

    path: Path
    readable: str
    start: int | None = None

    def open(self) -> InputContainer:
        """Open it with PyAV. Raises SourceError where PyAV is missing; av.FFmpegError."""
        av = pyav()
        options, kind = {}, None
        if self.start is not None:
            options, kind = {"start_number": str(self.start)}, "image2"
        elif self.path.suffix.lower() in IMAGES and "%" in self.path.name:
            options, kind = {"pattern_type": "none"}, "image2"
        container: InputContainer = av.open(self.readable, options=options, format=kind)
        return container


def find_input(path: object, *, allow_playlist: bool = False) -> Input:
    """Return the input of that name. Raises ArgumentError for what is no name, SourceError where nothing is there.

    allow_playlist: see `playlists.check_playlist`.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ArgumentError("path", path, "the name of a video file")
    given = Path(path)
    there, exists = os.path.isfile(given), os.path.exists(given)  # noqa: PTH110, PTH113  # names of any kind
    if not there and NUMBERED.search(given.name) and not exists:
        return _numbered(given.absolute())
    if not there:
        hint = ' (for pictures in a folder: "folder/%05d.png")' if exists and given.is_dir() else ""
        raise SourceError(f"{given}: {f'is not a file{hint}' if exists else 'does not exist'}")
    if not given.stat().st_size:
        raise SourceError(f"{given}: is empty")
    if not allow_playlist:
        check_playlist(given)
    given = given.absolute()  # a name such as "10:30.mp4" would be a protocol, "-a.mp4" an option
    return Input(given, _readable(given))


def picture_name(name: str, number: int) -> str:
    """Return the name of one of the numbered pictures."""
    return NUMBERED.sub(lambda found: f"{number:0{found[1] or 0}d}", name, count=1)


def numbered(path: Path) -> list[int]:
    """Return the numbers for which there is a file of a name such as "f%03d.png"."""
    before, _, after = NUMBERED.split(path.name, maxsplit=1)
    if "%" in before + after or not os.path.isdir(path.parent):  # noqa: PTH112
        return []
    names = [name.name for name in path.parent.glob(f"{glob.escape(before)}*{glob.escape(after)}")]
    middles = (name[len(before) : len(name) - len(after)] for name in names)
    numbers = (int(digits) for digits in middles if re.fullmatch(r"[0-9]{1,18}", digits))
    return [n for n in numbers if os.path.isfile(path.with_name(picture_name(path.name, n)))]  # noqa: PTH113


def _numbered(path: Path) -> Input:
    """Return the pictures of a name such as "f%03d.png", from the lowest number on."""
    numbers = sorted(numbered(path))
    if not numbers:
        raise SourceError(f"{path}: does not exist, neither as a file nor as numbered pictures")
    if gap := next((a + 1 for a, b in pairwise(numbers) if b != a + 1), None):
        last = picture_name(path.name, numbers[-1])
        raise SourceError(
            f"{path}: the numbers have a gap, {picture_name(path.name, gap)} is missing and there are more up to {last}"
        )
    return Input(path, str(path), min(numbers))


def _readable(path: Path) -> str:
    """Return a name of the file that is UTF-8: a link to it, where its own name is not."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24] + path.suffix.encode("ascii", "ignore").decode()
        link = indexes_dir() / name
        if not (link.is_symlink() and link.readlink() == path):
            link.unlink(missing_ok=True)
            try:
                link.symlink_to(path)
            except OSError:
                shutil.copyfile(path, link)
        return str(link)
    return str(path)


@dataclass
class Joins:
    """Tells, packet by packet, to which of several joined recordings it belongs.

    starts: where each part begins in the file, in bytes. ahead: seconds by which its times must jump ahead.
    """

    ahead: float = AHEAD

    starts: list[int] = field(default_factory=lambda: [0])
    last: dict[int, float] = field(default_factory=dict)
    part: dict[int, int] = field(default_factory=dict)

    def part_of(self, packet: Any, base: float, *, sparse: bool) -> int:
        """Return the part's number. base: seconds per tick; sparse: gaps mean nothing, as in subtitles."""
        index = packet.stream_index
        before = part = self.part.get(index, 0)
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return part
        at = packet.pos if packet.pos is not None and packet.pos >= 0 else None
        if sparse:
            if at is not None:
                part = max(part, sum(start <= at for start in self.starts) - 1)
            self.part[index] = part
            return part
        moment = time * base
        last = self.last.get(index)
        if last is not None and (moment < last - BACK or moment > last + self.ahead):
            part += 1
            if part == len(self.starts):
                self.starts.append(self.starts[-1] + 1 if at is None else at)
            elif at is not None:
                part = max(part, sum(start <= at for start in self.starts) - 1)
            self.part[index] = part
        # A packet without dts is timed by its pts. B-frames put these out of order: they may only begin a part.
        if packet.dts is not None or last is None or part != before:
            self.last[index] = moment
        return part


def packets(container: InputContainer) -> Iterator[tuple[Any, int]]:
    """Return every packet of a file that has data, with the number of the recording that it belongs to."""
    joined = container.format.name.startswith(JOINED)
    jumps = bool(container.format.flags & JUMPS) or joined
    joins = Joins(ahead=math.inf if joined else AHEAD)
    timed = (stream for stream in container.streams if stream.time_base)
    bases = {stream.index: float(seconds_per_tick(stream.time_base)) for stream in timed}
    sparse = {stream.index for stream in container.streams if stream.type not in ("video", "audio")}
    for packet in container.demux():
        if packet.size:
            index = packet.stream_index
            part = joins.part_of(packet, bases.get(index, 0.0), sparse=index in sparse) if jumps else 0
            yield packet, part
