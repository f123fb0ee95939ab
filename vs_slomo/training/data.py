"""Training data: clips decoded once into a cache, and windows of them as samples.

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
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.model.curved import acceleration
from vs_slomo.model.dis import dis_flow

from .pictures import PICTURES, Image, read_picture
from .scenes import Scenes, random_scenes

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
HOPELESS = 0.006
"""Squared error of DIS, 22 dB, past which a window is drawn less often."""
BLOCK = 32
"""Pixels a side of the blocks in which it is measured where a teacher is better; see `teachers`."""
UNIFORM = 0.3
"""Part of the crops that are taken anywhere, where the others are drawn by what a teacher does better."""
FAVOUR = 2.0
"""Windows of favoured clips are drawn so many times as often."""
PLACES = 6
"""Random places of which a crop takes the one where a teacher gains most."""
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


def prepare_clip(path: Path, name: str, *, cache: Path, density: float, max_side: int, seed: int) -> Clip | None:
    """Decode one clip into the cache. None: there is nothing in it to learn motion from."""
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
    names = ["_".join(path.relative_to(folder).with_suffix("").parts) for path in found]
    one = partial(prepare_clip, cache=cache, density=density, max_side=max_side, seed=seed)
    if processes > 1:
        # OpenCV and torch have threads, which do not survive a fork.
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            clips = list(pool.map(one, found, names))
    else:
        clips = list(map(one, found, names))
    index.write_text(json.dumps([asdict(clip) for clip in clips if clip]))


@dataclass(frozen=True)
class Sample:
    """One window, cropped and augmented; a batch has the same fields with a leading axis.

    frame0, truth, frame1: (3, S, S) uint8. flow: (4, S/2, S/2) float32, DIS (F01, F10) in its own pixels.
    bend: (2, S/2, S/2) float32, `model.acceleration` in the same; 0 where motion is even.
    teacher: (7, S/2, S/2) float32, what `teachers` says of the motion at t; 0 where no teacher was asked.
    t: (1, 1, 1). error: (2,), DIS's mean absolute and squared error on the whole frame.
    own: () bool, the flow network is to find the flow itself.
    """

    frame0: Tensor
    truth: Tensor
    frame1: Tensor
    flow: Tensor
    bend: Tensor
    teacher: Tensor
    t: Tensor
    error: Tensor
    own: Tensor

    def to(self, device: torch.device) -> Sample:
        """Move everything."""
        return Sample(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})

    def first(self, count: int) -> Sample:
        """Return the first samples of a batch."""
        return Sample(**{k: v[:count] for k, v in vars(self).items()})


def collate(samples: list[Sample]) -> Sample:
    """Stack samples to a batch."""
    return Sample(**{k: torch.stack([getattr(s, k) for s in samples]) for k in vars(samples[0])})


def only(window: Window, truth: int) -> Window:
    """Return a window with one of its truths."""
    k = window.truths.index(truth)
    return replace(window, truths=(truth,), l1=(window.l1[k],), mse=(window.mse[k],))


def crop_means(gain: Field, crop: int) -> Field:
    """Return the mean gain of the crop that begins at each block, (K, rows, columns), from (K, H/32, W/32)."""
    windows = np.lib.stride_tricks.sliding_window_view(
        gain, [max(1, min(n, crop // BLOCK)) for n in gain.shape[1:]], axis=(1, 2)
    )
    means: Field = windows.mean(axis=(-2, -1))
    return means


def signs(*values: int) -> Field:
    """Return factors for the components of the flows."""
    return np.array(values, dtype=np.float32)[:, None, None]


class Windows(Dataset[Sample]):
    """An endless set of samples: number `index` is the same on every machine, in every process.

    So a resumed run goes on with the very samples it would have seen, and several processes share a batch
    by its numbers.
    """

    def __init__(
        self,
        cache: Path,
        crop: int,
        own: float = 0.0,
        curved: float = 0.0,
        seed: int = 0,
        *,
        taught: bool = False,
        favoured: Sequence[str] = (),
    ) -> None:
        """Open the cache. taught: `teachers.label` was there; favoured: patterns of clips' names, see `FAVOUR`."""
        self.crop, self.own, self.curved, self.seed, self.taught = crop, own, curved, seed, taught
        self.frames: list[NDArray[np.uint8]] = []
        self.flows: list[NDArray[np.float16]] = []
        self.labels: list[NDArray[np.float16]] = []
        self.gains: list[Field] = []
        self.windows: list[tuple[int, int, Window]] = []
        favour: list[float] = []
        truths = json.loads((cache / "teacher.json").read_text()) if taught else {}
        for clip in json.loads((cache / "index.json").read_text()):
            frames = np.load(cache / f"{clip['name']}.npy", mmap_mode="r")
            if min(frames.shape[1:3]) < crop or (taught and clip["name"] not in truths):
                continue
            number = len(self.frames)
            self.frames.append(frames)
            self.flows.append(np.load(cache / f"{clip['name']}.flow.npy", mmap_mode="r"))
            if self.flows[-1].shape[1] != 6:
                raise ArgumentError("cache", str(cache), "an empty folder, or one that this version wrote")
            windows = [Window(**w) for w in clip["windows"]]
            if taught:
                self.labels.append(np.load(cache / f"{clip['name']}.teacher.npy", mmap_mode="r"))
                self.gains.append(crop_means(np.load(cache / f"{clip['name']}.gain.npy"), crop))
                windows = [only(w, middle) for w, middle in zip(windows, truths[clip["name"]], strict=True)]
            self.windows += [(number, k, w) for k, w in enumerate(windows)]
            liked = any(fnmatch(clip["name"], pattern) for pattern in favoured)
            favour += [FAVOUR if liked else 1.0] * len(windows)
        if not self.windows:
            raise ArgumentError("crop", crop, f"a size that fits the clips in {cache}")
        apart = np.array([w.last - w.first - 1 for _, _, w in self.windows])
        if taught:
            # By what can be learned there: where a teacher sees no more than DIS, there is less of it.
            near = np.array(favour) / np.sqrt(apart)
            gain = near * [self.gains[number][k].max() for number, k, _ in self.windows]
            share = UNIFORM * near / near.sum() + (1 - UNIFORM) * gain / max(gain.sum(), 1e-9)
        else:
            # Near frames are what a video has, and what DIS cannot follow at all teaches little.
            hopeless = np.array([np.mean(w.mse) >= HOPELESS for _, _, w in self.windows])
            share = np.array(favour) / apart * np.where(hopeless, 0.25, 1.0)
        self.share = np.cumsum(share) / np.sum(share)

    def __getitem__(self, index: int) -> Sample:
        """Return sample number `index`, any integer from 0 on."""
        rng = np.random.default_rng([self.seed, index])
        number, k, window = self.windows[int(np.searchsorted(self.share, rng.random(), side="right"))]
        frames, size = self.frames[number], self.crop
        choice = rng.integers(len(window.truths))
        truth = window.truths[choice]
        t = (truth - window.first) / (window.last - window.first)

        if self.taught and rng.random() >= UNIFORM:
            y, x = self._best_place(self.gains[number][k], frames.shape[1:3], rng)
        else:
            y, x = self._place(frames[window.first], frames[window.last], rng)
        pictures = [frames[n][y : y + size, x : x + size] for n in (window.first, truth, window.last)]
        # One contiguous array, (3 pictures, S, S, 3): flips and the like are views of it.
        stack = np.stack(pictures).transpose(0, 3, 1, 2)
        half = np.s_[:, y // 2 : (y + size) // 2, x // 2 : (x + size) // 2]
        flow = self.flows[number][k][half].astype(np.float32)
        teacher = self.labels[number][k][half].astype(np.float32) if self.taught else np.zeros((7, *flow.shape[1:]))

        if rng.random() < 0.5:  # mirror
            stack, flow = stack[..., ::-1], flow[..., ::-1] * signs(-1, 1, -1, 1, -1, 1)
            teacher = teacher[..., ::-1] * signs(-1, 1, -1, 1, 1, 1, 1)
        if rng.random() < 0.5:  # turn upside down
            stack, flow = stack[..., ::-1, :], flow[:, ::-1] * signs(1, -1, 1, -1, 1, -1)
            teacher = teacher[:, ::-1] * signs(1, -1, 1, -1, 1, 1, 1)
        if rng.random() < 0.5:  # transpose
            stack, flow = stack.swapaxes(2, 3), flow.swapaxes(1, 2)[[1, 0, 3, 2, 5, 4]]
            teacher = teacher.swapaxes(1, 2)[[1, 0, 3, 2, 4, 5, 6]]
        if rng.random() < 0.5:  # play backwards
            stack, flow, t = stack[::-1], flow[[2, 3, 0, 1, 4, 5]], 1 - t
            teacher = teacher[[2, 3, 0, 1, 5, 4, 6]] * signs(1, 1, 1, 1, 1, 1, -1)
        if rng.random() < 0.5:  # other colours
            gain = rng.uniform(0.6, 1.1) * rng.uniform(0.85, 1.15, 3)
            table = (np.arange(256) * gain[:, None]).clip(0, 255).astype(np.uint8)
            order = rng.permutation(3)
            stack = np.stack([table[k][stack[:, order[k]]] for k in range(3)], axis=1)
        if rng.random() >= self.curved:  # evenly
            flow[4:] = 0
        picture0, between, picture1 = (torch.from_numpy(p.copy()) for p in stack)
        return Sample(
            picture0,
            between,
            picture1,
            torch.from_numpy(flow[:4].copy()),
            torch.from_numpy(flow[4:].copy()),
            torch.from_numpy(teacher.astype(np.float32)),
            torch.full((1, 1, 1), t, dtype=torch.float32),
            torch.tensor([window.l1[choice], window.mse[choice]], dtype=torch.float32),
            # Evenly spread, so that every batch has its part.
            torch.tensor(int((index + 1) * self.own) > int(index * self.own)),
        )

    def _best_place(self, gain: Field, size: Sequence[int], rng: np.random.Generator) -> tuple[int, int]:
        """Where to crop: the one of a few random places where a teacher gains most."""
        rows, columns = gain.shape
        best, place = -1.0, (0, 0)
        for _ in range(PLACES):
            y, x = (2 * int(rng.integers((n - self.crop) // 2 + 1)) for n in size)
            here = float(gain[min(y // BLOCK, rows - 1), min(x // BLOCK, columns - 1)])
            if here > best:
                best, place = here, (y, x)
        return place

    def _place(self, image0: Image, image1: Image, rng: np.random.Generator) -> tuple[int, int]:
        """Where to crop: the one of three random places that changes most, as nothing is learned from rest."""
        height, width = image0.shape[:2]
        best, place = -1.0, (0, 0)
        for _ in range(3):
            y = 2 * int(rng.integers((height - self.crop) // 2 + 1))
            x = 2 * int(rng.integers((width - self.crop) // 2 + 1))
            here = np.s_[y : y + self.crop : 8, x : x + self.crop : 8]
            change = float(np.abs(image0[here].astype(np.int16) - image1[here]).mean())
            if change > best:
                best, place = change, (y, x)
        return place


def texture_bank(cache: Path, photos: str, seed: int, count: int = 96, size: int = 192) -> Tensor:
    """Cut pictures for synthetic scenes out of photographs and cached frames, (count, 3, size, size) in [0, 1]."""
    rng = np.random.default_rng([seed, count])
    names = [clip["name"] for clip in json.loads((cache / "index.json").read_text())]
    paths = sorted(p for p in Path(photos).rglob("*") if p.suffix.lower() in PICTURES) if photos else []
    cuts = []
    for k in range(count):
        if paths and k % 2:
            image = shrink(read_picture(paths[rng.integers(len(paths))]), 960)
        else:
            frames = np.load(cache / f"{names[rng.integers(len(names))]}.npy", mmap_mode="r")
            image = frames[rng.integers(len(frames))]
        side = min(size, *image.shape[:2])
        y, x = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
        cut = cv2.resize(np.ascontiguousarray(image[y : y + side, x : x + side]), (size, size))
        cuts.append(torch.from_numpy(cut).permute(2, 0, 1))
    return torch.stack(cuts).float() / 255


class SceneSet(Dataset[Scenes]):
    """An endless set of synthetic scenes, each by its number, as `Windows`.

    Slow and fast ones: things move by up to a fifth of the picture between times 0 and 1.
    """

    def __init__(self, bank: Tensor, size: int, seed: int = 0) -> None:
        self.bank, self.size, self.seed = bank, size, seed

    def __getitem__(self, index: int) -> Scenes:
        """Return scene number `index`, (1, ...)."""
        rng = np.random.default_rng([self.seed, index])
        speed = 0.2 * self.size * float(rng.random()) ** 2 + 0.5
        seed = int(rng.integers(2**62))
        return random_scenes([seed], self.size, self.size, self.bank, layers=5, speed=speed, lighting=0.05)
