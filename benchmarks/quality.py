"""Measure a model on footage it never saw: PSNR by method, brightness, flicker at rest.

    python benchmarks/quality.py FOLDER [--model bundled] [--levels 2] [--fusion paper] [--cases 8] [--threads 2]

Every second frame (span 2), or three of four (span 4), is left out and made again, at the clip's own size, as the
filter does it: the networks at the model's scale, the last warp at full resolution, DIS at full resolution. "curved"
looks at the frames as far before and behind too, as the filter's option of that name does.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vs_slomo import weights
from vs_slomo.engine.pair import Pair
from vs_slomo.metrics import psnr
from vs_slomo.model.curved import acceleration
from vs_slomo.model.flow import FLOWS, Seen
from vs_slomo.model.superslomo import Motion, SuperSloMo, flows_at, network_input
from vs_slomo.model.warp import Flows
from vs_slomo.training.data import Image, find_clips, read_frames

METHODS = ("blend", "dis flow", "unet", "dis", "unet curved", "dis curved")


def tensor(image: Image) -> Tensor:
    """Return a picture as the networks take it, (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255


def network_pair(model: SuperSloMo, image0: Image, image1: Image, scale: float, method: str) -> Pair:
    """Return what is known of two frames, whatever t is."""
    i0, i1 = (network_input(tensor(x), scale) for x in (image0, image1))
    gray0, gray1 = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (image0, image1))
    stage = FLOWS[method]
    found = stage.find(Seen(i0, i1, (gray0, gray1), scale), model)
    return Pair(i0, i1, found.flows, found.finer, stage.ratio(scale))


@torch.no_grad()
def make(model: SuperSloMo, images: list[Image], t: float, scale: float) -> dict[str, Tensor]:
    """Return the frame at t by every method: between two images, or between the middle ones of four."""
    middle = len(images) // 2
    frame0, frame1 = tensor(images[middle - 1]), tensor(images[middle])
    made = {"blend": torch.lerp(frame0, frame1, t)}
    for method in FLOWS:
        found = [network_pair(model, a, b, scale, method) for a, b in pairwise(images)]
        pair = found[len(found) // 2]
        flows, bend = pair.finest, None
        if len(found) == 3:
            bend = acceleration(flows, found[0].finest[1], found[2].finest[0])
        for name, way in ((method, None), (f"{method} curved", bend)):
            motion = model.motion(pair.i0, pair.i1, pair.flows, t, pair.finer, way, scale)
            made[name] = motion.for_planes(1, 1).render(frame0, frame1)
        if method == "dis":
            made["dis flow"] = averaged(flows_at(flows, t), frame0, frame1)
    return {name: made[name].clamp(0, 1) for name in METHODS}


def averaged(at_t: Flows, frame0: Tensor, frame1: Tensor) -> Tensor:
    """Return the mean of both frames, warped by (Ft0, Ft1)."""
    return Motion(*at_t, torch.zeros_like(at_t[0][:, :1]), 0.5).render(frame0, frame1)


def left_out(frames: list[Image], span: int, count: int, margin: int = 0) -> Iterator[tuple[list[Image], Image, float]]:
    """Yield `count` windows of frames `span` apart, evenly spread, with a truth between them and its t.

    Two frames, or four where there is one as far before and behind. margin: frames to keep from the clip's ends.
    """
    for k, first in enumerate(np.linspace(margin, len(frames) - 1 - span - margin, count).astype(int)):
        middle = 1 + k % (span - 1)
        inside = span <= first < len(frames) - 2 * span
        seen = frames[first - span * inside : first + span * (1 + inside) + 1 : span]
        yield seen, frames[first + middle], middle / span


def at_rest(model: SuperSloMo, frames: list[Image], scale: float, flow: str) -> tuple[float, float, float]:
    """Return flicker and brightness of new frames between neighbours, against the originals.

    Variance in time over the pixels that rest (new / original), the part of the picture that rests, and the
    largest relative difference of a new frame's mean from that of the mean of its neighbours.
    """
    made, off = [], []
    for image0, image1 in pairwise(frames):
        new = make(model, [image0, image1], 0.5, scale)[flow]
        made.append(new)
        middle = (tensor(image0).mean() + tensor(image1).mean()) / 2
        off.append(float((new.mean() / middle - 1).abs()))
    old = torch.cat([tensor(x) for x in frames])
    smooth = torch.nn.functional.avg_pool2d(old, 9, 1, 4)
    rest = ((smooth.amax(0) - smooth.amin(0)).amax(0) < 0.015).expand(3, -1, -1)
    if rest.float().mean() < 0.02:
        return float("nan"), float(rest.float().mean()), max(off)
    new_variance = torch.cat(made).var(0)[rest].mean()
    # Pairs of neighbours share a frame, so fewer new frames would differ less by chance: the same number of each.
    old_variance = old[:-1].var(0)[rest].mean()
    return float(new_variance / old_variance), float(rest.float().mean()), max(off)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--levels", type=int, help="of the flow network, in place of the model's own")
    parser.add_argument("--fusion", choices=weights.FUSIONS, help="in place of the model's own")
    parser.add_argument("--cases", type=int, default=8, help="windows of each clip and span")
    parser.add_argument("--spans", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rest", type=int, default=0, help="frames of each clip for brightness and flicker")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, info = weights.load(arguments.model)
    model.levels, model.fusion = arguments.levels or model.levels, arguments.fusion or model.fusion
    print(f"{info.name} {info.version}, width {info.width}, scale {info.scale:g}, ", end="")
    print(f"levels {model.levels}, fusion {model.fusion}, default flow {info.flow}")

    for span in arguments.spans:
        rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for path in find_clips(arguments.folder):
            frames = list(read_frames(path))
            for images, truth, t in left_out(frames, span, arguments.cases):
                for method, picture in make(model, images, t, info.scale).items():
                    rows[path.name][method].append(psnr(picture, tensor(truth)))
        print(f"\nPSNR, dB, frames {span} apart, {arguments.cases} windows a clip")
        names = list(next(iter(rows.values())))
        print(f"{'':24}" + "".join(f"{m:>12}" for m in names))
        for clip, row in rows.items():
            print(f"{clip:24}" + "".join(f"{np.mean(row[m]):12.2f}" for m in names))
        means = {m: np.mean([np.mean(row[m]) for row in rows.values()]) for m in names}
        print(f"{'mean':24}" + "".join(f"{means[m]:12.2f}" for m in names))

    if arguments.rest:
        print("\nat rest: variance in time, new / old; part at rest; largest difference in brightness")
        for path in find_clips(arguments.folder):
            frames = list(read_frames(path))[: arguments.rest]
            ratio, part, off = at_rest(model, frames, info.scale, info.flow)
            print(f"{path.name:24}{ratio:10.3f}{100 * part:9.1f} %{100 * off:9.3f} %")


if __name__ == "__main__":
    main()
