"""What a video file says of itself, read with ffmpeg without decoding: streams, times, orientation, chapters.

Source filters differ in what they make of a file (rotation, hidden frames, the rate). The container is the one
account that they are all held to.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import struct
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.timing.timecodes import Timecodes

log = logging.getLogger("vs_slomo")

Orientation = tuple[int, int, int, int]
"""a, b, c, d in {-1, 0, 1}: a picture's point (x, y) is shown at (a·x + c·y, b·x + d·y), but for a shift."""

UPRIGHT: Orientation = (1, 0, 0, 1)
DISCARD = 4
"""AV_PKT_FLAG_DISCARD: decoded, not shown (cut away by an edit list)."""
VARIABLE = 0.25
"""Frames this far, in frames, from their place at a constant rate make a file variable."""
NO_TIME = -(2**63)
"""AV_NOPTS_VALUE."""
PICTURE = "(attached pic)"
ROUNDING = 1e-4
"""Seconds by which times are off where a time base is finer than what made them."""
CONSEQUENCE = re.compile(
    "Task finished|Terminating thread|Nothing was written|Could not open encoder before|Conversion failed"
    "|Error (closing|muxing|submitting|sending|while filtering|writing trailer)"
)
CUT_OFF = re.compile("partial file|ended prematurely")


@dataclass(frozen=True)
class Stream:
    """One stream of a file; `index` counts over all kinds. kind and codec are ffmpeg's names."""

    index: int
    kind: str
    codec: str


@dataclass(frozen=True)
class Chapter:
    """A chapter in seconds from the file's start; `tags` are its FFMETADATA lines."""

    start: Fraction
    end: Fraction
    tags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Container:
    """What a file holds.

    video: the stream's index: the first one that is no cover picture.
    times: of the shown frames, ascending, in units of `time_base` seconds from the file's start.
    shown: of all frames in their order, whether they are shown.
    sar: sample aspect ratio; None where it is not known.
    announced: the rate that the header gives, to two digits; 0 where it gives none.
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

    @property
    def start(self) -> Fraction:
        """Seconds from the file's start to the first shown frame."""
        return int(self.times[0]) * self.time_base

    @cached_property
    def rate(self) -> Fraction | None:
        """The average rate, exact; None for a single frame.

        A container rounds its times to ticks of the time base (Matroska: to milliseconds), cameras do so once more.
        Where all of them are what a whole rate, or one over 1.001, would be rounded to, it is that rate.
        """
        if len(self.times) < 2 or self.times[0] == self.times[-1]:
            return None
        mean = Fraction(len(self.times) - 1, int(self.times[-1] - self.times[0])) / self.time_base
        whole = max(1, round(mean))
        tolerance = max(float(2 * self.time_base), ROUNDING)
        near = [rate for rate in (Fraction(whole), Fraction(whole * 1000, 1001)) if self._spread(rate) < tolerance]
        # Few frames fit both; then what the container announces decides.
        return min(near, key=lambda rate: (abs(rate - self.announced) > 0.01, self._spread(rate)), default=mean)

    @property
    def deviation(self) -> float:
        """By how many seconds frames are off their places at the average rate, at the most."""
        return 0.0 if self.rate is None else self._spread(self.rate) / 2

    @property
    def variable(self) -> bool:
        """Whether the frames are visibly off a constant rate."""
        return self.rate is not None and self.deviation * float(self.rate) > VARIABLE

    @property
    def timecodes(self) -> Timecodes:
        """When each frame is shown, counted from the first. A tick up to a millisecond long is a rounding."""
        rounding = self.time_base / 2 if self.time_base <= Fraction(1, 1000) else Fraction(0)
        return Timecodes.starting(self.times.tolist(), self.time_base, rounding)

    def _spread(self, rate: Fraction) -> float:
        """By how many seconds the frames' offsets from a constant rate differ."""
        offsets = self.times - np.arange(len(self.times)) / float(rate * self.time_base)
        return float(np.ptp(offsets)) * float(self.time_base)

    def of_kind(self, kind: Literal["audio", "subtitle", "attachment"]) -> tuple[Stream, ...]:
        """Return the streams of one kind."""
        return tuple(s for s in self.streams if s.kind == kind)

    def chapters(self) -> tuple[tuple[str, ...], tuple[Chapter, ...]]:
        """Return the file's own tags, as FFMETADATA lines, and its chapters."""
        text = run(["-v", "error", "-i", str(self.path), "-f", "ffmetadata", "-"]).stdout.decode(errors="replace")
        head, *sections = re.split(r"^\[", "\n".join(text.splitlines()[1:]), flags=re.MULTILINE)
        chapters = []
        for section in sections:
            kind, *lines = section.splitlines()
            if kind != "CHAPTER]":
                continue
            facts = dict(line.split("=", 1) for line in lines[:3])
            base = Fraction(facts["TIMEBASE"])
            chapters.append(Chapter(int(facts["START"]) * base, int(facts["END"]) * base, tuple(lines[3:])))
        return tuple(head.splitlines()), tuple(chapters)


