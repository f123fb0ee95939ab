"""All that is read of a video file: its streams, tags and chapters, and the times of its pictures."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .clock import Input, packets, pyav, seconds_per_tick
from .hidden import HIDDEN
from .last import Last
from .programs import other_programs

if TYPE_CHECKING:
    from av.container import InputContainer

ATTACHED_PICTURE = 1 << 10
"""AV_DISPOSITION_ATTACHED_PIC."""
NO_INDEX = "moov atom not found"
"""The index, which MP4 cannot be read without, stands at the end of most files."""
WITH_PROGRAMS = ("mpegts", "hls")


@dataclass(frozen=True)
class Stream:
    """One stream of a file; `index` counts over all kinds. kind and codec are ffmpeg's names.

    tags: its own, as the file has them. disposition: ffmpeg's flags. attached: an attachment's name and media type.
    channels: how many the sound has; 0 where that is not known.
    """

    index: int
    kind: str
    codec: str
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)
    disposition: int = field(default=0, compare=False)
    attached: tuple[str, str] = field(default=("", ""), compare=False)
    channels: int = field(default=0, compare=False)

    @property
    def cover(self) -> bool:
        """Whether it is a cover picture, not a film."""
        return self.kind == "video" and bool(self.disposition & ATTACHED_PICTURE)

    @property
    def name(self) -> str:
        """What a message calls it."""
        codec = self.tags.get("handler_name", self.codec) if self.kind == "data" else self.codec
        about = [codec, *filter(None, (self.tags.get("language"), self.tags.get("title")))]
        return f"{self.kind} (stream {self.index}, {', '.join(about)})"


@dataclass(frozen=True)
class Chapter:
    """A chapter, in seconds of the file's clock; `tags` are "key=value"."""

    start: Fraction
    end: Fraction
    tags: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Pictures:
    """The packets of the film, in the order in which their pictures are shown.

    pts: as written, in ticks. clock: by the file's clock (see `clock`). shown: whether they are shown.
    """

    pts: NDArray[np.int64]
    clock: NDArray[np.int64]
    shown: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds. failed: why it could not be opened. errors: what the reader complained of.

    video: the index of the film; -1 where there is none. elsewhere: streams of other programs, and those.
    end, offsets, sound, sound_end, bytes_beside: see `probe.Container`.
    """

    failed: str = ""
    errors: tuple[str, ...] = ()
    format: str = ""
    streams: tuple[Stream, ...] = ()
    elsewhere: tuple[tuple[Stream, str], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    video: int = -1
    time_base: Fraction = Fraction(1)
    sar: Fraction | None = None
    announced: float = 0.0
    pictures: Pictures | None = None
    end: int | None = None
    offsets: tuple[Fraction, ...] = (Fraction(0),)
    sound: Fraction | None = None
    sound_end: Fraction | None = None
    sound_begins: Mapping[int, Fraction] = field(default_factory=dict)
    bytes_beside: int = 0
    corrupt: bool = False


def read_contents(given: Input) -> Contents:
    """Read a file from its beginning to its end, without decoding. Raises SourceError where PyAV is missing."""
    av = pyav()
    with _complaints() as errors:
        try:
            container = given.open()
        except (av.FFmpegError, UnicodeError, ValueError) as error:
            return Contents(failed=_said(error, errors()))
        with container:
            streams = tuple(map(_stream, container.streams))
            films = [s for s in streams if s.kind == "video" and not s.cover]
            known = [s for s in films if s.codec != "unknown"]
            film = next((s.index for s in known or films), -1)
            several = container.format.name in WITH_PROGRAMS and len(streams) > 2
            others = other_programs(given.readable, film) if several else {}
            about = Contents(
                format=container.format.name,
                streams=tuple(s for s in streams if s.index not in others),
                elsewhere=tuple((s, others[s.index]) for s in streams if s.index in others),
                tags=dict(container.metadata),
                chapters=tuple(_chapters(container)),
                video=film,
            )
            if not known:
                return about
            return _with_packets(container, about, errors)


def _said(error: Exception, errors: list[str]) -> str:
    """Return what the reader said of a file that it cannot open."""
    log = getattr(error, "log", None)
    if log and "mp4" in log[1] and (isinstance(error, EOFError) or "moov atom" in log[2]):
        return NO_INDEX
    if log:
        return str(log[2]).strip()
    return errors[-1] if errors else str(error).splitlines()[0]


@contextmanager
def _complaints() -> Iterator[Callable[[], list[str]]]:
    """Gather what libavformat reports as errors: the function given returns them."""
    import av.logging

    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as captured:
            yield lambda: [" ".join(text.split()) for level, _, text in captured if level <= av.logging.ERROR]
    finally:
        av.logging.set_level(before)


def _stream(stream: Any) -> Stream:
    context = stream.codec_context
    tags, attached = dict(stream.metadata), ("", "")
    if stream.type == "attachment":
        attached = (tags.get("filename", ""), tags.get("mimetype", "") or str(stream.mimetype or ""))
        ending = attached[0].rpartition(".")[2].lower() or (mimetypes.guess_extension(attached[1]) or ".?")[1:]
        codec = ending
    else:
        codec = _codec(context) if context is not None else "unknown"
    channels = channel_count(context) if stream.type == "audio" else 0
    return Stream(stream.index, stream.type or "unknown", codec, tags, int(stream.disposition), attached, channels)


def channel_count(context: Any) -> int:
    """Return how many channels a sound has; 0 where its decoder is not known."""
    try:
        return int(context.layout.nb_channels)
    except (AttributeError, ValueError, TypeError):
        return 0


def _codec(context: Any) -> str:
    """Return ffmpeg's name of a codec, not of one of its decoders."""
    try:
        return str(context.codec.canonical_name)
    except (AttributeError, ValueError):
        return str(getattr(context, "name", None) or "unknown")


