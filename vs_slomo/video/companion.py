"""Sound and subtitles on the film's clock: copied from the source into a Matroska file that ffmpeg reads beside it.

ffmpeg itself takes a file's beginning from the streams that it is told to read, and mends jumps stream by stream: the
picture and the sound would each have a clock of their own. Here, all packets are moved by the same amount.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from vs_slomo.errors import RenderError

from .clock import packets, seconds_per_tick
from .contents import Stream
from .probe import Container

MARGIN = 10
"""Seconds added to all times in the companion: Matroska has none below zero."""
WARM_UP = Fraction(1, 2)
"""Seconds of sound before a part that are handed over where it is decoded anyway."""
TEXT_LASTS = 5
"""Seconds for which a line without an end is shown."""


@dataclass(frozen=True)
class Part:
    """The part of the source that is taken, in seconds of its clock.

    zero: what becomes the beginning. end: None is the end of the file. stretch: how many times as long it takes.
    whole: whether what lies before `zero` is kept as well.
    begins: when tracks start, for a container that cannot mark a beginning that players skip.
    """

    zero: Fraction
    end: Fraction | None
    stretch: Fraction
    whole: bool
    begins: Mapping[int, Fraction] = field(default_factory=dict)


def carriage(file: Container, stream: Stream) -> str:
    """Return how a stream gets into the companion: "packets", "samples" (decoded sound), "lines" (text), or "" if not.

    What Matroska has no name for is decoded; what cannot be decoded either is left out.
    """
    import av

    if file.input is None or stream.codec in ("unknown", "none"):
        return ""
    with file.input.open() as given:
        source = given.streams[stream.index]
        try:
            with av.open(io.BytesIO(), "w", format="matroska") as trial:
                if stream.kind == "subtitle" and stream.codec in LINES:
                    return "lines"
                trial.add_stream_from_template(source)
                trial.start_encoding()
        except (av.FFmpegError, ValueError, RuntimeError):
            pass
        else:
            return "packets"
        context = source.codec_context
        if stream.kind == "audio" and context is not None and _sounds(context):
            return "samples"
        return ""


def _sounds(context: Any) -> bool:
    """Return whether a decoder knows its rate and its channels."""
    try:
        return bool(context.sample_rate > 0 and context.layout.nb_channels > 0)
    except (AttributeError, ValueError, TypeError):
        return False


LINES = ("mov_text",)
"""Text that Matroska does not hold as it is."""


def write_companion(
    file: Container, chosen: dict[int, str], part: Part, path: Path, check: Callable[[], None]
) -> set[int]:
    """Write the chosen streams, by index, in the order given, each by its carriage; return those that have packets.

    Raises RenderError. check: called again and again; what it raises ends the work.
    """
    import av

    if file.input is None:
        raise RenderError("the source file is not known")
    try:
        with file.input.open() as source, av.open(str(path), "w", format="matroska") as target:
            writers = {
                index: WRITERS[how](source.streams[index], target, part, decoded=how != "packets")
                for index, how in chosen.items()
            }
            target.start_encoding()
            done, filled = set[int](), set[int]()
            for packet, which in packets(source):
                check()
                writer = writers.get(packet.stream_index)
                if writer is None:
                    done = _past(done, packet, file, part, which)
                    if done >= {file.video, *writers} - set(_sparse(source, writers)):
                        break
                    continue
                time = packet.pts if packet.pts is not None else packet.dts
                if time is None:
                    continue
                moment = time * seconds_per_tick(packet.time_base) + _offset(file, which)
                if part.end is not None and moment >= part.end:
                    done.add(packet.stream_index)
                    if done >= {file.video, *writers} - set(_sparse(source, writers)):
                        break
                    continue
                index = packet.stream_index  # writing gives the packet another one
                for made in writer.packets(packet, moment):
                    target.mux(made)
                    filled.add(index)
            for index, writer in writers.items():
                for made in writer.rest():
                    target.mux(made)
                    filled.add(index)
            return filled
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        raise RenderError(f"sound and subtitles cannot be read: {str(error).splitlines()[0]}") from error


def _sparse(source: Any, writers: dict[int, Any]) -> Iterator[int]:
    return (index for index in writers if source.streams[index].type == "subtitle")


def _offset(file: Container, part: int) -> Fraction:
    return file.offsets[min(part, len(file.offsets) - 1)]


def _past(done: set[int], packet: Any, file: Container, part: Part, which: int) -> set[int]:
    """Note that the film is well past the end of the part, and so is what is interleaved with it."""
    if part.end is not None and packet.stream_index == file.video and packet.dts is not None:
        moment = packet.dts * seconds_per_tick(packet.time_base) + _offset(file, which)
        if moment > part.end + MARGIN:
            done.add(packet.stream_index)
    return done


class Packets:
    """A stream that is copied."""

    def __init__(self, stream: Any, target: Any, part: Part, *, decoded: bool) -> None:
        self.source, self.part, self.decoded = stream, part, decoded
        self.stream = target.add_stream_from_template(stream)
        self.subtitle = stream.type == "subtitle"
        self.last: int | None = None
        self.held: tuple[Any, Fraction] | None = None

    def packets(self, packet: Any, moment: Fraction) -> Iterator[Any]:
        """Yield what to write for a packet. moment: its time by the file's clock."""
        part = self.part
        base = seconds_per_tick(packet.time_base)
        lasts = (packet.duration or 0) * base
        if self.subtitle:
            yield from self._line(packet, moment - part.zero, lasts, base)
            return
        if moment < part.zero and not part.whole:
            return
        if packet.stream_index in part.begins and moment + lasts / 2 < part.begins[packet.stream_index]:
            return
        packet.pts = round((moment - part.zero + MARGIN) / base)
        shift = packet.pts - (packet.dts if packet.dts is not None else packet.pts)
        packet.dts = packet.pts - max(0, min(shift, 0))
        yield from self._growing(packet)

    def _growing(self, packet: Any) -> Iterator[Any]:
        """Return the packet, unless one at its time is written already: joined recordings may overlap."""
        if self.last is not None and packet.dts <= self.last:
            return
        self.last = packet.dts
        packet.stream = self.stream
        yield packet

    def _line(self, packet: Any, begins: Fraction, lasts: Fraction, base: Fraction) -> Iterator[Any]:
        """Return a subtitle: what has begun before the part starts with it, and nothing lasts longer than the part."""
        part = self.part
        if begins < 0:
            if not lasts:  # a picture that stays until the next one
                self.held = (packet, base)
                return
            if begins + lasts <= 0:
                return
            begins, lasts = Fraction(0), begins + lasts
        if self.held is not None:
            held, its_base = self.held
            self.held = None
            if begins > 0:
                held.pts = held.dts = round(MARGIN / its_base)
                yield from self._growing(held)
        if part.end is not None and lasts:
            lasts = min(lasts, part.end - part.zero - begins)
        packet.pts = packet.dts = round((begins * part.stretch + MARGIN) / base)
        packet.duration = round(lasts * part.stretch / base)
        if self.last is not None and packet.dts < self.last:
            packet.pts = packet.dts = self.last
        self.last = packet.dts
        packet.stream = self.stream
        yield packet

    def rest(self) -> Iterator[Any]:
        """Return what is left at the end."""
        if self.held is not None:
            held, base = self.held
            held.pts = held.dts = round(MARGIN / base)
            yield from self._growing(held)


