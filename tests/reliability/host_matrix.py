"""Reads a clip under every combination of the host's threads, its cache, the order of reads, and faults.

    python tests/reliability/host_matrix.py [--part K/N]

4 numbers of threads x 4 caches x 6 orders x 4 faults = 384. What is right: every frame has the same bits as in the
plain read, also after a fault, and nothing hangs.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import os
import random
import sys
import tempfile
from pathlib import Path

THREADS, CACHES = (1, 2, 4, 8), (1, 8, 64, 1000)
ORDERS = ("forwards", "backwards", "random", "random at once", "twice", "ends first")
FAULTS = ("none", "source fails once", "reads given up", "another clip beside")
MULTI, LENGTH = 3, 5
PATIENCE = 300


def order_of(name: str, length: int) -> list[int]:
    """Return the numbers of frames in an order."""
    numbers = [*range(length)]
    match name:
        case "backwards":
            numbers.reverse()
        case "random" | "random at once":
            random.Random(7).shuffle(numbers)
        case "twice":
            numbers = [n for n in numbers for _ in range(2)]
        case "ends first":
            numbers = [n for pair in zip(numbers, numbers[::-1], strict=True) for n in pair]
    return numbers


def main() -> int:
    """Try all, and print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", default="0/1")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a busy machine, threads wait for each other most of the time
    first, parts = map(int, arguments.part.split("/"))
    import numpy as np
    import torch
    import vapoursynth as vs

    from vs_slomo import slomo
    from vs_slomo.model.superslomo import SuperSloMo
    from vs_slomo.weights import ModelInfo, save

    torch.manual_seed(0)
    core, wrong, count = vs.core, 0, 0
    rng = np.random.default_rng(3)
    texture = rng.integers(0, 65535, (80, 120)).astype(np.uint16)
    broken: list[bool] = []

    def source() -> vs.VideoNode:
        blank = core.std.BlankClip(width=64, height=48, format=vs.GRAY16, length=LENGTH, keep=True)

        def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            if n == 2 and broken:
                broken.clear()
                raise RuntimeError("broken once")
            out = f.copy()
            np.copyto(np.asarray(out[0]), texture[2 * n : 2 * n + 48, 3 * n : 3 * n + 64])
            return out

        return blank.std.ModifyFrame(blank, draw).std.BoxBlur()

    def bits(frame: vs.VideoFrame) -> bytes:
        with frame:
            return np.ascontiguousarray(np.asarray(frame[0])).tobytes()

    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "m.safetensors"
        save(
            SuperSloMo(2, levels=2, fusion="agreement"),
            ModelInfo(name="m", width=2, levels=2, fusion="agreement"),
            model,
        )
        os.environ["VS_SLOMO_HOME"] = name
        want = [bits(frame) for frame in slomo(source(), MULTI, model=model).frames()]
        for n, (threads, cache, order, fault) in enumerate(itertools.product(THREADS, CACHES, ORDERS, FAULTS)):
            if n % parts != first:
                continue
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            core.num_threads, core.max_cache_size = threads, cache
            broken[:] = [True] if fault == "source fails once" else []
            clip, numbers = slomo(source(), MULTI, model=model), order_of(order, len(want))
            beside = []
            if fault == "reads given up":
                beside = [clip.get_frame_async(k) for k in numbers[::2]]
            elif fault == "another clip beside":
                other = slomo(source(), 2, model=model)
                beside = [other.get_frame_async(k) for k in range(len(other))]
            found = {}
            if order == "random at once":
                pending = [(k, clip.get_frame_async(k)) for k in numbers]
            else:
                pending = [(k, None) for k in numbers]
            for k, future in pending:
                try:
                    found[k] = bits(future.result() if future else clip.get_frame(k))
                except vs.Error:  # the fault; read again, it is gone
                    found[k] = bits(clip.get_frame(k))
            for future in beside:
                future.result().close()
            count += 1
            if bad := [k for k, data in found.items() if data != want[k]]:
                wrong += 1
                print(f"{threads} threads, {cache} MB, {order}, {fault}: frames {bad} differ", flush=True)  # noqa: T201
        faulthandler.cancel_dump_traceback_later()
    print(f"{count} combinations: {count - wrong} right, {wrong} wrong")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
