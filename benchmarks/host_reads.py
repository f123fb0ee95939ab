"""What reading costs in flows, source frames and memory, by the order of the reads, with a model that does nothing.

    python benchmarks/host_reads.py [--frames 40] [--multi 4] [--no-curved]

Every row reads all output frames of a fresh graph, eight requests under way at once or one after the other. A pair
takes as much memory as the networks' would, so that the cache of flows is as full. The last line reads a long clip.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import batched
from pathlib import Path
from unittest import mock

import torch
import vapoursynth as vs
from host_overhead import Idle, source
from torch import Tensor

from vs_slomo import slomo
from vs_slomo.engine.engine import trim
from vs_slomo.engine.pair import Pair
from vs_slomo.filters import pairs

core = vs.core


class Counting(Idle):
    """An engine that computes nothing, and counts how often it was asked for a flow."""

    flows = 0

    def pair(self, rgb0: Tensor, rgb1: Tensor, *_: object) -> Pair:
        self.flows += 1
        if self.flows % 20 == 0:  # about as often as the engine does
            trim()
        flow = torch.zeros(1, 2, *rgb0.shape[-2:])
        return Pair(rgb0, rgb1, (flow, flow.clone()))


@contextmanager
def counted() -> Iterator[Counting]:
    """Put a counting engine in the place of the real one."""
    engine = Counting()
    with mock.patch.object(pairs, "shared_engine", return_value=engine):
        yield engine


def read(clip: vs.VideoNode, order: Sequence[int], at_once: int) -> None:
    """Read the frames in this order, so many at once."""
    for part in batched(order, at_once):
        for future in [clip.get_frame_async(n) for n in part]:
            future.result().close()


def asked(clip: vs.VideoNode) -> tuple[vs.VideoNode, list[int]]:
    """Return the clip, and the list that grows by the number of every frame that is made for the filter."""
    requests: list[int] = []

    def note(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        requests.append(n)
        return f

    return clip.std.ModifyFrame(clip, note), requests


def resident() -> float:
    """Return the memory that the process has, in MB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--multi", type=int, default=4)
    parser.add_argument("--curved", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    usual = core.max_cache_size

    print(f"{options.frames} frames, multi={options.multi}, {options.frames - 1} pairs; without the last, repeated one")
    print(f"{'size':>10} {'order':>10} {'at once':>8} {'host cache':>11} {'flows':>6} {'source frames made':>19}")
    for width, height in ((320, 180), (1280, 720), (1920, 1080)):
        clip = source(vs.YUV420P8, width, height, options.frames)
        forwards = list(range((options.frames - 1) * options.multi))
        shuffled = random.Random(0).sample(forwards, len(forwards))  # noqa: S311  # no secret
        for name, order in (("forwards", forwards), ("backwards", forwards[::-1]), ("shuffled", shuffled)):
            for at_once in (1, 8):
                for cache in (usual, 8):
                    core.max_cache_size = cache
                    noted, requests = asked(clip)
                    with counted() as engine:
                        out = slomo(noted, options.multi, device="cpu", scale=0.5, curved=options.curved)
                        read(out, order, at_once)
                    kept = "as it is" if cache == usual else f"{cache} MB"
                    row = f"{width:>5}x{height:<4} {name:>10} {at_once:>8} {kept:>11} {engine.flows:>6}"
                    print(f"{row} {len(requests):>19}")
    core.max_cache_size = usual

    clip = source(vs.YUV420P8, 1280, 720, 2500)
    with counted():
        out, said = slomo(clip, 4, device="cpu", scale=0.5, curved=options.curved), []
        for n in range(8001):
            out.get_frame(n).close()
            if n in (200, 2000, 8000):
                said.append(f"{resident():.0f} MB at {n}")
    print(f"1280x720, one after the other, resident: {', '.join(said)}")


if __name__ == "__main__":
    main()
