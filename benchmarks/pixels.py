"""Hash what the filters make, case by case, to see that a change of the code changes no pixel.

    python benchmarks/pixels.py before.json              # at the old commit
    python benchmarks/pixels.py after.json --against before.json

Cases: formats x {unet, dis} x {paper, agreement} x {curved, even} x {slomo, retime, motion}. Beside each hash stand
the frames themselves (`before.npz`), so that a difference is counted and its size is shown.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import vapoursynth as vs

import vs_slomo
from vs_slomo import weights

GRAY = ("GRAY8", "GRAY16", "GRAYH", "GRAYS")
YUV = ("YUV420P8", "YUV420P10", "YUV422P12", "YUV444P16", "YUV444PS")
RGB = ("RGB24", "RGB48", "RGBH", "RGBS")
FORMATS = (*GRAY, *YUV, *RGB)
WIDTH, HEIGHT, FRAMES = 96, 80, 6
CURVE = [(0, 0), (3, 2), (6, 5)]


def scene() -> vs.VideoNode:
    """Return a small RGBS clip: a pattern that pans, and a textured box that moves against it and speeds up."""
    rng = np.random.default_rng(7)
    coarse = rng.random((3, HEIGHT // 4 + 8, WIDTH // 4 + 16), dtype=np.float32)
    ground = coarse.repeat(4, 1).repeat(4, 2)
    box = rng.random((3, 24, 24), dtype=np.float32).repeat(1, 1)
    blank = vs.core.std.BlankClip(None, WIDTH, HEIGHT, vs.RGBS, length=FRAMES, fpsnum=25, fpsden=1)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        picture = ground[:, 4 : 4 + HEIGHT, 2 * n : 2 * n + WIDTH].copy()
        x, y = 60 - n * n, 10 + 5 * n
        picture[:, y : y + 24, x : x + 24] = box
        for p in range(3):
            np.copyto(np.asarray(out[p]), picture[p])
        return out

    return blank.std.ModifyFrame(blank, draw)


def as_format(clip: vs.VideoNode, name: str) -> vs.VideoNode:
    """Return the clip in a format."""
    target = vs.core.get_video_format(getattr(vs, name))
    matrix = {} if target.color_family == vs.RGB else {"matrix": vs.MATRIX_BT709}
    return clip.resize.Bilinear(format=target.id, **matrix)


def outputs(clip: vs.VideoNode, what: str, options: dict[str, object]) -> list[vs.VideoNode]:
    """Return the clips that one of the filters makes."""
    if what == "slomo":
        return [vs_slomo.slomo(clip, "5/2", **options)]  # type: ignore[arg-type]
    if what == "retime":
        return [vs_slomo.retime(clip, CURVE, unit="frames", shutter=3, **options)]  # type: ignore[arg-type]
    return list(vs_slomo.motion(clip, t=0.3, **options))  # type: ignore[arg-type]


def frames_of(clip: vs.VideoNode) -> list[np.ndarray]:
    """Return every plane of every frame."""
    return [np.array(frame[p]) for frame in clip.frames(close=True) for p in range(frame.format.num_planes)]


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    hashes, kept = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for fusion in ("paper", "agreement"):
            models[fusion] = Path(folder) / f"{fusion}.safetensors"
            weights.convert("bundled", models[fusion], fusion=fusion)
        source = scene()
        for name, flow, fusion, curved, what in itertools.product(
            FORMATS, ("unet", "dis"), ("paper", "agreement"), (True, False), ("slomo", "retime", "motion")
        ):
            options = {"model": models[fusion], "flow": flow, "curved": curved, "device": "cpu", "precision": "fp32"}
            planes = [x for clip in outputs(as_format(source, name), what, options) for x in frames_of(clip)]
            case = f"{name} {flow} {fusion} {'curved' if curved else 'even'} {what}"
            hashes[case] = hashlib.sha256(b"".join(x.tobytes() for x in planes)).hexdigest()[:16]
            kept[case] = np.concatenate([x.ravel() for x in planes])
    args.out.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(args.out.with_suffix(".npz"), **kept)
    print(f"{len(hashes)} cases")
    if args.against:
        before = json.loads(args.against.read_text(encoding="utf-8"))
        old = np.load(args.against.with_suffix(".npz"))
        different = [case for case in hashes if hashes[case] != before.get(case)]
        print(f"{len(different)} differ")
        for case in different:
            a, b = old[case], kept[case]
            if a.shape != b.shape:
                print(f"{case}: {a.shape} before, {b.shape} now")
                continue
            off = np.abs(a.astype(np.float64) - b.astype(np.float64))
            print(f"{case}: {np.count_nonzero(off)} of {off.size} differ, by at most {off.max():.3g}")
        sys.exit(bool(different))


if __name__ == "__main__":
    main()