def ffmpeg() -> str:
    """Return the ffmpeg to run: the one on PATH, else the one that the package imageio-ffmpeg carries.

    Raises SourceError where there is none.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise SourceError("no ffmpeg found: install it, or the package imageio-ffmpeg (extra: cli)") from None


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end and return what it wrote."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


def last_lines(text: str, count: int = 3) -> str:
    """Return the end of what ffmpeg said, in one line, without what follows from every failure."""
    lines = [re.sub(r" @ 0x\w+", "", line.strip()) for line in text.splitlines() if not CONSEQUENCE.search(line)]
    return "; ".join([line for line in lines if line][-count:])


def probe(path: str | os.PathLike[str]) -> Container:
    """Read what a video file holds.

    The file is read once, nothing is decoded. Raises SourceError where it is missing, empty, cut off or no video, and
    ArgumentError for what is no file's name.
    """
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ArgumentError("path", path, "the name of a video file")
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: {'is not a file' if path.exists() else 'does not exist'}")
    if not path.stat().st_size:
        raise SourceError(f"{path}: is empty")
    path = path.absolute()  # a name such as "10:30.mp4" would be a protocol, "-a.mp4" an option
    done = run(["-v", "level+info", "-i", str(path), "-map", "0:V:0", "-c", "copy", "-f", "framecrc", "-"])
    said = done.stderr.decode(errors="replace")
    # From the start of the line: a file's tags are in this text too.
    errors = re.findall(r"^(?:\[[^]]*\] )?\[(?:error|fatal)\] (.*)", said, flags=re.MULTILINE)
    about = re.split(r"^\[info\] (?:Stream mapping:|Output #0)", said, flags=re.MULTILINE)[0]
    lines = re.findall(r"^\[info\] +Stream #0:(\d+)\S*: (\w+): (\w+)(.*)", about, flags=re.MULTILINE)
    streams = tuple(Stream(int(index), kind.lower(), codec) for index, kind, codec, _ in lines)
    video = {int(index): rest for index, kind, _, rest in lines if kind == "Video" and PICTURE not in rest}
    first = min(video, default=0)
    announced = re.search(r"([\d.]+) tbr", video.get(first, ""))
    if not streams or "Input #0, tty" in about:
        raise SourceError(f"{path}: is not a video ({errors[0] if errors else 'text'})")
    if not video:
        raise SourceError(f"{path}: holds no video, only {', '.join(sorted({s.kind for s in streams}))}")
    if any(CUT_OFF.search(error) for error in errors):
        raise SourceError(
            f"{path}: is cut off, its end is missing ({errors[-1]}); to use what is there: "
            f'ffmpeg -i "{path.name}" -c copy rest.mkv'
        )
    header, packets = _packets(done.stdout.decode())
    if not len(packets):
        raise SourceError(f"{path}: holds no frame ({errors[-1] if errors else 'the video stream is empty'})")
    if errors:
        log.warning("%s: damaged? %s%s", path.name, errors[0], f" (and {len(errors) - 1} more)" if errors[1:] else "")
    times, flags = packets[np.argsort(packets[:, 0], kind="stable")].T
    shown = flags & DISCARD == 0
    sar, _, sar_den = header["sar"].partition("/")
    return Container(
        path=path,
        streams=streams,
        video=first,
        times=times[shown],
        time_base=Fraction(header["tb"]),
        shown=shown,
        sar=Fraction(int(sar), int(sar_den)) if int(sar) and int(sar_den) else None,
        orientation=_orientation(path) if re.search("display ?matrix", about, flags=re.IGNORECASE) else UPRIGHT,
        announced=float(announced[1]) if announced else 0.0,
    )


def _packets(text: str) -> tuple[dict[str, str], NDArray[np.int64]]:
    """Return the header of ffmpeg's `framecrc` output, and (time, flags) of each packet.

    Its lines: stream, decoding time, presentation time, duration, size, checksum, and flags unless they are the
    usual ones. Raw streams and AVI have no presentation times; the decoding times are as far apart, but early.
    """
    header = dict(re.findall(r"^#(\w+) 0: (.*)", text, flags=re.MULTILINE))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    flags = [int(found[1], 16) if (found := re.search(r" F=0x(\w+)", line)) else 0 for line in lines]
    fields = [line.split(",", 3) for line in lines]
    decoding, presentation = (np.array([int(field[i]) for field in fields], dtype=np.int64) for i in (1, 2))
    if np.any(presentation == NO_TIME):
        presentation = decoding - decoding[:1]
    return header, np.stack((presentation, np.array(flags, dtype=np.int64)), axis=1)


def _orientation(path: Path) -> Orientation:
    """Return how the picture is turned and mirrored to be shown.

    ffmpeg prints the angle alone. So one packet is copied into an MP4 or MOV header, whose track header holds the
    whole matrix at a fixed place.
    """
    for muxer in ("mp4", "mov"):
        copy = ["-map", "0:V:0", "-c", "copy", "-frames:v", "1", "-f", muxer, "-movflags", "empty_moov+frag_keyframe"]
        header = run(["-v", "error", "-i", str(path), *copy, "-"]).stdout
        if (at := header.find(b"tkhd")) >= 0:
            matrix = at + 4 + (52 if header[at + 4] == 1 else 40)
            a, b, _, c, d = struct.unpack_from(">5i", header, matrix)
            turned = tuple(round(x / 65536) for x in (a, b, c, d))
            if abs(turned[0] * turned[3] - turned[1] * turned[2]) == 1:
                return turned
    log.warning("%s: is turned by what is no multiple of 90 degrees, and is shown as it is", path.name)
    return UPRIGHT
