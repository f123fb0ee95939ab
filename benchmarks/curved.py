"""What `curved` gains and costs, and what two frames could show at best.

    python benchmarks/curved.py ../shared/data/val [--cases 10] [--spans 2 4] [--rounds 3]

Frames that were left out of real footage are made again by classical flow alone, both warps averaged; no network has
a part in it. PSNR in dB:

    even     the paper's formula: everything moves in a line, evenly
    curved   with the acceleration that the frames before and behind show
    line     evenly, by the flow that the true frame itself shows: no method that looks at two frames and moves
             things evenly finds a better one by the same means
    any      by that flow, and any motion

Then what a frame costs, read through the filter at 1280x720, in order and far from one another: curved / even, medians
of interleaved rounds.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import cv2
import numpy as np
import vapoursynth as vs
from host_overhead import source
from quality import averaged, left_out, tensor
from torch import Tensor

from vs_slomo import slomo
from vs_slomo.metrics import psnr
from vs_slomo.model.curved import acceleration, bent
from vs_slomo.model.dis import dis_flow
from vs_slomo.model.superslomo import flows_at
from vs_slomo.model.warp import Flows
from vs_slomo.training.cache import Image, find_clips, read_frames

COLUMNS = ("even", "curved", "line", "any")


def flow(here: Image, there: Image) -> Tensor:
    """Return classical flow from one picture to another."""
    gray = [cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2GRAY) for x in (here, there)]
    return dis_flow(*gray)


def scores(images: list[Image], truth: Image, t: float) -> dict[str, float]:
    """Return PSNR by COLUMNS."""
    before, image0, image1, behind = images
    frame0, frame1, wanted = map(tensor, (image0, image1, truth))

    def made(at_t: Flows) -> float:
        return psnr(averaged(at_t, frame0, frame1).clamp(0, 1), wanted)

    flows = flow(image0, image1), flow(image1, image0)
    even = flows_at(flows, t)
    bend = acceleration(flows, flow(image0, before), flow(image1, behind))
    true = flow(truth, image0), flow(truth, image1)
    whole = true[1] - true[0]
    found = (even, bent(even, t, bend), (-t * whole, (1 - t) * whole), true)
    return dict(zip(COLUMNS, map(made, found), strict=True))


def row(name: str, values: list[dict[str, float]]) -> str:
    """Lay out a row: dB of the first column, and what the others add to it."""
    means = {c: fmean(v[c] for v in values) for c in COLUMNS}
    added = "".join(f"{means[c] - means['even']:+10.2f}" for c in COLUMNS[1:])
    return f"{name:24}{means['even']:10.2f}{added}{min(v['curved'] - v['even'] for v in values):+12.2f}"


def cost(rounds: int, reads: range) -> float:
    """Return the time of reading these frames one by one, curved / even."""
    took: dict[bool, list[float]] = defaultdict(list)
    clip = source(vs.YUV420P8, 1280, 720, reads[-1] // 2 + 3)
    for _ in range(rounds + 1):
        for curved in (False, True):
            out = slomo(clip, 2, device="cpu", sc=False, curved=curved)
            out.get_frame(1).close()
            start = time.perf_counter()
            for n in reads:
                out.get_frame(n).close()
            took[curved].append(time.perf_counter() - start)
    return median(took[True][1:]) / median(took[False][1:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=10, help="windows of each clip and span")
    parser.add_argument("--spans", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rounds", type=int, default=3, help="of the timing; 0 leaves it out")
    arguments = parser.parse_args()
    if min(arguments.spans) < 2:
        parser.error("--spans: at least 2, or nothing is left out")
    for span in arguments.spans:
        print(f"\nframes {span} apart: PSNR in dB, and what is added to it; the worst window of curved")
        print(f"{'':24}" + "".join(f"{c:>10}" for c in COLUMNS) + f"{'worst':>12}")
        clips = {}
        for path in find_clips(arguments.folder):
            frames = list(read_frames(path))
            if len(frames) > 3 * span:
                clips[path.name] = [scores(*window) for window in left_out(frames, span, arguments.cases, span)]
                print(row(path.name, clips[path.name]))
        means = [{c: fmean(v[c] for v in values) for c in COLUMNS} for values in clips.values()]
        print(row("mean (worst clip)", means))
    if arguments.rounds:
        print("\n1280x720, bundled model, time of a frame, curved / even:")
        print(f"    in order       {cost(arguments.rounds, range(2, 20)):.2f}")
        print(f"    a random read  {cost(arguments.rounds, range(11, 80, 10)):.2f}")


if __name__ == "__main__":
    main()
