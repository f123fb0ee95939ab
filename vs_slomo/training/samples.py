"""What training steps are fed: windows of the cache, cropped and augmented, and synthetic scenes.

Each sample follows from its number alone, so that a resumed run goes on with the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vs_slomo.errors import ArgumentError

from .cache import BLOCK, Field, Window, shrink
from .pictures import PICTURES, Image, read_picture
from .scenes import Scenes, random_scenes

HOPELESS = 0.006
"""Squared error of DIS, 22 dB, past which a window is drawn less often."""
UNIFORM = 0.3
"""Part of the crops that are taken anywhere, where the others are drawn by what a teacher does better."""
FAVOUR = 2.0
"""Windows of favoured clips are drawn so many times as often."""
STAGED = 1 / 3
"""Part of the windows that are synthetic, where there are any."""
PLACES = 6
"""Random places of which a crop takes the one where a teacher gains most."""
TRIES = 3
"""Random places of which a crop takes the one that changes most, as nothing is learned from rest."""
LIGHT, TINT = (0.6, 1.1), (0.85, 1.15)
"""Ranges of the factors of a recoloured sample: of all its colours, and of each one."""
FLOW, FIELDS = 6, 13
"""Numbers a pixel of the cache's resolution: F01, F10, bend; and with the teachers' seven."""
MIRRORED, FLIPPED, TRANSPOSED, REVERSED = 1, 2, 4, 8
CHANGES = 16


@dataclass(frozen=True)
class Sample:
    """One window, cropped and augmented; a batch has the same fields with a leading axis.

    frame0, truth, frame1: (3, S, S) uint8. flow: (4, S/2, S/2) float32, DIS (F01, F10) in its own pixels.
    bend: (2, S/2, S/2) float32, `model.acceleration` in the same; 0 where motion is even.
    teacher: (7, S/2, S/2) float32, what `teachers` says of the motion at t; 0 where no teacher was asked.
    t: (1, 1, 1). error: (2,), DIS's mean absolute and squared error on the whole frame.
    own: () bool, the flow network is to find the flow itself; it stays on the CPU.
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
        """Move everything but `own`: where that lies on a GPU, the host waits for it at each step."""
        moved = {k: v.to(device, non_blocking=True) for k, v in vars(self).items()}
        return Sample(**(moved | {"own": self.own}))

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


def changed_fields() -> tuple[NDArray[np.int_], Field]:
    """Return where each field comes from and its factor, (16, 13) each, for each set of changes."""
    order = np.tile(np.arange(FIELDS), (CHANGES, 1))
    factor = np.ones((CHANGES, FIELDS), np.float32)
    across, down = [0, 2, 4, 6, 8], [1, 3, 5, 7, 9]
    for change in range(CHANGES):
        source, sign = order[change], factor[change]
        if change & MIRRORED:
            sign[across] *= -1
        if change & FLIPPED:
            sign[down] *= -1
        if change & TRANSPOSED:
            for values in (source, sign):
                values[across + down] = values[down + across]
        if change & REVERSED:
            swapped = [2, 3, 0, 1, 4, 5, 8, 9, 6, 7, 11, 10, 12]
            source[:], sign[:] = source[swapped], sign[swapped]
            sign[12] *= -1
    return order, factor


