"""Measure a model on footage it never saw: PSNR and SSIMULACRA2 by method, brightness, flicker at rest.

    python benchmarks/quality.py FOLDER... [--model bundled] [--levels 2] [--fusion paper] [--cases 8] [--threads 2]

Every second frame (span 2), or three of four (span 4), is left out and made again, at the clip's own size or at most
`--max-size` pixels wide, as the filter does it: the networks at the model's scale or at `--scale`, the last warp at
full resolution, DIS at full resolution. "curved" looks at the frames as far before and behind too, as the filter's
option of that name does. "moving" is PSNR where DIS between both frames that are kept is above 2 pixels. `peers.py`
takes the same cases.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vs_slomo import weights
from vs_slomo.engine.pair import Pair
from vs_slomo.measure.scores import has_ssimulacra2, ssimulacra2
from vs_slomo.metrics import psnr, ssim
from vs_slomo.model.curved import acceleration
from vs_slomo.model.dis import dis_flow
from vs_slomo.model.flow import FLOWS, Seen
from vs_slomo.model.superslomo import Motion, SuperSloMo, flows_at, network_input
from vs_slomo.model.warp import Flows
from vs_slomo.training.cache import Image, find_clips, read_frames
from vs_slomo.training.process import in_bfloat16

METHODS = (
    "blend",
    "dis flow",
    "unet",
    "dis",
    "guided",
    "both",
    "unet curved",
    "dis curved",
    "guided curved",
    "both curved",
)
MEASURES = ("PSNR", "SSIMULACRA2", "SSIM", "moving")
MOVING = 2.0
"""Pixels between the frames that are kept."""

Rows = dict[str, dict[str, list[dict[str, float]]]]
"""Of each clip, of each method, what its cases measure."""


@dataclass(frozen=True)
class Case:
    """Two frames, or four with those as far before and behind, the truth between the middle ones, and its t.

    moving: (H, W) bool, where things move.
    """

    clip: str
    images: list[Image]
    truth: Image
    t: float
    moving: Tensor


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
def make(
    model: SuperSloMo, images: list[Image], t: float, scale: float, methods: Sequence[str] = METHODS
) -> dict[str, Tensor]:
    """Return the frame at t by every method: between two images, or between the middle ones of four."""
    middle = len(images) // 2
    frame0, frame1 = tensor(images[middle - 1]), tensor(images[middle])
    made = {"blend": torch.lerp(frame0, frame1, t)}
    for method in FLOWS:
        if not [m for m in methods if m.startswith(method)]:
            continue
        seen = images if f"{method} curved" in methods else images[middle - 1 : middle + 1]
        found = [network_pair(model, a, b, scale, method) for a, b in pairwise(seen)]
        pair = found[len(found) // 2]
        flows, bend = pair.finest, None
        if len(found) == 3:
            bend = acceleration(flows, found[0].finest[1], found[2].finest[0])
        for name, way in ((method, None), (f"{method} curved", bend)):
            motion = model.motion(pair.i0, pair.i1, pair.flows, t, pair.finer, way, scale)
            made[name] = motion.for_planes(1, 1).render(frame0, frame1)
        if method == "dis":
            made["dis flow"] = averaged(flows_at(flows, t), frame0, frame1, pair.ratio)
    return {name: made[name].clamp(0, 1) for name in methods}


def averaged(at_t: Flows, frame0: Tensor, frame1: Tensor, ratio: float = 1.0) -> Tensor:
    """Return the mean of both frames, warped by (Ft0, Ft1). ratio: their resolution as a part of the frames'."""
    motion = Motion(*at_t, torch.zeros_like(at_t[0][:, :1]), 0.5, ratio=(ratio, ratio))
    return motion.for_planes(1, 1).render(frame0, frame1)


def left_out(frames: list[Image], span: int, count: int, margin: int = 0) -> Iterator[tuple[list[Image], Image, float]]:
    """Yield `count` windows of frames `span` apart, evenly spread, with a truth between them and its t.

    Two frames, or four where there is one as far before and behind. margin: frames to keep from the clip's ends.
    """
    for k, first in enumerate(np.linspace(margin, len(frames) - 1 - span - margin, count).astype(int)):
        middle = 1 + k % (span - 1)
        inside = span <= first < len(frames) - 2 * span
        seen = frames[first - span * inside : first + span * (1 + inside) + 1 : span]
        yield seen, frames[first + middle], middle / span


