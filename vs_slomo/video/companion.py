"""Sound and subtitles on the film's clock: copied from the source into a Matroska file that ffmpeg reads beside it.

ffmpeg itself takes a file's beginning from the streams that it is told to read, and mends jumps stream by stream: the
picture and the sound would each have a clock of their own. Here, all packets are moved by the same amount.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from vs_slomo.errors import RenderError

from .carriages import MARGIN, WRITERS, Part
from .clock import packets, seconds_per_tick
from .contents import Stream, channel_count
from .probe import Container


def carriage(file: Container, stream: Stream) -> str:
    """Return how a stream gets into the companion: a key of `WRITERS`, or "" if it cannot.

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
        return bool(context.sample_rate > 0 and channel_count(context))
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
            writers = {index: WRITERS[how](source.streams[index], target, part) for index, how in chosen.items()}
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
