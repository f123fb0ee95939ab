"""A render in segments: what is there is kept, what is missing is made, and all of it is joined."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import vapoursynth as vs

from vs_slomo.errors import RenderError
from vs_slomo.stops import Stopped, Stops
from vs_slomo.video.feed import Progress, in_order, poured

from .cut import Join, Segment, cut, joining
from .folder import Folder, Part, opened
from .joining import Joiner
from .making import begin, cores, threads_of

if TYPE_CHECKING:
    from vs_slomo.video.encode import Picture

log = logging.getLogger("vs_slomo")

BITS_PER_PIXEL = {"lossless": 2.0, "lossy": 0.01}
"""Fewer are not to be expected of a film."""
LOSSLESS = ("ffv1", "prores")


class Workers(Protocol):
    """Who makes the parts."""

    def make(self, job: Job, missing: Sequence[Segment], tally: Tally, stopped: Stops) -> None:
        """Make these parts, and note each in the job's folder."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """How a render is cut. seconds: of a segment. asked: what its parts depend on, beside what the encoder is told.

    restart: throw away what an earlier run has left. workers: who makes the parts; None is this process.
    """

    seconds: Fraction
    asked: Mapping[str, Any]
    restart: bool = False
    workers: Workers | None = None


class Tally:
    """How far it is: frames and segments. It tells the progress."""

    def __init__(self, job: Job, progress: Progress | None) -> None:
        self.progress, self.total, self.segments = progress, job.frames, len(job.segments)
        self.whole = sum(part.frames for part in job.folder.parts.values())
        self.done, self.failed = len(job.folder.parts), 0
        self.running: dict[int, int] = {}

    def show(self) -> None:
        """Tell the progress."""
        if self.progress is None:
            return
        if tell := getattr(self.progress, "segments", None):
            tell({"segments": self.segments, "done": self.done, "running": len(self.running), "failed": self.failed})
        self.progress(self.whole + sum(self.running.values()), self.total)

    def frames(self, number: int, frames: int) -> None:
        """Note how many frames of a segment are made."""
        self.running[number] = frames
        self.show()

    def part(self, part: Part) -> None:
        """Note that a segment is made."""
        self.running.pop(part.number, None)
        self.done, self.whole = self.done + 1, self.whole + part.frames
        self.show()

    def lost(self, number: int) -> None:
        """Note that a segment has failed."""
        self.running.pop(number, None)
        self.failed += 1
        self.show()


@dataclass(frozen=True, kw_only=True)
class Job:
    """One output in the making. threads: of the encoder, for each part."""

    picture: Picture
    output: Path
    options: Sequence[str]
    join_: Join
    segments: Sequence[Segment]
    threads: int
    folder: Folder
    workers: Workers | None

    @property
    def frames(self) -> int:
        """All frames of the output."""
        return self.segments[-1].last

    def make(self, stopped: Stops, progress: Progress | None) -> None:
        """Make the parts that are missing. Raises RenderError and keeps those that are whole."""
        missing = [segment for segment in self.segments if segment.number not in self.folder.parts]
        count, path = len(self.segments), self.folder.path
        if len(missing) < count:
            log.info("%s: %d of %d segments are there already", self.output.name, count - len(missing), count)
        tally = Tally(self, progress)
        tally.show()
        try:
            (self.workers or InThisProcess()).make(self, missing, tally, stopped)
        except (Stopped, KeyboardInterrupt):
            if kept := len(self.folder.parts):
                log.warning("%d of %d segments are kept in %s; the same command goes on there", kept, count, path)
            raise
        except RenderError as error:
            if not (kept := len(self.folder.parts)):
                raise
            raise RenderError(
                f"{error}; {kept} of {count} segments are kept in {path}, and the same command goes on there"
            ) from error

    def join(self, part: Path, lead: Fraction, arguments: Sequence[str], stopped: Stops) -> bool:
        """Join the parts into a file, with what ffmpeg is told of the other tracks; return whether it took all."""
        size = sum(found.size for found in self.folder.parts.values())
        _check_room(part.parent, size, f"{self.output.name} takes", self.folder.path)
        fps = self.picture.clip.fps
        joiner = Joiner(
            folder=self.folder.path,
            parts=[self.folder.parts[segment.number] for segment in self.segments],
            fps=fps,
            join=self.join_,
            like=part,
            lead=round(lead * fps),
            aspect=_aspect(self.picture.clip),
        )
        write = joiner.begin()
        told = [*joiner.input, *arguments, *joiner.output, str(part.absolute())]
        if not poured(told, lambda pipe: write(pipe, stopped.check))():
            raise RenderError(f"{self.output.name}: ffmpeg did not take all parts")
        return True


class InThisProcess:
    """Makes one part after the other; the host goes on asking for frames from one to the next.

    An encoder takes a while to end. Meanwhile the next part's gets its frames, so that two are alive for that moment.
    """

    def make(self, job: Job, missing: Sequence[Segment], tally: Tally, stopped: Stops) -> None:
        """Make these parts."""
        with Ending(job, tally) as ending:
            for run in _adjacent(missing):
                clip = job.picture.clip[run[0].first : run[-1].last]
                with closing(in_order(clip, stopped, job.picture.ahead)) as frames:
                    for segment in run:
                        ending.take(self._begun(job, segment, ending.watched(frames, segment.frames), tally, stopped))

    def _begun(
        self, job: Job, segment: Segment, frames: Iterator[vs.VideoFrame], tally: Tally, stopped: Stops
    ) -> Callable[[], Part]:
        return begin(
            job.picture,
            segment,
            job.folder.new_part(segment.number, job.join_.part),
            join=job.join_,
            options=job.options,
            threads=job.threads,
            stopped=stopped,
            progress=lambda done, _total: tally.frames(segment.number, done),
            frames=frames,
        )


class Ending:
    """The part whose encoder ends, if any. A thread waits for it; all else happens where the frames are written.

    When the block is left, also by an error or a signal, the part that ends is still noted.
    """

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job, self.tally = job, tally
        self.thread = ThreadPoolExecutor(1)
        self.part: Future[Part] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.thread, suppress(*([RenderError] if kind else [])):  # the first error counts
            self._finish()

    def watched(self, frames: Iterator[vs.VideoFrame], count: int) -> Iterator[vs.VideoFrame]:
        """Return so many frames; before each, look at the part that ends. Raises RenderError where that has failed."""
        for frame in islice(frames, count):
            if self.part is not None and self.part.done():
                self._finish()
            yield frame

    def take(self, end: Callable[[], Part]) -> None:
        """Wait until the part before is noted, and then for this one in the background. Raises RenderError."""
        try:
            self._finish()
        finally:  # its encoder has all frames, so it is worth keeping
            self.part = self.thread.submit(self._noted, end)

    def _noted(self, end: Callable[[], Part]) -> Part:
        """Wait for the encoder, and for the disk, which takes as long where others write as well."""
        part = end()
        self.job.folder.note(part)
        return part

    def _finish(self) -> None:
        """Wait for the part, and tell that it is whole."""
        part, self.part = self.part, None
        if part is not None:
            self.tally.part(part.result())


def _aspect(clip: vs.VideoNode) -> Fraction | None:
    props = clip.get_frame(0).props
    across, down = props.get("_SARNum"), props.get("_SARDen")
    return Fraction(clip.width * across, clip.height * down) if across and down else None


def _adjacent(missing: Sequence[Segment]) -> Iterator[list[Segment]]:
    """Return runs of segments that follow each other."""
    run: list[Segment] = []
    for segment in missing:
        if run and run[-1].last != segment.first:
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


@contextmanager
def pieces(picture: Picture, output: Path, options: Sequence[str], segments: Segments | None) -> Iterator[Job | None]:
    """Open the job of an output; None where it is made in one piece. Raises ArgumentError and RenderError."""
    if segments is None:
        yield None
        return
    clip = picture.clip
    found = cut(clip.num_frames, clip.fps, segments.seconds)
    join = joining(output, picture.encoder, options, alpha=bool(picture.pixels.alpha), fps=clip.fps)
    if len(found) < 2 or isinstance(join, str):
        if isinstance(join, str) and len(found) > 1:
            log.info("%s: is made in one piece: %s", output.name, join)
        if segments.workers is not None:
            why = join if isinstance(join, str) else "it is shorter than two segments"
            log.warning("%s: made in this process instead of by workers: %s", output.name, why)
        yield None
        return
    asked = {
        **segments.asked,
        "output": output.name,
        "frames": clip.num_frames,
        "fps": str(clip.fps),
        "segment": str(segments.seconds),
        "encoder": [*picture.before, *picture.behind, *picture.container],
        "options": [*options],
    }
    with opened(output, asked, threads_of(picture.encoder, cores()), restart=segments.restart) as folder:
        lengths = {segment.number: segment.frames for segment in found}
        folder.parts = {n: part for n, part in folder.parts.items() if part.frames == lengths.get(n)}
        missing = sum(s.frames for s in found if s.number not in folder.parts)
        kind = "lossless" if picture.encoder.startswith(LOSSLESS) else "lossy"
        size = round(clip.width * clip.height * (missing + clip.num_frames) * BITS_PER_PIXEL[kind] / 8)
        _check_room(output.parent, size, "parts and output take at least", folder.path)
        job = Job(
            picture=picture,
            output=output,
            options=options,
            join_=join,
            segments=found,
            threads=folder.threads,
            folder=folder,
            workers=segments.workers,
        )
        try:
            yield job
        except BaseException:
            if not folder.parts:  # nothing to go on with
                folder.remove()
            raise


def _check_room(where: Path, size: int, what: str, folder: Path) -> None:
    """Raise RenderError where the disk has less room than that."""
    free = shutil.disk_usage(where).free
    if free < size:
        gigabytes = f"{what} {size / 1e9:.3g} GB, and {where} has {free / 1e9:.3g} GB free"
        raise RenderError(f"the disk is too full: {gigabytes}; what is whole is kept in {folder}")