def narrowed(image: Image, max_size: int) -> Image:
    """Return a picture shrunk to at most `max_size` wide by averaging; 0 is no limit."""
    height, width = image.shape[:2]
    if not max_size or width <= max_size:
        return image
    size = max_size, 2 * round(height * max_size / width / 2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def cases(folders: Sequence[Path], span: int, count: int, max_size: int = 0) -> Iterator[Case]:
    """Yield `count` cases of each clip in the folders."""
    for path in (p for folder in folders for p in find_clips(folder)):
        frames = [narrowed(x, max_size) for x in read_frames(path)]
        for images, truth, t in left_out(frames, span, count):
            middle = len(images) // 2
            gray0, gray1 = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in images[middle - 1 : middle + 1])
            moving = dis_flow(gray0, gray1).square().sum(1).sqrt()[0] > MOVING
            yield Case(path.name, images, truth, t, moving)


def judged(picture: Tensor, case: Case) -> dict[str, float]:
    """Return MEASURES of a picture, (1, 3, H, W); without what cannot be had."""
    truth = tensor(case.truth)
    found = {"PSNR": psnr(picture, truth), "SSIM": ssim(picture, truth)}
    if has_ssimulacra2():
        found["SSIMULACRA2"] = ssimulacra2(picture[0], truth[0])
    if case.moving.any():
        found["moving"] = psnr(picture[0, :, case.moving], truth[0, :, case.moving])
    return found


def show(rows: Rows, title: str) -> None:
    """Print a table for each measure; the mean is that of the clips' means."""
    methods = list(next(iter(rows.values())))
    for measure in MEASURES:
        table = {
            clip: [
                float(np.mean(known)) if (known := [x[measure] for x in row[m] if measure in x]) else np.nan
                for m in methods
            ]
            for clip, row in rows.items()
        }
        if np.isnan(list(table.values())).all():
            continue
        digits = 4 if measure == "SSIM" else 2
        print(f"\n{measure}, {title}")
        print(f"{'':28}" + "".join(f"{m:>12}" for m in methods))
        for clip, means in [*table.items(), ("mean", np.nanmean(list(table.values()), axis=0))]:
            print(f"{clip:28}" + "".join(f"{x:12.{digits}f}" for x in means))


def at_rest(model: SuperSloMo, frames: list[Image], scale: float, flow: str) -> tuple[float, float, float]:
    """Return flicker and brightness of new frames between neighbours, against the originals.

    Variance in time over the pixels that rest (new / original), the part of the picture that rests, and the
    largest relative difference of a new frame's mean from that of the mean of its neighbours.
    """
    made, off = [], []
    for image0, image1 in pairwise(frames):
        new = make(model, [image0, image1], 0.5, scale, (flow,))[flow]
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
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--levels", type=int, help="of the flow network, in place of the model's own")
    parser.add_argument("--fusion", choices=weights.FUSIONS, help="in place of the model's own")
    parser.add_argument("--cases", type=int, default=8, help="windows of each clip and span")
    parser.add_argument("--spans", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--rest", type=int, default=0, help="frames of each clip for brightness and flicker")
    parser.add_argument("--max-size", type=int, default=0, help="largest width; 0 is the clip's own")
    parser.add_argument("--scale", type=float, help="of the networks, in place of the model's own")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument(
        "--half",
        action="store_true",
        help="networks in bfloat16, where the processor knows it: quicker, and a little worse",
    )
    parser.add_argument("--json", type=Path, help="file for the figures of each case")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, info = weights.load(arguments.model)
    model.levels, model.fusion = arguments.levels or model.levels, arguments.fusion or model.fusion
    print(f"{info.name} {info.version}, width {info.width}, scale {info.scale:g}, ", end="")
    print(f"levels {model.levels}, fusion {model.fusion}, default flow {info.flow}")

    scale, kept = arguments.scale or info.scale, {}
    for span in arguments.spans:
        rows: Rows = defaultdict(lambda: defaultdict(list))
        for case in cases(arguments.folder, span, arguments.cases, arguments.max_size):
            with in_bfloat16(torch.device("cpu"), wanted=arguments.half):
                made = make(model, case.images, case.t, scale, arguments.methods)
            for method, picture in made.items():
                rows[case.clip][method].append(judged(picture, case))
        show(rows, f"frames {span} apart, {arguments.cases} windows a clip, networks at {scale:g}")
        kept[span] = rows
    if arguments.json:
        arguments.json.write_text(json.dumps(kept))

    if arguments.rest:
        print("\nat rest: variance in time, new / old; part at rest; largest difference in brightness")
        for path in (p for folder in arguments.folder for p in find_clips(folder)):
            frames = [narrowed(x, arguments.max_size) for x in islice(read_frames(path), arguments.rest)]
            ratio, part, off = at_rest(model, frames, scale, info.flow)
            print(f"{path.name:24}{ratio:10.3f}{100 * part:9.1f} %{100 * off:9.3f} %")


if __name__ == "__main__":
    main()
