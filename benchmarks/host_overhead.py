"""What a frame costs besides the networks: `slomo` with a model that does nothing, against the source alone.

    python benchmarks/host_overhead.py [--size 1280x720] [--pairs 24] [--rounds 7]

Every new frame goes the whole way: conversion for the networks, cut detection, comparison of both frames, planes to
tensors and back. Only flow, motion and the warp are left out: frame k's planes come back as they are. Runs are
interleaved; the table gives medians of the processor time of all threads and of the time on the clock, per output
frame, both less the source's own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from unittest import mock

import numpy as np
import torch
import vapoursynth as vs
from torch import Tensor

from vs_slomo import slomo
from vs_slomo.engine.pair import Pair
from vs_slomo.filters import pairs
from vs_slomo.model.superslomo import Motion

core = vs.core
NOTHING = torch.zeros(1, 1, 1, 1)


class Idle:
    """An engine that computes nothing."""

    def run(self, work: Callable[[], None], _: object) -> None:
        work()

    def stream(self) -> None:
        return None

    def pair(self, *_: object) -> Pair:
        return Pair(NOTHING, NOTHING, (NOTHING, NOTHING))

    def bent(self, pair: Pair, *_: object) -> Pair:
        return pair

    def motion(self, *_: object) -> Motion:
        return Motion(NOTHING, NOTHING, NOTHING, 0.5)

    def render(self, _: Motion, plane0: Tensor, *__: object, **___: object) -> Tensor:
        return plane0


def source(preset: int, width: int, height: int, frames: int) -> vs.VideoNode:
    """Return a clip of different frames that cost nothing: noise, the same half of the frame throughout."""
    blank = core.std.BlankClip(format=preset, width=width, height=height, length=8, keep=True)

    def noise(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, rng = f.copy(), np.random.default_rng(0)
        for p in range(out.format.num_planes):
            plane = np.asarray(out[p])
            plane[...] = rng.random(plane.shape) * (1 if out.format.sample_type == vs.FLOAT else 255)
            plane[n, :] = 0
        return out

    made = [blank.std.ModifyFrame(blank, noise).get_frame(n) for n in range(8)]
    held = blank.std.ModifyFrame(blank, lambda n, f: made[n])  # noqa: ARG005  # the host's names
    for n in range(8):
        held.get_frame(n)
    return held.std.Loop(frames)[:frames]


def cost(make: Callable[[], vs.VideoNode]) -> tuple[float, float]:
    """Return processor time and time on the clock, in ms a frame, to read a fresh clip from the first to the last."""
    clip = make()
    clip.get_frame(len(clip) - 1)  # loads everything that the first frame needs
    cpu, clock = time.process_time(), time.perf_counter()
    for n in range(len(clip) - 1):
        clip.get_frame(n).close()
    return tuple(
        1000 * (now - then) / (len(clip) - 1)
        for now, then in ((time.process_time(), cpu), (time.perf_counter(), clock))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(1)

    print(f"{width}x{height}, {options.pairs} pairs, multi=2, medians of {options.rounds}: ms per output frame")
    print(f"{'format':10} {'scale':>5} {'cuts':>12} {'CPU':>8} {'clock':>8}")
    for preset in (vs.YUV420P8, vs.YUV420P16, vs.RGBS):
        clip = source(preset, width, height, options.pairs)
        told = clip.std.SetFrameProps(_SceneChangeNext=0, _SceneChangePrev=0)
        runs: dict[tuple[str, str], Callable[[], vs.VideoNode]] = {
            ("", "source"): lambda clip=clip: clip.std.Loop(2),
            ("1", "none"): lambda clip=clip: slomo(clip, 2, device="cpu", scale=1, sc=False),
            ("0.5", "none"): lambda clip=clip: slomo(clip, 2, device="cpu", scale=0.5, sc=False),
            ("0.5", "told"): lambda told=told: slomo(told, 2, device="cpu", scale=0.5),
            ("0.5", "detected"): lambda clip=clip: slomo(clip, 2, device="cpu", scale=0.5),
        }
        with mock.patch.object(pairs, "shared_engine", return_value=Idle()):
            rounds = [{name: cost(make) for name, make in runs.items()} for _ in range(options.rounds)]
        for name in list(runs)[1:]:
            cpu, clock = (median(r[name][i] - r["", "source"][i] for r in rounds) for i in (0, 1))
            print(f"{clip.format.name:10} {name[0]:>5} {name[1]:>12} {cpu:8.2f} {clock:8.2f}")


if __name__ == "__main__":
    main()
