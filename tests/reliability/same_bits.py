"""Prints a hash of the frames that some scripts give, and of nothing else: to compare machines' states with.

python tests/reliability/same_bits.py [--order forwards|backwards|random] [--threads N] [--cache MB] [--torch N]
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys

MULTI = 3
SIZE, LENGTH = (131, 97), 5
"""Odd, so that rows do not fill the processor's registers."""


def scripts():  # the host is imported late
    """Return clips by name: every kind of sample, the flow stages, both ways to look at the picture."""
    import cv2
    import numpy as np
    import vapoursynth as vs

    from vs_slomo import retime, slomo
    from vs_slomo.baselines import blend, flow

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 65535, (60, 80)).astype(np.uint16)
    texture = cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)
    width, height = SIZE
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.GRAY16, length=LENGTH, keep=True)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), texture[4 * n : 4 * n + height, 7 * n + n * n : 7 * n + n * n + width])
        return out

    gray = blank.std.ModifyFrame(blank, draw)

    def of(pixels: int) -> vs.VideoNode:
        matrix = {} if pixels in (vs.GRAY8, vs.GRAY16) else {"matrix": 1}
        return gray.resize.Bilinear(format=pixels, **matrix)

    planes = [gray, gray.std.FlipVertical(), gray.std.FlipHorizontal()]
    colours = vs.core.std.ShufflePlanes([x.resize.Point(format=vs.GRAYS) for x in planes], [0, 0, 0], vs.RGB)
    made = {
        "8 bit": slomo(of(vs.GRAY8), MULTI),
        "16 bit": slomo(of(vs.GRAY16), MULTI, flow="dis"),
        "YUV 16 bit": slomo(of(vs.YUV444P16), MULTI),
        "half": slomo(colours.resize.Point(format=vs.RGBH), MULTI),
        "float": slomo(colours, MULTI),
        "float at 1/2": slomo(colours, MULTI, flow="unet", scale=0.5),
        "float, DIS": slomo(colours, MULTI, flow="dis", scale=0.5),
        "draft": slomo(of(vs.YUV444P8), MULTI, flow="fast", scale=0.5),
        "even": slomo(colours, MULTI, curved=False, num_streams=2),
        "blend": blend(colours, MULTI, linear=True),
        "flow": flow(colours, MULTI),
        "curve": retime(colours, [(0, 0), (0.15, 0.15, "smooth")], shutter=3),
    }
    return {name: clip.std.SetFrameProps(_Transfer=1) if name == "blend" else clip for name, clip in made.items()}


def digest(clip, order: str) -> str:  # the host is imported late
    """Return a hash of a clip's frames, read in an order."""
    import numpy as np

    numbers = [*range(clip.num_frames)]
    if order == "backwards":
        numbers.reverse()
    elif order == "random":
        random.Random(1).shuffle(numbers)
    parts = {}
    waiting = [(n, clip.get_frame_async(n)) for n in numbers] if order == "random" else [(n, None) for n in numbers]
    for n, future in waiting:
        with future.result() if future else clip.get_frame(n) as frame:
            parts[n] = b"".join(np.ascontiguousarray(np.asarray(plane)).tobytes() for plane in frame)
    return hashlib.sha256(b"".join(parts[n] for n in sorted(parts))).hexdigest()[:16]


def main() -> int:
    """Print the hashes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--order", default="forwards")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=int, default=1000)
    parser.add_argument("--torch", type=int, default=1)
    arguments = parser.parse_args()
    import cv2
    import torch
    import vapoursynth as vs

    vs.core.num_threads, vs.core.max_cache_size = arguments.threads, arguments.cache
    # For this thread. Others, as the one that the networks run on, have the number that OMP_NUM_THREADS says.
    torch.set_num_threads(arguments.torch)
    cv2.setNumThreads(arguments.torch)
    for name, clip in scripts().items():
        print(f"{name:14} {digest(clip, arguments.order)}", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
