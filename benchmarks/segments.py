"""What segments, workers and resuming must show: the same frames, whoever makes them, whatever dies, at what cost.

    python benchmarks/segments.py same [--seconds 180]     one piece, segments, two workers, two nodes of which a worker
                                                           is killed; at 25 and 60000/1001; FFV1 in MKV, x264 in MP4
    python benchmarks/segments.py killed [--times 20]      the driver killed at random moments, and gone on with
    python benchmarks/segments.py cost [--rounds 3]        time and size of segments and of two workers, in turn
    python benchmarks/segments.py waiting                  eight stand-in workers that wait, against one

`same`, and `killed --workers 2`, start Ray: run them where nobody else reaches this machine, such as
`unshare --map-root-user --net sh -c 'ip link set lo up; python benchmarks/segments.py same'`.
With `--results FILE` what `same` and `cost` have measured is kept, and not measured again. Processor seconds are those
of all processes that a command starts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import re
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
from statistics import median
from typing import Any

import av
import vapoursynth as vs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cluster

from vs_slomo.video.encode import encode
from vs_slomo.video.ffmpeg import ffmpeg
from vs_slomo.video.segments.cluster import Needs, Workers, _Loop
from vs_slomo.video.segments.cut import Segment
from vs_slomo.video.segments.engine import connected, ray
from vs_slomo.video.segments.job import Segments
from vs_slomo.video.segments.making import make

RATES = (Fraction(25), Fraction(60000, 1001))
WAIT = 1.0
"""Seconds of a segment of the stand-in workers."""
RATE_OF: dict[int, float] = {}
LOSSLESS = {
    ".mkv": ["--codec", "ffv1"],
    ".mp4": ["--codec", "x264", "--preset", "ultrafast", "--ffmpeg-options", "-qp 0"],
}
WAYS = {"one piece": ["--no-segments"], "segments": [], "two workers": ["--workers", "2"]}
KILLED = "cluster, one killed"
SOUND_FRAME = 1024 / 44100


def film(folder: Path, size: str, rate: Fraction, seconds: float) -> Path:
    """Make a moving film with sound, if it is not there yet; return it."""
    path = folder / f"film-{size}-{float(rate):.0f}-{seconds:g}.mkv"
    pictures = f"testsrc2=size={size}:rate={rate}:duration={seconds},format=yuv420p"
    given = ["-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", f"sine=duration={seconds}", "-c:a", "aac"]
    if not path.exists():
        run([ffmpeg(), "-v", "error", "-y", *given, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", str(path)])
    return path


def run(command: Sequence[str], **more: Any) -> str:
    """Run a command, and return what it has said."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def rendered(given: Path, output: Path, options: Sequence[str], threads: int) -> tuple[dict[str, float], str]:
    """Render by the command; return what it took, and what it has said. threads: 0 is the usual.

    wall, processor: seconds. rate: frames a second from the first frames that it has told of to the last one, so that
    neither the start (of Ray, too) nor the joining counts.
    """
    command = [sys.executable, "-m", "vs_slomo", "render", str(given), "-o", str(output), "--overwrite", *options]
    command += ["--json-progress"]
    counted = Path(f"/sys/fs/cgroup/cpuacct/segments-{os.getpid()}")
    with suppress(OSError):
        counted.mkdir(exist_ok=True)
    if counted.is_dir():  # what Ray starts does not count as this process's child
        command = ["sh", "-c", f'echo $$ > {counted}/cgroup.procs; exec "$@"', "sh", *command]
    few = {"OMP_NUM_THREADS": str(threads), "OPENCV_FOR_THREADS_NUM": str(threads)} if threads else {}

    def used() -> float:
        if counted.is_dir():
            return int((counted / "cpuacct.usage").read_text()) / 1e9
        times = os.times()
        return times.children_user + times.children_system

    began, before = time.perf_counter(), used()
    with tempfile.TemporaryFile("w+") as kept:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=kept, text=True, env=os.environ | few) as process:
            lines = [(time.perf_counter(), json.loads(line)) for line in process.stdout or ()]
        kept.seek(0)
        said = kept.read()
    if process.returncode:
        raise SystemExit(f"{command}\n{said}")
    took = {"wall": round(time.perf_counter() - began, 1), "processor": round(used() - before, 1)}
    moments = [(moment, line["frames"]) for moment, line in lines if line["frames"]]
    (first, few_frames), (last, all_frames) = moments[0], next(x for x in moments if x[1] == lines[-1][1]["total"])
    took["rate"] = round((all_frames - few_frames) / max(last - first, 1e-3), 1)
    with suppress(OSError):
        counted.rmdir()
    return took, said


