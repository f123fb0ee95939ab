"""Clips, decoded once into a cache, and the windows of them that are learned from.

A clip is a video file or a folder of pictures (the frames of Adobe240 or GoPro). `prepare` writes, per clip,

    NAME.npy        (N, H, W, 3) uint8, RGB: every frame, shrunk to at most `max_side`
    NAME.flow.npy   (K, 6, H/2, W/2) float16: of each window DIS flow (F01, F10) and `model.acceleration`, pixels of
                    its own resolution

and one `index.json` that lists the windows. A window is a pair of frames, a few frames apart, and the frames
between them that may be asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.model.curved import acceleration
from vs_slomo.model.dis import dis_flow

from .pictures import PICTURES, Image, read_picture
from .process import in_processes

log = logging.getLogger(__name__)

Field = NDArray[np.float32]

VIDEOS = {".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".m2ts", ".mpg", ".mpeg", ".m4v", ".y4m"}

SPANS = (2, 2, 2, 3, 4, 4, 5, 6, 8)
"""How far apart a window's frames are: drawn from these, so that t is not only 1/2."""
DUPLICATE = 0.12
"""Neighbours that differ by less than this part of the clip's median difference are one picture shown twice."""
CUT = 0.06
"""Neighbours that differ by more than this (of 1), after motion compensation, do not belong together."""
MOTION = (0.15, 64.0)
"""Allowed range of a window's 95th percentile of motion, in pixels: below, nothing moves; above, DIS fails."""
BLOCK = 32
"""Pixels a side of the blocks in which it is measured where a teacher is better; see `teachers`."""
FLOW_SCALE = 0.5
"""Resolution of the cached flow. DIS (medium) computes no finer one itself: it ends there and doubles it."""


@dataclass(frozen=True)
class Window:
    """Frames `first` and `last`, and what lies between them: `truths`, with the error of DIS in each.

    l1, mse: mean absolute and squared error (of 1) of the paper's formula on DIS flow, both warps averaged:
    what the networks have to beat.
    """

    first: int
    last: int
    motion: float
    truths: tuple[int, ...]
    l1: tuple[float, ...]
    mse: tuple[float, ...]


@dataclass(frozen=True)
class Clip:
    """A clip in the cache."""

    name: str
    windows: tuple[Window, ...] = field(repr=False)


def find_clips(folder: Path) -> Iterator[Path]:
    """Yield every video file and every folder of pictures below `folder`, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEOS or (
            path.is_dir() and sum(p.suffix.lower() in PICTURES for p in path.iterdir()) > max(SPANS)
        ):
            yield path


def read_frames(path: Path) -> Iterator[Image]:
    """Yield the frames of a clip, (H, W, 3) uint8 RGB."""
    if path.is_dir():
        for picture in sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES):
            yield read_picture(picture)
        return
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise SourceError(f"{path}: OpenCV cannot open this video")
    try:
        while True:
            ok, image = capture.read()
            if not ok:
                return
            yield image[..., ::-1]
    finally:
        capture.release()


def shrink(image: Image, max_side: int) -> Image:
    """Shrink to at most `max_side` by averaging, and crop to even sizes."""
    height, width = image.shape[:2]
    ratio = min(1.0, max_side / max(height, width))
    if ratio < 1:
        size = round(width * ratio), round(height * ratio)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])


def all_motion(frames: Image, first: int, last: int, bad: NDArray[np.int_]) -> Field:
    """DIS flow of a window in both directions, as the engine finds it, and what bends it, (6, H, W): F01, F10, bend.

    bad: how many bad joints lie before each frame. Without a frame as far before and behind, past no such joint,
    nothing bends.
    """

    def flow(here: int, there: int) -> Tensor:
        gray = [cv2.cvtColor(frames[n], cv2.COLOR_RGB2GRAY) for n in (here, there)]
        return dis_flow(*gray)

    flows = flow(first, last), flow(last, first)
    bend = torch.zeros_like(flows[0])
    before, behind = 2 * first - last, 2 * last - first
    if before >= 0 and behind < len(frames) and bad[before] == bad[behind]:
        bend = acceleration(flows, flow(first, before), flow(last, behind))
    return torch.cat((*flows, bend), dim=1)[0].numpy()


def warp(image: Image, flow: Field) -> Image:
    """`warp.backwarp` for one uint8 picture, (H, W, 3), and one flow, (2, H, W)."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[1]
    warped: Image = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped


