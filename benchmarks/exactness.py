"""What tiles and half precision change: PSNR against the whole picture in single precision.

python benchmarks/exactness.py ../shared/data/val [--model bundled] [--cases 3] [--device cpu] [--scale 1/2]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from fractions import Fraction
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from vs_slomo import weights
from vs_slomo.engine.engine import Engine
from vs_slomo.engine.settings import Settings
from vs_slomo.metrics import psnr
from vs_slomo.model.superslomo import network_input
from vs_slomo.training.cache import find_clips, read_frames

VARIANTS = {
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "tile 1024": {"tile": 1024},
    "tile 768": {"tile": 768},
    "tile 512": {"tile": 512},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--cases", type=int, default=3, help="pairs of neighbours of each clip")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scale", type=Fraction)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    info = weights.read_info(arguments.model)
    base = {"model": weights.find(arguments.model), "device": arguments.device, "precision": "fp32"}
    base["scale"] = float(arguments.scale or info.scale)
    engines = {
        (flow, name): Engine(Settings(**base | {"flow": flow} | VARIANTS.get(name, {})))
        for flow, name in product(("unet", "dis"), ("exact", *arguments.variants))
    }
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in find_clips(arguments.folder):
        images = list(read_frames(path))
        for k in np.linspace(0, len(images) - 2, arguments.cases).astype(int):
            both = [np.ascontiguousarray(x) for x in images[k : k + 2]]
            gray = tuple(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in both)
            a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 255 for x in both)
            made = {}
            for key, engine in engines.items():
                pair = engine.pair(network_input(a, base["scale"]), network_input(b, base["scale"]), gray)
                made[key] = engine.render(engine.motion(pair, 0.5), a, b, 1, 1).clamp(0, 1)
            for (flow, name), picture in made.items():
                if name != "exact":
                    rows[flow, name].append(psnr(picture, made[flow, "exact"]))
    print(f"{info.name}, width {info.width}, scale {base['scale']:g}, {arguments.device}: dB, mean and least")
    for (flow, name), found in rows.items():
        print(f"{flow:6}{name:12}{np.mean(found):8.1f}{min(found):8.1f}  ({len(found)} pairs)")


if __name__ == "__main__":
    main()