ORDER, FACTOR = changed_fields()


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
        staged: Path | None = None,
    ) -> None:
        """Open the cache. taught: `teachers.label` was there; favoured: patterns of clips' names, see `FAVOUR`.

        staged: a cache that `staged.write_clips` wrote.
        """
        self.crop, self.own, self.curved, self.seed, self.taught = crop, own, curved, seed, taught
        self.frames: list[NDArray[np.uint8]] = []
        self.flows: list[NDArray[np.float16]] = []
        self.labels: list[NDArray[np.float16]] = []
        self.gains: list[Field] = []
        self.windows: list[tuple[int, int, Window]] = []
        share = self._open(cache, favoured)
        if staged:
            share = np.concatenate(((1 - STAGED) * share, STAGED * self._open(staged, ())))
        self.share = np.cumsum(share)

    def _open(self, cache: Path, favoured: Sequence[str]) -> Field:
        """Add a cache's windows, and return how often each of them is drawn, of 1."""
        begin, favour = len(self.windows), list[float]()
        truths = json.loads((cache / "teacher.json").read_text()) if self.taught else {}
        for clip in json.loads((cache / "index.json").read_text()):
            frames = np.load(cache / f"{clip['name']}.npy", mmap_mode="r")
            if min(frames.shape[1:3]) < self.crop or (self.taught and clip["name"] not in truths):
                continue
            number = len(self.frames)
            self.frames.append(frames)
            self.flows.append(np.load(cache / f"{clip['name']}.flow.npy", mmap_mode="r"))
            if self.flows[-1].shape[1] != FLOW:
                raise ArgumentError("cache", str(cache), "an empty folder, or one that this version wrote")
            windows = [Window(**w) for w in clip["windows"]]
            if self.taught:
                self.labels.append(np.load(cache / f"{clip['name']}.teacher.npy", mmap_mode="r"))
                self.gains.append(crop_means(np.load(cache / f"{clip['name']}.gain.npy"), self.crop))
                windows = [only(w, middle) for w, middle in zip(windows, truths[clip["name"]], strict=True)]
            self.windows += [(number, k, w) for k, w in enumerate(windows)]
            liked = any(fnmatch(clip["name"], pattern) for pattern in favoured)
            favour += [FAVOUR if liked else 1.0] * len(windows)
        added = self.windows[begin:]
        if not added:
            raise ArgumentError("crop", self.crop, f"a size that fits the clips in {cache}")
        apart = np.array([w.last - w.first - 1 for _, _, w in added])
        if self.taught:
            # By what can be learned there: where a teacher sees no more than DIS, there is less of it.
            near = np.array(favour) / np.sqrt(apart)
            gain = near * [self.gains[number][k].max() for number, k, _ in added]
            share = UNIFORM * near / near.sum() + (1 - UNIFORM) * gain / max(gain.sum(), 1e-9)
        else:
            # Near frames are what a video has, and what DIS cannot follow at all teaches little.
            hopeless = np.array([np.mean(w.mse) >= HOPELESS for _, _, w in added])
            share = np.array(favour) / apart * np.where(hopeless, 0.25, 1.0)
        part: Field = share / share.sum()
        return part

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
        fields = np.zeros((FIELDS, size // 2, size // 2), np.float32)
        fields[:FLOW] = self.flows[number][k][half]
        if self.taught:
            fields[FLOW:] = self.labels[number][k][half]

        change = sum(bit * (rng.random() < 0.5) for bit in (MIRRORED, FLIPPED, TRANSPOSED, REVERSED))
        if change & MIRRORED:
            stack, fields = stack[..., ::-1], fields[..., ::-1]
        if change & FLIPPED:
            stack, fields = stack[..., ::-1, :], fields[:, ::-1]
        if change & TRANSPOSED:
            stack, fields = stack.swapaxes(2, 3), fields.swapaxes(1, 2)
        if change & REVERSED:
            stack, t = stack[::-1], 1 - t
        fields = fields[ORDER[change]] * FACTOR[change][:, None, None]
        if rng.random() < 0.5:  # other colours
            gain = rng.uniform(*LIGHT) * rng.uniform(*TINT, 3)
            table = (np.arange(256) * gain[:, None]).clip(0, 255).astype(np.uint8)
            order = rng.permutation(3)
            stack = np.stack([table[k][stack[:, order[k]]] for k in range(3)], axis=1)
        if rng.random() >= self.curved:  # evenly
            fields[4:FLOW] = 0
        picture0, between, picture1 = (torch.from_numpy(p.copy()) for p in stack)
        return Sample(
            picture0,
            between,
            picture1,
            torch.from_numpy(fields[:4]),
            torch.from_numpy(fields[4:FLOW]),
            torch.from_numpy(fields[FLOW:]),
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
        """Where to crop: the one of a few random places that changes most."""
        height, width = image0.shape[:2]
        best, place = -1.0, (0, 0)
        for _ in range(TRIES):
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