def _chapters(container: InputContainer) -> Iterator[Chapter]:
    for chapter in container.chapters():
        base = seconds_per_tick(chapter["time_base"])
        tags = tuple(f"{key}={value}" for key, value in chapter["metadata"].items())
        yield Chapter(chapter["start"] * base, chapter["end"] * base, tags)


@dataclass
class Sound:
    """Where a sound track begins in each of the joined recordings, and ends."""

    begin: dict[int, Fraction] = field(default_factory=dict)
    end: dict[int, Fraction] = field(default_factory=dict)


def _with_packets(container: InputContainer, about: Contents, errors: Callable[[], list[str]]) -> Contents:
    import av

    film: Any = container.streams[about.video]
    base = seconds_per_tick(film.time_base)
    hides = HIDDEN.get(next(s.codec for s in about.streams if s.index == about.video))
    own = {stream.index for stream in about.streams}
    rows: list[Row] = []
    sounds: dict[int, Sound] = {}
    beside, corrupt, broken = 0, False, list[str]()
    last = Last()
    try:
        for packet, part in packets(container):
            kind = packet.stream.type if packet.stream_index in own else ""
            if packet.stream_index == about.video:
                shown = not packet.is_discard and not (hides and hides(packet))
                if shown and packet.pts is not None and about.format not in NO_PTS:
                    last.see(part, packet.pts, packet.duration or 0)
                corrupt = corrupt or packet.is_corrupt
                rows.append((part, packet.pts, packet.dts, shown))
            elif kind == "audio":
                beside += packet.size
                _hear(sounds.setdefault(packet.stream_index, Sound()), packet, part)
            elif kind == "subtitle":
                beside += packet.size
    except av.FFmpegError as error:  # the rest cannot be read
        broken, corrupt = [str(error)], True
    rate = film.guessed_rate or film.base_rate or film.average_rate
    step = round(1 / (seconds_per_tick(rate) * base)) if rate else round(1 / (25 * base))
    pictures, offsets = _in_order(_timed(rows, step, guessed=about.format in NO_PTS), base, sounds)
    first = [sound.begin[0] for sound in sounds.values() if 0 in sound.begin]
    ends = [end + offsets[min(part, len(offsets) - 1)] for sound in sounds.values() for part, end in sound.end.items()]
    sar = film.sample_aspect_ratio or film.codec_context.sample_aspect_ratio
    return Contents(
        errors=(*errors(), *broken),
        format=about.format,
        streams=about.streams,
        elsewhere=about.elsewhere,
        tags=about.tags,
        chapters=about.chapters,
        video=about.video,
        time_base=base,
        sar=seconds_per_tick(sar) if sar and sar.numerator > 0 and sar.denominator > 0 else None,
        announced=float(rate) if rate else 0.0,
        pictures=pictures,
        end=last.end(offsets, base),
        offsets=offsets,
        sound=min(first, default=None),
        sound_end=max(ends, default=None),
        sound_begins={index: sound.begin[0] for index, sound in sounds.items() if 0 in sound.begin},
        bytes_beside=beside,
        corrupt=corrupt,
    )


