"""Show where a model fails: two synthetic scenes, slow and fast, as a picture for the model card.

    python benchmarks/failures.py docs/images/failures.webp [--model bundled]

A row for each scene: the truth at t = 1/2, blending, classical flow alone, and the model from both kinds of flow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from quality import make

from vs_slomo import weights
from vs_slomo.measure.report import as_image
from vs_slomo.training.scenes import Scene

SEED, SPEEDS, SIZE = 11, (4, 16), (160, 256)
SHOWN = ("blend", "dis flow", "dis", "unet")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="bundled")
    arguments = parser.parse_args()
    model, info = weights.load(arguments.model)
    rows = []
    for speed in SPEEDS:
        scene = Scene.random(SEED, *SIZE, speed=speed)
        first, truth, last = (as_image(scene.frame(t)) for t in (0.0, 0.5, 1.0))
        made = make(model, [np.ascontiguousarray(x[..., ::-1]) for x in (first, last)], 0.5, info.scale)
        rows.append(np.concatenate([truth, *(as_image(made[name][0]) for name in SHOWN)], axis=1))
    cv2.imwrite(str(arguments.output), np.concatenate(rows), [cv2.IMWRITE_WEBP_QUALITY, 90])


if __name__ == "__main__":
    main()
