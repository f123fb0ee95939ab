"""What segments, workers and resuming must show: the same frames, whoever makes them, whatever dies, at what cost.

    python benchmarks/segments.py same [--seconds 180]     one piece, segments, two workers, two nodes of which one is
                                                           killed; at 25 and 60000/1001; FFV1 in MKV and x264 in MP4
    python benchmarks/segments.py killed [--times 20]      the driver killed at random moments, and gone on with
    python benchmarks/segments.py cost [--rounds 3]        time and size of segments and workers
    python benchmarks/segments.py waiting                  eight stand-in workers that wait, against one

`same` and `killed` start Ray: run them where nobody else reaches this machine, such as `unshare --net`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import vapoursynth as vs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from vs_slomo.video.encode import encode
from vs_slomo.video.ffmpeg import ffmpeg
from vs_slomo.video.render import render
from vs_slomo.video.segments.cluster import Needs, Workers, _Loop
from vs_slomo.video.segments.cut import Segment
from vs_slomo.video.segments.engine import connected, ray
from vs_slomo.video.segments.job import Segments
from vs_slomo.video.segments.making import make

RATES = (Fraction(25), Fraction(60000, 1001))
WAIT = 1.0
"""Seconds of a segment of the stand-in workers."""
RATE_OF: dict[int, float] = {}
CODECS: dict[str, dict[str, Any]] = {
    ".mkv": {"codec": "ffv1"},
    ".mp4": {"codec": "x264", "preset": "ultrafast", "options": ["-qp", "0"]},
}


SIZE = ["320x180"]
SEGMENT = [10.0]


def film(folder: Path, rate: Fraction, seconds: float) -> Path:
    """Make a moving film with sound; return it."""
    path = folder / f"film{float(rate):.0f}.mkv"
    pictures = f"testsrc2=size={SIZE[0]}:rate={rate}:duration={seconds},format=yuv420p"
    sound = ("-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", "aac")
    command = [
        ffmpeg(),
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        pictures,
        *sound,
        "-c:v",
        "libx264",
        "-crf",
        "20",
        path,
    ]
    subprocess.run(list(map(str, command)), check=True)
    return path


def told(path: Path) -> dict[str, Any]:
    """Return what is compared: count, times and duration, the sound's length, and a hash of all decoded frames."""
    with av.open(str(path)) as file:
        times = [p.pts for p in file.demux(video=0) if p.size]
        found: dict[str, Any] = {"frames": len(times), "duration": file.duration}
    found["times"] = hashlib.sha256(repr(sorted(times)).encode()).hexdigest()[:12]
    for stream in "va":
        command = [ffmpeg(), "-v", "error", "-i", str(path), "-map", f"0:{stream}", "-f", "framemd5", "-"]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        found[stream] = hashlib.sha256(said).hexdigest()[:12]
    return found


def same(seconds: float) -> bool:
    """Render by one piece, segments, workers and a cluster, and compare; print each."""
    import cluster

    right = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rate in RATES:
            given = film(folder, rate, seconds)
            for ending, options in CODECS.items():
                found = {}
                for way, more in (
                    ("one piece", {"segment": None}),
                    ("segments", {"segment": SEGMENT[0]}),
                    ("two workers", {"workers": 2, "segment": SEGMENT[0]}),
                ):
                    output = folder / f"x{ending}"
                    render(given, output, overwrite=True, **options, **more)
                    found[way] = told(output)
                    print(json.dumps({"rate": str(rate), "ending": ending, "way": way, **found[way]}), flush=True)
                output = folder / f"y{ending}"
                with cluster.nodes(2) as two:
                    threading.Thread(target=kill_one, args=(output,), daemon=True).start()
                    render(given, output, overwrite=True, **options, cluster=two.address, segment=SEGMENT[0])
                found["cluster, one killed"] = told(output)
                print(json.dumps({"way": "cluster, one killed", **found["cluster, one killed"]}), flush=True)
                right &= all(one == found["one piece"] for one in found.values())
    print("all the same" if right else "THEY DIFFER")
    return right


def kill_one(output: Path) -> None:
    """Kill a worker once the first parts are there."""
    import cluster

    while len(list(output.with_name(f"{output.name}.parts").glob("0*"))) < 3:
        time.sleep(0.05)
    while not (found := cluster.workers_at_work()):
        time.sleep(0.01)
    os.kill(found[0], 9)