def told(path: Path) -> dict[str, Any]:
    """Return what is compared: the pictures' count, times and content, and the sound's length and content."""
    with av.open(str(path)) as file:
        video, sound = file.streams.video[0], file.streams.audio[0]
        packets = [packet for packet in file.demux(video, sound) if packet.size]
        times = sorted(p.pts * p.time_base for p in packets if p.stream is video)
        heard = [(p.pts * p.time_base, (p.duration or 0) * p.time_base) for p in packets if p.stream is sound]
        found: dict[str, Any] = {"frames": len(times), "last": float(times[-1]), "duration": file.duration}
    found["times"] = short(repr(times))
    found["sound"] = float(sum(heard[-1]) - heard[0][0])
    for kind, stream in (("pictures", "v"), ("samples", "a")):
        hashes = ["-map", f"0:{stream}", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
        lines = run([ffmpeg(), "-v", "error", "-i", str(path), *hashes]).splitlines()
        found[kind] = short("".join(line.rpartition(",")[2] for line in lines if not line.startswith("#")))
    return found


def short(content: str) -> str:
    """Return a hash."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]


class Results:
    """What was measured, a line of JSON each; it is kept where a file is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        if path and path.exists():
            self.lines = [json.loads(line) for line in path.read_text().splitlines()]

    def get(self, **key: Any) -> dict[str, Any] | None:
        """Return the line with this key, if it was measured."""
        return next((line for line in self.lines if key.items() <= line.items()), None)

    def add(self, line: dict[str, Any]) -> dict[str, Any]:
        """Note and print a line."""
        self.lines.append(line)
        print(json.dumps(line), flush=True)
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        return line


def asked(given: argparse.Namespace, folder: Path, source: Path) -> tuple[Path, list[str]]:
    """Return the input and its options: with new frames, or with --plain only the film's own, which cost nothing."""
    if not given.plain:
        return source, ["--multi", "2", "--effort", given.effort]
    script = folder / f"{source.stem}.vpy"
    # PyTorch is loaded by all ways alike, as it is for new frames.
    script.write_text(f"import torch\nimport vapoursynth as vs\nvs.core.bs.VideoSource({str(source)!r}).set_output()\n")
    return script, ["--tracks-from", str(source)]


def same(given: argparse.Namespace, folder: Path, results: Results) -> bool:
    """Render by one piece, segments, workers and a cluster, and compare; print each."""
    right = True
    for rate in [Fraction(text) for text in given.rates] or RATES:
        for ending in given.endings or LOSSLESS:
            key = {"size": given.size, "seconds": given.seconds, "rate": str(rate), "ending": ending}
            key |= {"plain": given.plain, "effort": given.effort}
            found = []
            for way in (*WAYS, KILLED):
                line = results.get(**key, way=way)
                found.append(line or results.add({**key, "way": way, **once(given, folder, rate, ending, way)}))
            exact = [{name: one[name] for name in ("frames", "times", "pictures")} for one in found]
            sound = [one["sound"] for one in found]
            right &= all(one == exact[0] for one in exact) and max(sound) - min(sound) <= SOUND_FRAME
            right &= found[-1]["failed"] > 0
    print("all the same" if right else "THEY DIFFER")
    return right


def once(given: argparse.Namespace, folder: Path, rate: Fraction, ending: str, way: str) -> dict[str, Any]:
    """Render in one way, and return what is compared and what it took."""
    source, more = asked(given, folder, film(folder, given.size, rate, given.seconds))
    output, options = folder / f"{os.getpid()}{ending}", [*more, *LOSSLESS[ending]]
    if way != "one piece":
        options += ["--segment", str(given.segment)]
    if way == KILLED:
        with cluster.nodes(2) as two:
            threading.Thread(target=kill_one, args=(output,), daemon=True).start()
            took, said = rendered(source, output, [*options, "--cluster", two.address], given.threads)
        took = {"wall": took["wall"], "rate": took["rate"], "failed": len(re.findall("segment \\d+ has failed", said))}
    else:
        took, said = rendered(source, output, [*options, *WAYS[way]], given.threads)
    found = {**took, "bytes": output.stat().st_size, **told(output)}
    output.unlink()
    return found


def kill_one(output: Path) -> None:
    """Kill a worker that makes a segment, once the first parts are there."""
    while len(list(output.with_name(f"{output.name}.parts").glob("0*"))) < 3:
        time.sleep(0.05)
    while not (found := cluster.workers_at_work()):
        time.sleep(0.01)
    os.kill(found[0], 9)


def killed(given: argparse.Namespace, folder: Path) -> bool:
    """Kill the driver at random moments until it has been killed so often; return whether the film is right.

    A quarter of the moments are counted from the start, the others from the first frame. What is
    lost is told by files that no line of the journal names (segments), and by the progress (frames, each second).
    """
    chance = random.Random(given.seed)  # noqa: S311  # moments
    source, output = film(folder, given.size, RATES[0], given.seconds), folder / "x.mkv"
    options = ["--multi", "2", "--effort", "draft", *LOSSLESS[".mkv"]]
    rendered(source, folder / "whole.mkv", [*options, "--no-segments"], given.threads)
    want, right, kept = told(folder / "whole.mkv"), True, set[str]()
    options += ["--segment", str(given.segment), "--json-progress"]
    options += ["--workers", str(given.workers)] if given.workers else []
    command = [sys.executable, "-m", "vs_slomo", "render", str(source), "-o", str(output), *options]
    for number in range(1, given.times + 1):
        shown = killed_once(command, chance.uniform(0, 8), from_first=bool(number % 4))
        if output.exists():
            right &= told(output) == want
            print(f"killed {number}: it was finished; {'right' if right else 'WRONG'}", flush=True)
            output.unlink()
            kept = set()
            continue
        noted, begun = journal(output)
        right &= kept <= noted.keys()
        kept, whole = set(noted), sum(noted.values())
        lost = f"{len(begun)} segments under way, {max(0, shown - whole)} frames" if shown else "nothing begun"
        print(f"killed {number}: {len(noted)} parts are whole ({whole} frames); lost: {lost}", flush=True)
    run(command)
    right &= told(output) == want
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith((".", "x.")))
    print(left, "right" if right and left == [output.name] else "WRONG")
    return right


