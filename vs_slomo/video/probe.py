"""What a video file says of itself, read with PyAV: streams, times, orientation, chapters, tags.

Source filters differ in what they make of a file (rotation, hidden frames, the rate). The container is the one
account that they are all held to. The file is read once; only the first frames are decoded.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vs_slomo.errors import SourceError
from vs_slomo.timing.timecodes import Timecodes

from .clock import Input, find_input
from .contents import NO_INDEX, Chapter, Contents, Pictures, Stream, read_contents
from .ffmpeg import ffmpeg, last_lines, run
from .looks import UPRIGHT, Looks, Orientation, look
from .rates import STEADY, average, deviation, prevailing

__all__ = ["UPRIGHT", "Chapter", "Container", "Orientation", "Stream", "ffmpeg", "last_lines", "probe", "run"]

log = logging.getLogger("vs_slomo")

HELD = Fraction(1, 5)
"""A last frame that lasts more seconds than this, and more than two usual ones, makes a rate variable."""
ANIMATIONS = ("gif", "apng", "webp", "webp_pipe", "webp_anim")
"""Formats in which each picture has a duration of its own."""
CUT_OFF = re.compile("partial file|ended prematurely")


@dataclass(frozen=True, eq=False)
class Container:
    """What a file holds.

    video: the stream's index: the first one that is no cover picture. elsewhere: streams of other programs, and those.
    times: of the shown frames, ascending, in units of `time_base` seconds of the file's clock.
    shown: of all frames in their order, whether they are shown.
    sar: sample aspect ratio; None where it is not known.
    announced: the rate that the header gives; 0 where it gives none.
    pts, clock: of all frames, the times as written, and by the file's clock (see `clock`).
    end: when the last frame ends by that clock, in the same units; None where the file does not tell.
    offsets: seconds by which each of the joined recordings is moved. sound, sound_end: where there is sound.
    sound_begins: when each track of sound begins. bytes_beside: size of sound and subtitles.
    looks: what the first frame says. tags: the file's own.
    """

    path: Path  # absolute
    streams: tuple[Stream, ...]
    video: int
    times: NDArray[np.int64]
    time_base: Fraction
    shown: NDArray[np.bool_]
    sar: Fraction | None
    orientation: Orientation
    announced: float = 0.0
    pts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    clock: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    end: int | None = None
    offsets: tuple[Fraction, ...] = (Fraction(0),)
    sound: Fraction | None = None
    sound_end: Fraction | None = None
    sound_begins: Mapping[int, Fraction] = field(default_factory=dict)
    bytes_beside: int = 0
    looks: Looks = field(default_factory=Looks)
    tags: Mapping[str, str] = field(default_factory=dict)
    chapter_list: tuple[Chapter, ...] = ()
    damaged: bool = False
    format: str = ""
    input: Input | None = None
    allow_playlist: bool = False
    elsewhere: tuple[tuple[Stream, str], ...] = ()

    @property
    def readable(self) -> str:
        """A name of the file that every library takes."""
        return self.input.readable if self.input else str(self.path)

    @property
    def start(self) -> Fraction:
        """Seconds from the file's start, the first sound or picture, to the first shown frame."""
        return self.first - min(self.first, self.first if self.sound is None else self.sound)

    @property
    def first(self) -> Fraction:
        """The first shown frame's time by the file's clock, in seconds."""
        return int(self.times[0]) * self.time_base

    @cached_property
    def rate(self) -> Fraction | None:
        """The average rate, exact; None for a single frame.

        A container rounds its times to ticks of the time base (Matroska: to milliseconds), cameras do so once more.
        Where all of them are what a usual rate would be rounded to, it is that rate.
        """
        return average(self.times, self.time_base, self.announced)

    @cached_property
    def prevailing(self) -> Fraction | None:
        """The rate at which most frames follow each other: the average where it is constant."""
        return prevailing(self.times, self.time_base, self.announced) if self.variable else self.rate

    @property
    def deviation(self) -> float:
        """By how many seconds frames are off their places at the average rate, at the most."""
        return 0.0 if self.rate is None else deviation(self.times, self.time_base, self.rate)

    @property
    def variable(self) -> bool:
        """Whether the frames are visibly off a constant rate, or the last one is held."""
        return self.rate is not None and (self.deviation * float(self.rate) > STEADY or self._held)

    @property
    def lasts(self) -> int:
        """How many ticks the last frame lasts: as long as most do, unless the file tells more and can be believed."""
        if self.end is None or self.end - int(self.times[-1]) <= self._usual:
            return self._usual
        heard = self.sound_end is not None and self.sound_end >= self.end * self.time_base - HELD
        # Writers that change times leave MP4's last duration as it was: it counts where the sound lasts as long.
        return self.end - int(self.times[-1]) if heard or self.format in ANIMATIONS else self._usual

    @cached_property
    def _usual(self) -> int:
        """How many ticks most frames last."""
        return max(1, round(float(np.median(np.diff(self.times))))) if len(self.times) > 1 else 1

    @property
    def _held(self) -> bool:
        seconds = self.lasts * self.time_base
        return self.rate is not None and seconds > HELD and seconds * self.rate > 2

    @property
    def timecodes(self) -> Timecodes:
        """When each frame is shown, counted from the first. A tick up to a millisecond long is a rounding."""
        rounding = self.time_base / 2 if self.time_base <= Fraction(1, 1000) else Fraction(0)
        codes = Timecodes.starting(self.times.tolist(), self.time_base, rounding, self.lasts)
        return replace(codes, pace=self._usual)

    def of_kind(self, kind: Literal["audio", "subtitle", "attachment", "video", "data"]) -> tuple[Stream, ...]:
        """Return the streams of one kind."""
        return tuple(s for s in self.streams if s.kind == kind)

    def chapters(self) -> tuple[tuple[str, ...], tuple[Chapter, ...]]:
        """Return the file's own tags, as "key=value", and its chapters."""
        return tuple(f"{key}={value}" for key, value in self.tags.items()), self.chapter_list


