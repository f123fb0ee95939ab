"""Make the pictures of the site's gallery: a frame that was left out, blended and made by the bundled model.

    python benchmarks/gallery.py ../shared/data docs/images/gallery

For each moment: NAME-blend.webp, NAME-slomo.webp and NAME-truth.webp, and a line with PSNR and SSIMULACRA2 of both.
Beside the folder: before-after.webp for README, blended, made and true.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import vapoursynth as vs

from vs_slomo import slomo, source
from vs_slomo.baselines import blend
from vs_slomo.measure.cases import in_memory, shrunk
from vs_slomo.measure.report import as_image
from vs_slomo.measure.scores import has_ssimulacra2, measured, rgb_frames, ssimulacra2

MOMENTS = {  # file, the frame in front, how far apart the frames are that are kept
    "butterfly": ("train/bbb_1080p60_10s.mp4", 148, 8),
    "walk": ("val/gopro_walk.mp4", 120, 4),
    "highway": ("val2/highway_cars.mp4", 76, 4),
    "rabbit": ("train/bbb_1080p60_10s.mp4", 62, 4),
    "drone": ("val2/hands_led_deck_60fps.mp4", 40, 4),
}
LONGER = 640
"""Pixels of the longer side."""
README = "highway", (slice(95, 195), slice(120, 290))
"""README's picture: its moment, and the rows and columns to show."""


def main() -> None:
    """Write the pictures and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", choices=MOMENTS)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else MOMENTS:
        file, first, apart = MOMENTS[name]
        clip = shrunk(source(arguments.footage / file), LONGER)
        truth = next(rgb_frames(clip[first + apart // 2]))
        # One frame more on either side, for curved motion.
        kept = in_memory(clip[first - apart : first + 2 * apart + 1 : apart])
        made: dict[str, vs.VideoNode] = {"blend": blend(kept, 2), "slomo": slomo(kept, 2)}
        pictures = {"truth": truth} | {method: next(rgb_frames(x[3])) for method, x in made.items()}
        for method, picture in pictures.items():
            path = arguments.output / f"{name}-{method}.webp"
            cv2.imwrite(str(path), as_image(picture), [cv2.IMWRITE_WEBP_QUALITY, 82])
        if name == README[0]:
            beside = np.concatenate([as_image(pictures[x])[README[1]] for x in ("blend", "slomo", "truth")], axis=1)
            large = cv2.resize(beside, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(arguments.output.parent / "before-after.webp"), large, [cv2.IMWRITE_WEBP_QUALITY, 82])
        for method in made:
            similar = f", SSIMULACRA2 {ssimulacra2(pictures[method], truth):.1f}" if has_ssimulacra2() else ""
            print(f"{name} {method}: PSNR {measured(pictures[method], truth)[0]:.2f} dB{similar}")


if __name__ == "__main__":
    main()