def dis_error(image0: Image, truth: Image, image1: Image, flow: Field, t: float) -> tuple[float, float]:
    """Mean absolute and squared error, of 1, of equation 4 on DIS flow with a plain average."""
    f01, f10 = flow[:2], flow[2:4]
    warped0 = warp(image0, -(1 - t) * t * f01 + t * t * f10)
    warped1 = warp(image1, (1 - t) * (1 - t) * f01 - t * (1 - t) * f10)
    error = (warped0.astype(np.float32) + warped1) / 510 - truth.astype(np.float32) / 255
    return float(np.abs(error).mean()), float(np.square(error).mean())


def joints(frames: Image) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Per pair of neighbours, (N-1,): is it a cut; is it one picture shown twice."""
    height, width = frames.shape[1:3]
    size = 256, max(2, round(256 * height / width))
    small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    change, residue = [], []
    for here, there in pairwise(small):
        flow = dis.calc(
            cv2.cvtColor(here, cv2.COLOR_RGB2GRAY), cv2.cvtColor(there, cv2.COLOR_RGB2GRAY), None
        ).transpose(2, 0, 1)
        change.append(cv2.absdiff(here, there).mean() / 255)
        residue.append(cv2.absdiff(here, warp(there, flow)).mean() / 255)
    differences = np.array(change)
    return np.array(residue) > CUT, differences < DUPLICATE * np.median(differences)


def choose_windows(bad: NDArray[np.int_], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Draw up to `count` windows (first, last) without a bad joint inside, spread over the clip.

    bad: how many cuts and duplicates lie before each frame.
    """
    chosen: set[tuple[int, int]] = set()
    for first in rng.permutation(np.repeat(np.arange(len(bad) - 1), 3)):
        last = int(first) + int(rng.choice(SPANS))
        if last < len(bad) and bad[last] == bad[first]:
            chosen.add((int(first), last))
        if len(chosen) == count:
            break
    return sorted(chosen)


def prepare_clip(path: Path, *, folder: Path, cache: Path, density: float, max_side: int, seed: int) -> Clip | None:
    """Decode one clip below `folder` into the cache. None: there is nothing in it to learn motion from."""
    name = "_".join(path.relative_to(folder).with_suffix("").parts)
    decoded = [shrink(image, max_side) for image in read_frames(path)]
    if len(decoded) <= min(SPANS):
        return None
    frames = np.stack(decoded)
    cut, duplicate = joints(frames)
    rng = np.random.default_rng([seed, len(frames)])
    windows: list[Window] = []
    flows: list[NDArray[np.float16]] = []
    bad = np.concatenate([[0], np.cumsum(cut | duplicate)])
    for first, last in choose_windows(bad, round(density * len(frames) ** 0.5), rng):
        image0, image1 = frames[first], frames[last]
        flow = all_motion(frames, first, last, bad)
        motion = float(np.percentile(np.hypot(flow[0], flow[1]), 95))
        if not MOTION[0] <= motion <= MOTION[1]:
            continue
        between = np.arange(first + 1, last)
        truths = tuple(sorted(int(m) for m in rng.choice(between, min(3, len(between)), replace=False)))
        errors = [dis_error(image0, frames[m], image1, flow, (m - first) / (last - first)) for m in truths]
        l1, mse = zip(*errors, strict=True)
        windows.append(Window(first, last, motion, truths, l1, mse))
        half = flow.reshape(6, flow.shape[1] // 2, 2, flow.shape[2] // 2, 2).mean((2, 4)) / 2
        flows.append(half.astype(np.float16))
    log.info(
        "%s: %d frames, %d cuts, %d duplicates, %d windows",
        path.name, len(frames), cut.sum(), duplicate.sum(), len(windows),
    )  # fmt: skip
    if not windows:
        return None
    np.save(cache / f"{name}.npy", frames)
    np.save(cache / f"{name}.flow.npy", np.stack(flows))
    return Clip(name, tuple(windows))


def prepare(
    folder: Path, cache: Path, *, density: float = 7, max_side: int = 960, seed: int = 0, processes: int = 1
) -> None:
    """Decode every clip below `folder` into `cache`; nothing is done if the cache is there already.

    density: windows a clip, times the root of its number of frames. processes: clips at the same time.
    """
    index = cache / "index.json"
    if index.exists():
        return
    found = list(find_clips(folder))
    if not found:
        raise ArgumentError("data", str(folder), "a folder with videos, or with folders of pictures")
    cache.mkdir(parents=True, exist_ok=True)
    one = partial(prepare_clip, folder=folder, cache=cache, density=density, max_side=max_side, seed=seed)
    clips = in_processes(one, found, processes)
    index.write_text(json.dumps([asdict(clip) for clip in clips if clip]))