def _hear(sound: Sound, packet: Any, part: int) -> None:
    """Note where a packet of sound begins and ends: what a decoder skips at the start is not heard."""
    time = packet.pts if packet.pts is not None else packet.dts
    base = packet.time_base
    if time is None:
        return
    if part not in sound.begin:
        if packet.is_discard:
            return
        skipped = Fraction(0)
        if packet.has_sidedata("skip_samples"):
            samples = int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")
            skipped = Fraction(samples, packet.stream.codec_context.sample_rate or 48000)
        sound.begin[part] = time * seconds_per_tick(base) + skipped
    sound.end[part] = Fraction((time + (packet.duration or 0)) * base.numerator, base.denominator)


NO_PTS = ("avi",)
"""Formats without times of presentation."""
Row = tuple[int, int | None, int | None, bool]
"""Part, time of presentation, time of decoding, whether it is shown."""


def _timed(rows: list[Row], step: int, *, guessed: bool) -> list[tuple[int, int, bool]]:
    """Return part, time and whether it is shown, of the packets that have a time.

    step: ticks from frame to frame. guessed: whether the file has no presentation times, so that they are guessed.

    AVI and raw streams have no times of presentation, or none at all: the decoding times are as far apart, but early.
    A few packets without a time are second fields, or parts of a picture.
    """
    known = [(part, pts, shown) for part, pts, _, shown in rows if pts is not None]
    if not guessed and known and len(known) >= 0.4 * len(rows):
        before = next(n for n, row in enumerate(rows) if row[1] is not None)
        earliest = min(pts for _, pts, _ in known)  # Matroska's reader tells no times below zero
        return [(rows[n][0], earliest - (before - n) * step, rows[n][3]) for n in range(before)] + known
    decoded = [(part, dts, shown) for part, _, dts, shown in rows if dts is not None]
    if decoded and guessed:  # places in the file, from its beginning
        if len(decoded) > 2:  # that the picture begins late, the format can only tell by a gap behind the first one
            part, begins, shown = decoded[0]
            usual = int(np.median(np.diff([dts for _, dts, _ in decoded[1:]])))
            decoded[0] = (part, max(begins, decoded[1][1] - usual), shown)
        return decoded
    if decoded:
        early = decoded[0][1]
        return [(part, dts - early, shown) for part, dts, shown in decoded]
    return [(part, n * step, shown) for n, (part, _, _, shown) in enumerate(rows)]


OVERLAP = Fraction(15, 100)
"""Seconds of sound that may be lost where two recordings are joined."""


def _overlap(sounds: Mapping[int, Sound], part: int, before: Fraction, offset: Fraction) -> Fraction:
    """Return for how long the sound of a part, moved by `offset`, begins before that of the part before it ends."""
    ends = [sound.end[part - 1] + before for sound in sounds.values() if part - 1 in sound.end]
    begins = [sound.begin[part] + offset for sound in sounds.values() if part in sound.begin]
    return max(ends) - min(begins) if ends and begins else Fraction(0)


def _in_order(
    rows: list[tuple[int, int, bool]], base: Fraction, sounds: Mapping[int, Sound]
) -> tuple[Pictures, tuple[Fraction, ...]]:
    """Return the pictures as they are shown, and by how much each part is moved so that the picture goes on."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    parts, pts, shown = table[:, 0], table[:, 1], table[:, 2].astype(np.bool_)
    offsets = [Fraction(0)]
    clock = pts.copy()
    for part in range(1, int(parts.max(initial=0)) + 1):
        here, before = pts[parts == part], clock[parts == part - 1]
        offset = offsets[-1]
        if len(here) and len(before):
            step = int(np.median(np.diff(before))) if len(before) > 1 else 1
            offset = (int(before[-1]) + step - int(here[0])) * base
            overlap = _overlap(sounds, part, offsets[-1], offset)
            if overlap > OVERLAP:  # then the picture waits for the sound, whole frames
                offset += -int(-overlap // (step * base)) * step * base
        else:  # a part without a picture: the sound goes on
            ends = [sound.end[part - 1] for sound in sounds.values() if part - 1 in sound.end]
            begins = [sound.begin[part] for sound in sounds.values() if part in sound.begin]
            if ends and begins:
                offset += max(ends) - min(begins)
        offsets.append(offset)
        clock[parts == part] = here + round(offset / base)
    return Pictures(pts, clock, shown), tuple(offsets)