def killed_once(command: Sequence[str], after: float, *, from_first: bool) -> int:
    """Start a command and kill it so many seconds later; return the frames that it has told of."""
    with tempfile.TemporaryFile("w+") as file:
        with subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL) as driver:
            while from_first and driver.poll() is None and not os.fstat(file.fileno()).st_size:
                time.sleep(0.05)
            with suppress(subprocess.TimeoutExpired):
                driver.wait(after)
            driver.kill()
        file.seek(0)
        lines = [line for line in file.read().splitlines() if line.endswith("}")]
    return int(json.loads(lines[-1])["frames"]) if lines else 0


def journal(output: Path) -> tuple[dict[str, int], list[str]]:
    """Return the finished parts of an output with their numbers of frames, and the files of unfinished ones."""
    folder, noted = output.with_name(f"{output.name}.parts"), dict[str, int]()
    if not folder.exists():
        return {}, []
    path = folder / "parts.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        with suppress(ValueError):
            part = json.loads(line).get("part")
            noted |= {part["name"]: part["frames"]} if part else {}
    return noted, [file.name for file in folder.glob("0*") if file.name not in noted]


def cost(given: argparse.Namespace, folder: Path, results: Results) -> None:
    """Print medians of time and size of segments and of two workers, against one piece; rounds are interleaved."""
    source, options = asked(given, folder, film(folder, given.size, RATES[0], given.seconds))
    output = folder / f"cost{os.getpid()}.mp4"
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in given.ways}
    for number in range(given.rounds):
        for way in given.ways:
            key = {"cost": way, "round": number, "size": given.size, "seconds": given.seconds, "plain": given.plain}
            key |= {"segment": given.segment, "threads": given.threads, "effort": given.effort}
            cut = [] if way == "one piece" else ["--segment", str(given.segment)]
            line = results.get(**key)
            if line is None:
                took, _ = rendered(source, output, [*options, "--codec", "x264", *WAYS[way], *cut], given.threads)
                line = results.add({**key, **took, "bytes": output.stat().st_size})
            found[way].append(line)
    for way, lines in found.items():
        parts = []
        for name in ("wall", "processor", "rate", "bytes"):
            middle = median(line[name] for line in lines)
            ratio = middle / median(line[name] for line in found["one piece"])
            parts.append(f"{name} {middle:.1f} ({ratio:.3f})")
        print(f"{way}: {', '.join(parts)}")


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
        part = make(job.picture, missing[0], path, join=job.join_, options=[], threads=job.threads, stopped=stopped)
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
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--segment", type=float, default=10)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=[*WAYS], help="of cost; the first is one piece")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rates", nargs="*", default=[])
    parser.add_argument("--endings", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch and OpenCV in one process (0: as usual)")
    parser.add_argument("--effort", default="draft", help="of same and cost")
    parser.add_argument("--plain", action="store_true", help="encode the film as it is: what is left are the segments")
    parser.add_argument("--folder", type=Path, help="for films and outputs; films stay there")
    parser.add_argument("--results", type=Path, help="a file that keeps what was measured")
    given = parser.parse_args()
    if given.what == "waiting":
        waiting(given.workers or 8)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        results = Results(given.results)
        if given.what == "same":
            sys.exit(not same(given, folder, results))
        if given.what == "killed":
            sys.exit(not killed(given, folder))
        cost(given, folder, results)


if __name__ == "__main__":
    main()
