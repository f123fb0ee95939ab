"""What a segment costs beyond its frames, the driver's time for each, and what follows for 10, 100 and 1,000 workers.

    python benchmarks/cluster.py measure VIDEO [--segments 12]       figures of this machine, as JSON
    python benchmarks/cluster.py driver [--segments 1000]            the driver's time and memory, with small parts
    python benchmarks/cluster.py simulate FIGURES.json [--frame 0.05] [--hours 1] [--lost 0.05]

`measure` renders a film with a worker in this process, once for each segment: what it takes besides the frames is
the start (graph, source, model), once for each worker; the first frame of a segment; the encoder's start and end
(with blank frames); the look at the finished part. `driver` notes parts that are there already: journal, look, and
joining. Both outputs together are the figures of `simulate`.
`simulate` renders a film of --hours on workers that need --frame seconds a frame. Each hour it loses the share --lost
of the workers, with their unfinished segments. It looks for the length of a segment that is fastest.
"""

from __future__ import annotations

import argparse
import heapq
import json
import logging
import random
import resource
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.stops import Stops
from vs_slomo.video.encode import encode, prepare
from vs_slomo.video.feed import in_order
from vs_slomo.video.script import graph
from vs_slomo.video.segments import job as jobs
from vs_slomo.video.segments.cut import Segment, cut, joining
from vs_slomo.video.segments.folder import is_whole
from vs_slomo.video.segments.job import Segments
from vs_slomo.video.segments.making import cores, make, threads_of

RATE = 50
WORKERS = (10, 100, 1000)
NETWORK = 100
"""MiB a second that the driver receives."""
LENGTHS = (2, 5, 10, 20, 40, 80, 160)


def measure(video: Path, segments: int) -> dict[str, float]:
    """Return seconds: start, first (frame of a segment), encoder, look; and size, MiB of a second of film."""
    began = time.perf_counter()
    made = graph(video)
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "x.mp4"
        picture = prepare(made.clip, output, codec="x264", crf=None, preset=None)
        picture.clip.get_frame(min(1, len(picture.clip) - 1))
        start = time.perf_counter() - began
        join = joining(output, picture.encoder, [], alpha=False)
        assert not isinstance(join, str)  # noqa: S101
        how: dict[str, Any] = {"join": join, "options": [], "threads": threads_of(picture.encoder, cores())}
        found = cut(picture.clip.num_frames, picture.clip.fps, Fraction(1))[1 : segments + 1]
        blank = replace(picture, clip=picture.clip.std.BlankClip(keep=True))
        costs: dict[str, list[float]] = {"first": [], "encoder": [], "look": [], "size": []}
        for segment in found[::-1]:  # backwards, so that nothing is kept from the one before
            began = time.perf_counter()
            next(in_order(picture.clip[segment.first : segment.first + 1], Stops())).close()
            one = time.perf_counter() - began
            part = make(picture, segment, Path(name) / "r.mp4", **how, stopped=Stops())
            costs["size"].append(part.size / 2**20 / (segment.frames / float(picture.clip.fps)))
            began = time.perf_counter()
            part = make(blank, segment, Path(name) / "p.mp4", **how, stopped=Stops())
            whole = time.perf_counter() - began
            began = time.perf_counter()
            is_whole(Path(name), part)
            costs["look"].append(time.perf_counter() - began)
            costs["first"].append(one)
            costs["encoder"].append(whole)
    middle = {name: sorted(values)[len(values) // 2] for name, values in costs.items()}
    return {"start": start, **middle}


class Ready:
    """Workers whose parts are all the same file, copied: what is left is the driver's own work."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def make(self, job: jobs.Job, missing: list[Segment], tally: jobs.Tally, stopped: Stops) -> None:
        """Copy the first part, and note it under every number."""
        first = job.folder.new_part(0, job.join_.part)
        part = make(job.picture, missing[0], first, join=job.join_, options=[], threads=job.threads, stopped=stopped)
        data = first.read_bytes()
        began = time.perf_counter()
        for segment in missing:
            path = job.folder.new_part(segment.number, job.join_.part)
            path.write_bytes(data)
            own = type(part)(**vars(part) | {"number": segment.number, "name": path.name})
            assert is_whole(job.folder.path, own)  # noqa: S101
            job.folder.note(own)
            tally.part(own)
        self.seconds = time.perf_counter() - began


def driver(segments: int) -> dict[str, float]:
    """Return the driver's seconds for each segment, to note and to join, and its memory before and after, in MB."""
    clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=5 * segments, fpsnum=RATE, keep=True)
    ready = Ready()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        told = Segments(seconds=Fraction(5, RATE), asked={}, workers=ready)
        encode(clip, Path(name) / "x.mp4", segments=told)
        all_of_it = time.perf_counter() - began
    return {
        "segments": segments,
        "note": ready.seconds / segments,
        "join": (all_of_it - ready.seconds) / segments,
        "before_mb": before,
        "after_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def play(
    figures: dict[str, Any], workers: int, length: float, *, frame: float, hours: float, lost: float, seed: int = 0
) -> float:
    """Return the efficiency of so many workers: the frames' time, divided by what all workers' time could make.

    lost: the share of workers that is lost in an hour; each comes back after its start. The driver notes one part
    after the other.
    """
    chance = random.Random(seed)  # noqa: S311  # a simulation
    count = max(1, round(hours * 3600 / length))
    own = length * RATE * frame
    each = own + figures["first"] + figures["encoder"] + figures["look"]
    sent = figures["size"] * length / NETWORK
    free = [(figures["start"], n) for n in range(workers)]
    heapq.heapify(free)
    waiting, busy_until, end = count, 0.0, 0.0
    done: list[float] = []
    while waiting:
        at, worker = heapq.heappop(free)
        dies = chance.expovariate(lost / 3600) if lost else float("inf")
        if dies < each:
            heapq.heappush(free, (at + dies + figures["start"], worker))
            continue
        waiting -= 1
        done.append(at + each + sent)
        heapq.heappush(free, (at + each + sent, worker))
    for moment in sorted(done):
        busy_until = max(busy_until, moment) + figures["note"] + sent
        end = busy_until
    end += count * figures["join"]
    return hours * 3600 * RATE * frame / (end * workers)


def simulate(figures: dict[str, Any], *, frame: float, hours: float, lost: float) -> None:
    """Print the table: the efficiency by workers and length, and the driver's limit."""
    print(f"{hours:g} h of film, {frame:g} s a frame, {lost:.0%} of the workers lost in an hour")
    print("| workers | " + " | ".join(f"{length} s" for length in LENGTHS) + " | best |")
    print("|---|" + "---|" * (len(LENGTHS) + 1))
    for workers in WORKERS:
        made = [play(figures, workers, length, frame=frame, hours=hours, lost=lost) for length in LENGTHS]
        best = LENGTHS[made.index(max(made))]
        print(f"| {workers} | " + " | ".join(f"{x:.2f}" for x in made) + f" | {best} s |")
    print(f"the driver notes {1 / figures['note']:.0f} segments a second")


def main() -> None:
    """Read the arguments, and run."""
    logging.disable()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "driver", "simulate"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--segments", type=int, default=0)
    parser.add_argument("--frame", type=float, default=0.05)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--lost", type=float, default=0.05)
    told = parser.parse_args()
    if told.what == "measure":
        print(json.dumps(measure(told.file, told.segments or 12)))
    elif told.what == "driver":
        print(json.dumps(driver(told.segments or 1000)))
    else:
        figures = json.loads(told.file.read_text())
        simulate(figures, frame=told.frame, hours=told.hours, lost=told.lost)


if __name__ == "__main__":
    main()