def killed(times: int, seconds: float, hands: list[str]) -> bool:
    """Kill the driver at random moments until it has been killed so often; return whether the film is right."""
    chance = random.Random(0)  # noqa: S311  # moments
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = film(folder, RATES[0], seconds)
        render(given, folder / "whole.mkv", codec="ffv1", segment=None)
        want, output, done = told(folder / "whole.mkv"), folder / "x.mkv", 0
        command = [sys.executable, "-m", "vs_slomo", "render", given, "-o", output, "--codec", "ffv1", *hands]
        command += ["--segment", str(SEGMENT[0])]
        journal = output.with_name("x.mkv.parts") / "parts.jsonl"
        right = True
        while done < times:
            with subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL) as driver:
                with suppress(subprocess.TimeoutExpired):
                    driver.wait(chance.uniform(2, 15))
                driver.kill()
            done += 1
            parts = journal.read_text().count('"part"') if journal.exists() else 0
            print(f"killed {done}: {parts} parts are whole{', finished' * output.exists()}", flush=True)
            if output.exists():
                right &= told(output) == want
                output.unlink()
        subprocess.run(list(map(str, command)), check=True)
        right &= told(output) == want
        left = sorted(path.name for path in folder.iterdir())
    print(left, "right" if right else "WRONG")
    return right


def cost(rounds: int, seconds: float) -> None:
    """Print time and size of segments and of two workers, against one piece; rounds are interleaved."""
    ways: dict[str, dict[str, Any]] = {
        "one piece": {"segment": None},
        "segments": {"segment": SEGMENT[0]},
        "two workers": {"workers": 2, "segment": SEGMENT[0]},
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    size = dict.fromkeys(ways, 0)
    with tempfile.TemporaryDirectory() as name:
        given = film(Path(name), RATES[0], seconds)
        for _ in range(rounds):
            for way, more in ways.items():
                output = Path(name) / "x.mp4"
                began = time.perf_counter()
                render(given, output, overwrite=True, codec="x264", **more)
                took[way].append(time.perf_counter() - began)
                size[way] = output.stat().st_size
    for way, seconds_taken in took.items():
        ratio = min(seconds_taken) / min(took["one piece"])
        print(
            f"{way}: {min(seconds_taken):.1f} s ({ratio:.3f}), {size[way]} bytes ({size[way] / size['one piece']:.4f})"
        )


def stand_in(recipe: tuple[dict[str, Any], bytes, float], segment: Segment, name: str) -> Iterator[Any]:
    """Wait in place of making a part, and send one back that is there already."""
    part, data, wait = recipe
    time.sleep(wait)
    yield {"part": {**part, "number": segment.number, "name": name}, "lost": False}
    yield data


def pause() -> None:
    """Let every worker start."""
    time.sleep(1)


class Waiting(Workers):
    """Workers of the real driver that only wait."""

    def make(self, job: Any, missing: Sequence[Segment], tally: Any, stopped: Any) -> None:
        """Make these parts, and print how many came back in a second."""
        path = job.folder.new_part(0, job.join_.part)
        part = make(job.picture, missing[0], path, join=job.join_, options=[], stopped=stopped)
        given = asdict(part), path.read_bytes(), WAIT
        path.unlink()
        with connected(None, self.count, 0):
            engine = ray()
            engine.get([engine.remote(pause).options(num_cpus=1).remote() for _ in range(self.count)])
            loop = _Loop(self, job, given, tally, stopped)
            loop.task = engine.remote(stand_in).options(num_returns="streaming", max_retries=0, num_cpus=1)
            began = time.perf_counter()
            loop.run(missing)
            RATE_OF[self.count] = len(missing) / (time.perf_counter() - began)


def waiting(count: int) -> None:
    """Print how much faster so many workers are that only wait, and one."""
    ray(local=True)
    for workers in (1, count):
        length = 5 * 16 * workers
        clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=length, fpsnum=50, keep=True)
        with tempfile.TemporaryDirectory() as name:
            hands = Waiting(count=workers, address=None, needs=Needs(cpus=1), call={})
            encode(clip, Path(name) / "x.mp4", segments=Segments(seconds=Fraction(1, 10), asked={}, workers=hands))
    print(f"{count} workers: {RATE_OF[count] / RATE_OF[1]:.2f} times one")


def main() -> None:
    """Read the arguments, and run."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("same", "killed", "cost", "waiting"))
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--size", default=SIZE[0])
    parser.add_argument("--segment", type=float, default=SEGMENT[0])
    given = parser.parse_args()
    SIZE[0], SEGMENT[0] = given.size, given.segment
    if given.what == "same":
        sys.exit(not same(given.seconds))
    if given.what == "killed":
        hands = ["--workers", str(given.workers)] if given.workers else []
        sys.exit(not killed(given.times, given.seconds, hands))
    if given.what == "cost":
        cost(given.rounds, given.seconds)
    else:
        waiting(given.workers or 8)


if __name__ == "__main__":
    main()