def probe(path: str | os.PathLike[str], *, allow_playlist: bool = False) -> Container:
    """Read what a video file, or a set of numbered pictures ("f%03d.png"), holds.

    The file is read once, its first frames are decoded. allow_playlist: see `playlists`.
    Raises SourceError where it is missing, empty, cut off, no video or shows no frame, and ArgumentError for what is no
    file's name.
    """
    given = find_input(path, allow_playlist=allow_playlist)
    read = read_contents(given)
    streams, errors, pictures = read.streams, read.errors, read.pictures
    if read.failed == NO_INDEX and _begins_as_mp4(given):
        raise SourceError(f"{path}: is cut off, or was not recorded to its end: its index (moov) is missing")
    if read.failed or not streams or read.format == "tty":
        raise SourceError(f"{path}: is not a video ({read.failed or (errors[0] if errors else 'text')})")
    if read.video >= 0 and pictures is None:
        raise SourceError(f"{path}: is in a video format that no decoder here knows")
    if read.video < 0 or pictures is None:
        raise SourceError(f"{path}: holds no video, only {', '.join(sorted({s.kind for s in streams}))}")
    if cut := [error for error in errors if CUT_OFF.search(error)]:
        raise SourceError(
            f"{path}: is cut off, its end is missing ({cut[-1]}); to use what is there: "
            f'ffmpeg -i "{given.path.name}" -c copy rest.mkv'
        )
    if not len(pictures.pts):
        raise SourceError(f"{path}: holds no frame ({errors[-1] if errors else 'the video stream is empty'})")
    if not pictures.shown.any():
        raise SourceError(f"{path}: shows no frame; an edit list in the file hides all {len(pictures.pts)}")
    if errors:
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        log.warning("%s: damaged? %s%s", given.path.name, errors[0], more)
    looks = look(given, read.video, given.path.name)
    return _container(given, read, looks, pictures, allow_playlist=allow_playlist)


def _begins_as_mp4(given: Input) -> bool:
    with given.path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"wide", b"free", b"skip")


def _container(given: Input, read: Contents, looks: Looks, pictures: Pictures, *, allow_playlist: bool) -> Container:
    return Container(
        path=given.path,
        streams=read.streams,
        video=read.video,
        times=pictures.clock[pictures.shown],
        time_base=read.time_base,
        shown=pictures.shown,
        sar=read.sar,
        orientation=looks.orientation,
        announced=read.announced,
        pts=pictures.pts,
        clock=pictures.clock,
        end=read.end,
        offsets=read.offsets,
        sound=read.sound,
        sound_end=read.sound_end,
        sound_begins=read.sound_begins,
        bytes_beside=read.bytes_beside,
        looks=looks,
        tags=read.tags,
        chapter_list=read.chapters,
        damaged=bool(read.errors) or read.corrupt,
        format=read.format,
        input=given,
        allow_playlist=allow_playlist,
        elsewhere=read.elsewhere,
    )
