"""A clip's frames into ffmpeg."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Buffer, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack, suppress
from typing import IO, Any, cast

import numpy as np
import vapoursynth as vs

from vs_slomo.errors import RenderError
from vs_slomo.stops import Stops

from .ffmpeg import BROKEN_FILE, ffmpeg, last_lines, reason

log = logging.getLogger("vs_slomo")

Progress = Callable[[int, int], None]
"""Called with the frames written, and all of them. In segments its method `segments`, if it has one, is called with how
many there are, by their state: "segments" (all), "done", "running", "failed"."""
LOOK = 0.2
"""Seconds after which a signal is looked for while a frame is awaited."""


class Alpha:
    """The frames' transparency. bits: its depth in the output, or 0 where the output has none.

    lost: whether a frame had transparency that was left out. told: whether this was reported.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.lost = False
        self.told = False

    def plane(self, frame: vs.VideoFrame) -> bytes:
        """Return a frame's plane of transparency, opaque where it has none."""
        highest = (1 << self.bits) - 1
        kind = np.uint8 if self.bits <= 8 else np.uint16
        alpha = frame.props.get("_Alpha")
        if not isinstance(alpha, vs.VideoFrame):
            return bytes(np.full((frame.height, frame.width), highest, kind).data)
        given = np.asarray(alpha[0])
        beside = (frame.height - given.shape[0], frame.width - given.shape[1])
        if any(beside):  # the picture has grown to an even size
            given = np.pad(given, ((0, beside[0]), (0, beside[1])), mode="edge")
        if alpha.format.sample_type == vs.FLOAT:
            return np.round(np.clip(given, 0, 1) * highest).astype(kind).tobytes()
        bits = alpha.format.bits_per_sample
        if bits == self.bits:
            return np.ascontiguousarray(given).tobytes()
        top = (1 << bits) - 1
        scaled = (given.astype(np.uint32) * highest + top // 2) // top
        return bytes(scaled.astype(kind).tobytes())

    def look(self, frame: vs.VideoFrame) -> None:
        """Note whether a frame has transparency that is left out."""
        alpha = frame.props.get("_Alpha")
        if not self.bits and not self.lost and isinstance(alpha, vs.VideoFrame):
            self.lost = not is_opaque(alpha)


def is_opaque(alpha: vs.VideoFrame) -> bool:
    """Return whether a frame of transparency hides nothing."""
    highest = 1 if alpha.format.sample_type == vs.FLOAT else (1 << alpha.format.bits_per_sample) - 1
    return bool(np.asarray(alpha[0]).min() >= highest)


def in_order(clip: vs.VideoNode, stopped: Stops, ahead: int = 0) -> Generator[vs.VideoFrame]:
    """Return a clip's frames one after the other, with as many under way as the host has threads, or `ahead`."""
    waiting: deque[Future[vs.VideoFrame]] = deque()
    asked = 0
    try:
        for _ in range(clip.num_frames):
            while asked < clip.num_frames and len(waiting) <= max(vs.core.num_threads, ahead):
                waiting.append(clip.get_frame_async(asked))
                asked += 1
            while True:
                stopped.check()
                with suppress(NotYet):
                    frame = waiting[0].result(LOOK)
                    break
            waiting.popleft()
            with frame:
                yield frame
    finally:
        # The host is still at work on these; leaving them alone would keep their memory.
        for future in waiting:
            with suppress(Exception):
                future.result(60).close()


class EndedError(Exception):
    """ffmpeg has ended before its input did."""


class Input:
    """ffmpeg's standard input, for us and for PyAV. It has no name, which PyAV would look up."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe

    def write(self, data: Buffer) -> int:
        """Write all of it. Raises EndedError."""
        try:
            return self.pipe.write(data)
        except OSError:
            raise EndedError from None


def write_frame(pipe: Input, frame: vs.VideoFrame, alpha: Alpha) -> None:
    """Write a frame's planes as ffmpeg's planar formats have them: G, B, R; transparency last."""
    order = (1, 2, 0) if frame.format.color_family == vs.RGB else range(frame.format.num_planes)
    for plane in order:
        pipe.write(np.ascontiguousarray(np.asarray(frame[plane])).data)
    if alpha.bits:
        pipe.write(alpha.plane(frame))
    else:
        alpha.look(frame)


def fed(
    arguments: Sequence[str],
    clip: vs.VideoNode,
    stopped: Stops,
    alpha: Alpha,
    progress: Progress | None = None,
    frames: Iterator[vs.VideoFrame] | None = None,
) -> Callable[[], bool]:
    """Run ffmpeg with a clip's frames on its standard input; return what waits for its end, see `poured`.

    frames: the clip's frames, where the caller requests them.
    """

    def write(pipe: Input) -> None:
        for n, frame in enumerate(in_order(clip, stopped) if frames is None else frames, 1):
            write_frame(pipe, frame, alpha)
            if progress:
                progress(n, clip.num_frames)

    return poured(arguments, write)


def poured(arguments: Sequence[str], write: Callable[[Input], None]) -> Callable[[], bool]:
    """Run ffmpeg, and write all of its input; return what waits for its end, and says whether it took all of it.

    That raises RenderError where ffmpeg has failed.
    """
    # In a group of its own, so that Ctrl-C in a terminal does not reach it: it ends when this says so.
    own: dict[str, Any] = {"creationflags": 0x200} if sys.platform == "win32" else {"process_group": 0}
    command = [ffmpeg(), "-hide_banner", "-v", "error", "-y", *arguments]
    log.debug("%s", subprocess.list2cmdline(command))
    complete = False
    with ExitStack() as opened:
        said = opened.enter_context(tempfile.TemporaryFile())
        out: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": said}
        process = opened.enter_context(subprocess.Popen(command, **out, **own))
        pipe = cast("IO[bytes]", process.stdin)
        try:
            write(Input(pipe))
            complete = True
        except EndedError:  # ffmpeg ended before its input; its status says whether that is an error
            pass
        except BaseException as error:
            process.kill()
            if isinstance(error, vs.Error):
                raise RenderError(f"a frame could not be made: {plain(error)}") from error
            raise
        finally:
            try:
                pipe.close()
            except OSError:
                complete = False
        still_open = opened.pop_all()

    def end() -> bool:
        with still_open:
            status = process.wait()
            said.seek(0)
            text = said.read().decode(errors="replace")
        if status or BROKEN_FILE.search(text):
            raise RenderError(f"ffmpeg failed: {reason(status, text)}")
        # Its own complaints begin with the part that has them; encoders chat without.
        if complaints := last_lines("\n".join(line for line in text.splitlines() if line.startswith("["))):
            log.warning("ffmpeg: %s", complaints)
        return complete

    return end


def plain(error: BaseException) -> str:
    """Return what the host says of a frame, without the class that said it, and with the way round."""
    text = re.sub(r"^(?:\w+\.)+\w*Error: ", "", str(error).strip().splitlines()[-1].strip())
    if "_FieldBased" in text:
        text += "; progressive=True (--progressive) takes them as they are, deinterlace=True (--deinterlace) mends them"
    return text
