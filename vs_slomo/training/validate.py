"""Validation during a run: whole frames of clips that nothing is trained on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vs_slomo.metrics import psnr
from vs_slomo.model import flow
from vs_slomo.model.flow import CLASSICAL, NETWORK
from vs_slomo.model.superslomo import Motion, SuperSloMo, flows_at, network_input
from vs_slomo.model.warp import padded_to, resize_field

from .cache import FLOW_SCALE, Window

STAGES = (NETWORK, CLASSICAL)
METHODS = ("blend", "dis flow", *STAGES, "curved")
"""Plain average; DIS, the paper's formula, warps averaged; the model from its own flow; from DIS; from DIS, bent."""

Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Case:
    """Two frames, the truth between them, (1, 3, H, W) in [0, 1], and the cache's motion, (1, 6, h, w)."""

    clip: str
    frame0: Tensor
    truth: Tensor
    frame1: Tensor
    flow: Tensor
    t: float

    def to(self, device: torch.device) -> Case:
        """Move everything."""
        frame0, truth, frame1, flow = (x.to(device) for x in (self.frame0, self.truth, self.frame1, self.flow))
        return Case(self.clip, frame0, truth, frame1, flow, self.t)


def cases(cache: Path, per_clip: int) -> Iterator[Case]:
    """Yield `per_clip` windows of each clip in a cache, evenly spread: the same ones every time.

    Half of them, rounded up, are of next but one frames, which is what doubling a video's rate needs.
    """
    for clip in json.loads((cache / "index.json").read_text()):
        frames = np.load(cache / f"{clip['name']}.npy", mmap_mode="r")
        flows = np.load(cache / f"{clip['name']}.flow.npy", mmap_mode="r")
        windows = [Window(**w) for w in clip["windows"]]
        near = [k for k, w in enumerate(windows) if w.last - w.first == 2]
        far = [k for k, w in enumerate(windows) if w.last - w.first > 2]
        for k in sorted(spread(near, (per_clip + 1) // 2) + spread(far, per_clip // 2)):
            window = windows[k]
            middle = window.truths[len(window.truths) // 2]
            picture0, truth, picture1 = (
                torch.from_numpy(frames[n].copy()).permute(2, 0, 1).unsqueeze(0).float() / 255
                for n in (window.first, middle, window.last)
            )
            yield Case(
                clip["name"],
                picture0,
                truth,
                picture1,
                torch.from_numpy(flows[k].astype(np.float32)).unsqueeze(0),
                (middle - window.first) / (window.last - window.first),
            )


def spread(numbers: list[int], count: int) -> list[int]:
    """Return up to `count` of the numbers, evenly spread."""
    places = (np.arange(min(count, len(numbers))) + 0.5) * len(numbers) / max(1, min(count, len(numbers)))
    return [numbers[int(place)] for place in places]


def picture(method: str, model: SuperSloMo, case: Case, scale: float) -> Tensor:
    """Return the frame at t by one of METHODS, as the filter would make it, (1, 3, H, W)."""
    if method == "blend":
        return torch.lerp(case.frame0, case.frame1, case.t)
    i0, i1 = network_input(case.frame0, scale), network_input(case.frame1, scale)
    ratio = scale / FLOW_SCALE
    label = padded_to(resize_field(case.flow, ratio, ratio) * ratio, *i0.shape[-2:])
    flows = label[:, :2], label[:, 2:4]
    match method:
        case "dis flow":
            # Half each: at t = 1/2 a logit of 0 means that.
            motion = Motion(*flows_at(flows, case.t), torch.zeros_like(label[:, :1]), 0.5)
        case flow.CLASSICAL:
            motion = model.motion(i0, i1, flows, case.t)
        case "curved":
            motion = model.motion(i0, i1, flows, case.t, bend=label[:, 4:])
        case _:
            motion = model.motion(i0, i1, model.flow(i0, i1), case.t)
    return motion.resized(1 / scale, 1 / scale).render(case.frame0, case.frame1).clamp(0, 1)


@torch.no_grad()
def validate(
    model: SuperSloMo, held: list[Case], scale: float, device: torch.device, known: Table | None = None
) -> Table:
    """PSNR in dB, mean of the cases, per clip and method; clip "mean" is the mean of the clips.

    known: an earlier table of the same cases; what does not depend on the model is taken from it.
    """
    rows: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    fixed = METHODS[:2] if known else ()
    for case in held:
        here = case.to(device)
        for method in METHODS:
            if method not in fixed:
                rows[case.clip][method].append(psnr(picture(method, model, here, scale), here.truth))
    table = {clip: {m: float(np.mean(v)) for m, v in row.items()} for clip, row in rows.items()}
    for clip, row in table.items():
        table[clip] = {m: known[clip][m] if known and m in fixed else row[m] for m in METHODS}
    table["mean"] = {m: float(np.mean([row[m] for row in table.values()])) for m in METHODS}
    return table


@torch.no_grad()
def panel(model: SuperSloMo, case: Case, scale: float, device: torch.device) -> Tensor:
    """Return truth, both flow stages' pictures and the better one's error times 4 in a row, (3, H, 4 W)."""
    here = case.to(device)
    unet, dis = (picture(method, model, here, scale) for method in STAGES)
    error = torch.minimum((unet - here.truth).abs(), (dis - here.truth).abs())
    return torch.cat((here.truth, unet, dis, (4 * error).clamp(0, 1)), 3)[0].cpu()


def as_text(table: Table) -> str:
    """Lay a table out, one line a clip."""
    width = max(map(len, table))
    lines = [" " * width + "".join(f"{m:>10}" for m in METHODS)]
    lines += [f"{clip:{width}}" + "".join(f"{row[m]:10.2f}" for m in METHODS) for clip, row in table.items()]
    return "\n".join(lines)
