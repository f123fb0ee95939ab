"""Parts into one stream, without encoding: every packet is stamped by its frame's number.

The joined stream goes to ffmpeg, which adds sound and the rest, as `encode` has it. A container's clock is not
asked where a part begins, so nothing is rounded, however many parts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vs_slomo.errors import RenderError
from vs_slomo.video.clock import pyav, seconds_per_tick
from vs_slomo.video.feed import Input

from .cut import Join, Segment
from .folder import Part, digest

MILLISECONDS = 1000
HEVC_SEI = (39, 40)
"""Kinds of HEVC's NAL units that only inform."""


def look(path: Path, segment: Segment, fps: Fraction) -> Part:
    """Return a part that is whole. Raises RenderError where it is not.

    Its delay: by how many frames a packet may be stored after the frame that is shown in its place (B-frames).
    """
    order = list[int]()
    try:
        with pyav().open(str(path)) as container:
            for packet in _packets(container):
                if not order and not packet.is_keyframe:
                    raise RenderError(f"{path.name}: its first frame needs another one; it cannot be joined")
                order.append(_number(packet, fps))
    except (pyav().FFmpegError, ValueError, IndexError) as error:
        raise RenderError(f"{path.name}: cannot be read: {str(error).splitlines()[0]}") from error
    if sorted(order) != list(range(segment.frames)):
        raise RenderError(f"{path.name}: has {len(order)} of {segment.frames} frames; is the disk full?")
    return Part(
        number=segment.number,
        name=path.name,
        frames=segment.frames,
        size=path.stat().st_size,
        digest=digest(path),
        delay=max(place - number for place, number in enumerate(order)),
    )


def _packets(container: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(container.streams.video[0]) if packet.size)


def _number(packet: Any, fps: Fraction) -> int:
    """Return a packet's frame, counted from the part's first."""
    return round(int(packet.pts) * seconds_per_tick(packet.time_base) * fps)


def _compared(context: Any) -> Any:
    """Return what of a stream's header must be the same in all parts.

    x265 also writes there which instructions the processor has; in HEVC's header (ISO 14496-15) it is an array of SEI.
    """
    header = context.extradata
    if context.name != "hevc" or not header or header[0] != 1:
        return header
    found, place = [header[:22]], 23
    for _ in range(header[22]):
        kind, count = header[place] & 0x3F, int.from_bytes(header[place + 1 : place + 3])
        place += 3
        for _ in range(count):
            end = place + 2 + int.from_bytes(header[place : place + 2])
            found += [] if kind in HEVC_SEI else [header[place:end]]
            place = end
    return found


@dataclass(frozen=True, kw_only=True)
class Joiner:
    """All parts of a film, in their order.

    like: a file with one frame in the output's container, which says more of colours than the parts do.
    lead: by how many frames the picture starts late. aspect: the displayed width divided by the height; None leaves it
    to the file.
    """

    folder: Path
    parts: Sequence[Part]
    fps: Fraction
    join: Join
    like: Path
    lead: int = 0
    aspect: Fraction | None = None

    @property
    def input(self) -> list[str]:
        """Return ffmpeg's arguments for the joined stream."""
        return ["-copyts", "-f", self.join.pipe, "-i", "pipe:0"]

    @property
    def output(self) -> list[str]:
        """Return ffmpeg's arguments that copy it, with its rate and the last frame's duration."""
        copy = ["-c:v:0", "copy", *([] if self.aspect is None else ["-aspect:v:0", str(self.aspect).replace("/", ":")])]
        if self.join.pipe != "matroska":
            return [*copy, "-r:v:0", str(self.fps)]
        lasts = int(MILLISECONDS / self.fps + Fraction(1, 2))
        return [*copy, "-bsf:v:0", f"setts=duration={lasts}"]

    def begin(self) -> Callable[[Input, Callable[[], None]], None]:
        """Look at what the stream is like, before ffmpeg writes over that file; return what writes into a pipe."""
        av = pyav()
        first = self.folder / self.parts[0].name
        model = av.open(str(self.like.absolute() if self.join.pipe == "matroska" else first))

        def write(pipe: Input, check: Callable[[], None]) -> None:
            flags = {"movflags": "+frag_keyframe+empty_moov+delay_moov+default_base_moof"}
            options = {} if self.join.pipe == "matroska" else flags
            with model, av.open(pipe, "w", format=self.join.pipe, options=options) as target:
                stream = target.add_stream_from_template(model.streams.video[0], opaque=True)
                stream.time_base = 1 / self.fps
                self._write(stream, target, check)

        return write

    def _write(self, stream: Any, target: Any, check: Callable[[], None]) -> None:
        av, base = pyav(), 1 / self.fps
        delay, place, header = max(part.delay for part in self.parts), self.lead, None
        shown = self.lead
        for part in self.parts:
            with av.open(str(self.folder / part.name)) as container:
                own = _compared(container.streams.video[0].codec_context)
                if header is not None and own != header:
                    raise RenderError(f"{part.name}: the encoder wrote another header than into the part before it")
                header = own
                for packet in _packets(container):
                    check()
                    packet.pts = shown + _number(packet, self.fps)
                    packet.dts, packet.duration, packet.time_base = place - delay, 1, base
                    packet.stream = stream
                    place += 1
                    target.mux(packet)
            shown += part.frames