class Lines(Packets):
    """Text that is decoded, and written as ASS."""

    def __init__(self, stream: Any, target: Any, part: Part, *, decoded: bool) -> None:
        import av

        self.source, self.part, self.decoded = stream, part, decoded
        self.stream = target.add_stream("ass")
        with suppress(av.FFmpegError, ValueError):
            stream.codec_context.open(strict=False)  # else the decoder has not made its header yet
        self.stream.codec_context.subtitle_header = stream.codec_context.subtitle_header or HEADER
        self.last, self.held, self.subtitle, self.count = None, None, True, 0

    def packets(self, packet: Any, moment: Fraction) -> Iterator[Any]:
        """Return the lines of a packet."""
        import av

        lasts = (packet.duration or 0) * seconds_per_tick(packet.time_base)
        try:
            rects = self.source.decode(packet)
        except (av.FFmpegError, ValueError):
            return
        for rect in rects:
            text = getattr(rect, "ass", b"")
            if text:
                self.count += 1
                # Back to the style: ffmpeg's writer of mov_text does not end what is bold there.
                made = av.Packet(bytes(text).replace(b"{\\r}", b"{\\b0\\i0\\u0}"))
                made.time_base = Fraction(1, 1000)
                made.duration = round((lasts or TEXT_LASTS) * 1000)
                yield from self._line(made, moment - self.part.zero, lasts or Fraction(TEXT_LASTS), Fraction(1, 1000))


HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, "
    b"Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, "
    b"MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0\n\n[Events]\n"
    b"Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
"""Styles of text whose decoder tells none."""


class Samples(Packets):
    """Sound that is decoded."""

    def __init__(self, stream: Any, target: Any, part: Part, *, decoded: bool) -> None:
        import av

        self.source, self.part, self.decoded = stream, part, decoded
        context = stream.codec_context
        self.stream = target.add_stream("pcm_f32le", rate=context.sample_rate, layout=context.layout.name)
        self.resampler = av.AudioResampler(format="flt", layout=context.layout.name, rate=context.sample_rate)
        self.last, self.held, self.subtitle = None, None, False

    def packets(self, packet: Any, moment: Fraction) -> Iterator[Any]:
        """Return the decoded sound of a packet."""
        import av

        part = self.part
        if moment < part.zero - WARM_UP and not part.whole:
            return
        shift = moment - (packet.pts if packet.pts is not None else packet.dts) * seconds_per_tick(packet.time_base)
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            return
        for frame in frames:
            if frame.pts is None:
                continue
            base = seconds_per_tick(frame.time_base)
            begins = frame.pts * base + shift - part.zero
            for made in self.resampler.resample(frame):
                made.time_base = Fraction(1, made.sample_rate)
                made.pts = round((begins + MARGIN) * made.sample_rate)
                yield from self.stream.encode(made)

    def rest(self) -> Iterator[Any]:
        """Return what the encoder has kept."""
        yield from self.stream.encode(None)


WRITERS = {"packets": Packets, "lines": Lines, "samples": Samples}
