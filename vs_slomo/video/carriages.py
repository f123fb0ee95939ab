"""How a track gets into the companion: as it is, as text, or as samples of sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .clock import seconds_per_tick

MARGIN = 10
"""Seconds added to all times in the companion: Matroska has none below zero."""
WARM_UP = Fraction(1, 2)
"""Seconds of sound before a part that are handed over where it is decoded anyway."""
ONE_PICTURE = Fraction(1, 10)
"""Seconds within which the packets of one subtitle picture follow each other: M2TS has several."""
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


class Packets:
    """A stream that is copied."""

    def __init__(self, stream: Any, target: Any, part: Part) -> None:
        self.source, self.part = stream, part
        self.stream = self._added(target)
        self.subtitle = stream.type == "subtitle"
        self.last: int | None = None
        self.held = list[tuple[Any, Fraction, Fraction]]()

    def _added(self, target: Any) -> Any:
        """Return the companion's stream for it."""
        return target.add_stream_from_template(self.source)

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
                together = self.held and begins - self.held[-1][2] < ONE_PICTURE
                self.held = [*(self.held if together else ()), (packet, base, begins)]
                return
            if begins + lasts <= 0:
                return
            begins, lasts = Fraction(0), begins + lasts
        if begins > 0:
            yield from self._now_seen()
        self.held = []
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
        yield from self._now_seen()

    def _now_seen(self) -> Iterator[Any]:
        """Return the picture that is seen when the part begins."""
        for packet, base, _ in self.held:
            packet.pts = packet.dts = self.last = round(MARGIN / base)
            packet.stream = self.stream
            yield packet
        self.held = []


class Lines(Packets):
    """Text that is decoded, and written as ASS."""

    def _added(self, target: Any) -> Any:
        import av

        context, stream = self.source.codec_context, target.add_stream("ass")
        with suppress(av.FFmpegError, ValueError):
            context.open(strict=False)  # else the decoder has not made its header yet
        stream.codec_context.subtitle_header = context.subtitle_header or HEADER
        return stream

    def packets(self, packet: Any, moment: Fraction) -> Iterator[Any]:
        """Return the lines of a packet."""
        for text, begins, lasts in self._texts(packet, moment):
            yield from self._shown(text, begins, lasts)

    def _texts(self, packet: Any, moment: Fraction) -> Iterator[tuple[bytes, Fraction, Fraction]]:
        """Return the lines of a packet as ASS has them, when they begin in the part, and how long they last."""
        import av

        lasts = (packet.duration or 0) * seconds_per_tick(packet.time_base)
        try:
            rects = self.source.decode(packet)
        except (av.FFmpegError, ValueError):
            return
        for rect in rects:
            if text := bytes(getattr(rect, "ass", b"")):
                yield text, moment - self.part.zero, lasts or Fraction(TEXT_LASTS)

    def _shown(self, text: bytes, begins: Fraction, lasts: Fraction) -> Iterator[Any]:
        import av

        # Back to the style: ffmpeg's writer of mov_text does not end what is bold there.
        made = av.Packet(text.replace(b"{\\r}", PLAIN))
        made.time_base = Fraction(1, 1000)
        made.duration = round(lasts * 1000)
        yield from self._line(made, begins, lasts, Fraction(1, 1000))


class Single(Lines):
    """Text for MP4, which shows one line at a time: lines that overlap become one, of several rows."""

    def __init__(self, stream: Any, target: Any, part: Part) -> None:
        super().__init__(stream, target, part)
        self.now, self.seen = Fraction(0), list[tuple[Fraction, bytes]]()

    def packets(self, packet: Any, moment: Fraction) -> Iterator[Any]:
        """Return the lines that have ended or changed when those of a packet begin."""
        for text, begins, lasts in self._texts(packet, moment):
            yield from self._until(begins)
            self.seen.append((begins + lasts, text))

    def _until(self, moment: Fraction | None) -> Iterator[Any]:
        while self.seen and (moment is None or self.now < moment):
            changes = min([end for end, _ in self.seen] + ([] if moment is None else [moment]))
            if changes > self.now:
                yield from self._shown(_together([text for _, text in self.seen]), self.now, changes - self.now)
                self.now = changes
            self.seen = [(end, text) for end, text in self.seen if end > self.now]
        if moment is not None:
            self.now = max(self.now, moment)

    def rest(self) -> Iterator[Any]:
        """Return the lines that have not ended yet."""
        yield from self._until(None)


PLAIN = b"{\\b0\\i0\\u0}"


def _together(texts: list[bytes]) -> bytes:
    """Return lines of ASS as one: the fields of the first, and each text in a row of its own."""
    fields = [text.rstrip(b"\r\n").split(b",", 8) for text in texts]
    return b",".join([*fields[0][:-1], (PLAIN + b"\\N").join(field[-1] for field in fields)])


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

    def __init__(self, stream: Any, target: Any, part: Part) -> None:
        import av

        super().__init__(stream, target, part)
        context = stream.codec_context
        self.resampler = av.AudioResampler(format="flt", layout=context.layout.name, rate=context.sample_rate)
        self.behind = -(1 << 62)

    def _added(self, target: Any) -> Any:
        context = self.source.codec_context
        return target.add_stream("pcm_f32le", rate=context.sample_rate, layout=context.layout.name)

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
                place = round((begins + MARGIN) * made.sample_rate)
                if 2 * (self.behind - place) > made.samples:  # joined recordings may overlap
                    continue
                made.pts = max(place, self.behind)
                self.behind = made.pts + made.samples
                yield from self.stream.encode(made)

    def rest(self) -> Iterator[Any]:
        """Return what the encoder has kept."""
        yield from self.stream.encode(None)


WRITERS = {"packets": Packets, "lines": Lines, "single lines": Single, "samples": Samples}
"""By their names in a plan: packets as they are, text, text for MP4, and decoded sound."""
