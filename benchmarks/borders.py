"""Black bars: what they do to the picture beside them and to themselves, and what `borders="auto"` saves.

    python benchmarks/borders.py ../shared/data

Every second frame is left out and made again, of the footage as it is, with bars around it, and with bars and "auto".
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import vapoursynth as vs

from vs_slomo import slomo
from vs_slomo.clips import borders

core = vs.core

CLIPS = {
    "train/tears_of_steel_70s.webm": (905, 1618),
    "val/gopro_walk.mp4": (40, 200),
    "val/bee_720p.mp4": (60,),
    "val/sports2d_demo.mp4": (60,),
}
REAL = "train/mdn_toy_elf.mp4"
SIZE, BAR, FRAMES, EDGE = (448, 192), 30, 9, 16


def luma(clip: vs.VideoNode) -> np.ndarray:
    return np.stack([np.asarray(f[0]).astype(np.float32) for f in clip.frames(close=True)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((a - b) ** 2)), 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    core.max_cache_size = 500
    rows = np.r_[:EDGE, SIZE[1] - EDGE : SIZE[1]]
    print(f"dB of the picture / of its {EDGE} rows beside the bars; largest change in the bars, of 255")
    for name, starts in CLIPS.items():
        for start in starts:
            clip = core.bs.VideoSource(str(data / name), showprogress=False, cachemode=0)
            clip = clip[start : start + 2 * FRAMES - 1].resize.Bicubic(*SIZE, format=vs.YUV420P8, range=0)
            truth, halved = luma(clip[1::2]), clip[::2]
            framed = halved.std.AddBorders(top=BAR, bottom=BAR, color=[16, 128, 128])
            parts = []
            for what, bars, option in (("alone", 0, None), ("bars", BAR, None), ("auto", BAR, "auto")):
                out = luma(slomo(framed if bars else halved, 2, borders=option, precision="fp32", sc=False)[1::2])
                inner = out[: len(truth), bars : bars + SIZE[1]]
                outer = np.concatenate([out[:, :bars], out[:, bars + SIZE[1] :]], axis=1)
                drawn = np.abs(outer - 16).max(initial=0)
                beside = psnr(inner[:, rows], truth[:, rows])
                parts.append(f"{what} {psnr(inner, truth):.2f} / {beside:.2f}, {drawn:.0f}")
            print(f"{Path(name).stem:20s} {start:5d}  " + "   ".join(parts), flush=True)

    print(f"\n{REAL}, which has bars of 8 columns: dB without them, and of the {EDGE} columns beside each")
    clip = core.bs.VideoSource(str(data / REAL), showprogress=False, cachemode=0)[170 : 170 + 2 * FRAMES - 1]
    truth, columns = luma(clip[1::2]), np.r_[8 : 8 + EDGE, 712 - EDGE : 712]
    for option in (None, "auto"):
        out = luma(slomo(clip[::2], 2, borders=option, precision="fp32", sc=False)[1::2])[: len(truth)]
        whole, beside = (psnr(out[..., part], truth[..., part]) for part in (slice(8, 712), columns))
        print(f"{option}: {whole:.2f}, {beside:.2f}")

    print("\nwhat is found in footage as it is (left, top, right, bottom)")
    for path in sorted(path for folder in ("train", "val", "test") for path in (data / folder).iterdir()):
        clip = core.bs.VideoSource(str(path), showprogress=False, cachemode=0)
        with borders.find(clip).get_frame(0) as frame:
            found = list(frame.props[borders.FOUND])
        if any(found):
            print(f"{path.name} {clip.width}x{clip.height} {found}")


if __name__ == "__main__":
    main()
