"""All windows on the device, cropped and augmented there: a GPU learns faster than processes can feed it.

What a sample is, and how often each window is drawn, is said by `samples.Windows`; only the random numbers differ.
Each crop is read by one index. A mirrored, flipped or transposed crop has the same pixels: only the steps from one
pixel to the next have another sign or length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .cache import BLOCK, Field
from .process import Process
from .samples import (
    CHANGES,
    FACTOR,
    FIELDS,
    FLIPPED,
    FLOW,
    LIGHT,
    MIRRORED,
    ORDER,
    PLACES,
    REVERSED,
    TINT,
    TRANSPOSED,
    TRIES,
    UNIFORM,
    Sample,
    Windows,
    crop_means,
)

Numbers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Drawn:
    """What is drawn of each sample, arrays with an axis for the samples.

    window, truth: which window, and which of its truths. y, x: the crop's corner, even. change: MIRRORED and the like.
    channels, light: (B, 3), which channel each colour is taken from, and its factor. bent, own: see `Sample`.
    """

    window: Numbers
    truth: Numbers
    y: Numbers
    x: Numbers
    change: Numbers
    channels: Numbers
    light: NDArray[np.float64]
    bent: NDArray[np.bool_]
    own: NDArray[np.bool_]

    def only(self, some: Numbers) -> Drawn:
        """Return some of them, by their numbers."""
        return Drawn(**{name: values[some] for name, values in vars(self).items()})


class Resident:
    """The windows of a cache on a device.

    Memory: 3 bytes a pixel of each frame, and 6.5 bytes a pixel of each window.
    """

    def __init__(self, windows: Windows, device: torch.device) -> None:
        self.windows, self.device = windows, device
        self.order, self.factor = (torch.from_numpy(x).to(device) for x in (ORDER, FACTOR))
        listed = windows.windows
        sizes = [frames.shape[:3] for frames in windows.frames]
        starts = np.cumsum([0, *(n * h * w for n, h, w in sizes)])
        self.pixels = torch.empty(int(starts[-1]), 3, dtype=torch.uint8, device=device)
        for frames, start in zip(windows.frames, starts, strict=False):
            self.pixels[start : start + frames[..., 0].size] = torch.from_numpy(np.array(frames)).view(-1, 3)
        self.height, self.width = np.array([sizes[number][1:] for number, _, _ in listed]).T
        area = self.height * self.width
        first = starts[[number for number, _, _ in listed]]
        self.ends = first[:, None] + area[:, None] * np.array([(w.first, w.last) for _, _, w in listed])
        self.count = np.array([len(w.truths) for _, _, w in listed])
        shape = len(listed), self.count.max()
        self.truths, self.t, self.errors = np.zeros(shape, int), np.zeros(shape), np.zeros((*shape, 2))
        for k, (_, _, w) in enumerate(listed):
            n = self.count[k]
            self.truths[k, :n] = first[k] + area[k] * np.array(w.truths)
            self.t[k, :n] = (np.array(w.truths) - w.first) / (w.last - w.first)
            self.errors[k, :n] = np.stack((w.l1, w.mse), 1)
        self.field_start = np.cumsum([0, *(area // 4)])
        self.fields = torch.zeros(int(self.field_start[-1]), FIELDS, dtype=torch.float16, device=device)
        for k in range(len(listed)):
            self._fill(k)
        self.change = PlaceMaps([self._change(k) for k in range(len(listed))])
        self.gain = PlaceMaps([windows.gains[number][own] for number, own, _ in listed]) if windows.taught else None

    def _fill(self, k: int) -> None:
        """Take window k's flow and its teachers' fields to the device."""
        number, own, _ = self.windows.windows[k]
        here = self.fields[self.field_start[k] : self.field_start[k + 1]]
        for some, fields in ((slice(FLOW), self.windows.flows), (slice(FLOW, FIELDS), self.windows.labels)):
            if fields:
                values = torch.from_numpy(np.array(fields[number][own])).to(self.device)
                here[:, some] = values.flatten(1).T

    def _change(self, k: int) -> Field:
        """Return how much both frames of window k differ in the crop that begins at each block."""
        height, width = self.height[k], self.width[k]
        i0, i1 = (self.pixels[at : at + height * width].view(height, width, 3).float() for at in self.ends[k])
        blocks = F.avg_pool2d((i0 - i1).abs().mean(2)[None, None], BLOCK)[0]
        means: Field = crop_means(blocks.cpu().numpy(), self.windows.crop)[0]
        return means

    def batches(self, count: int, process: Process, step: int) -> Iterator[Sample]:
        """Yield this process's part of `count` samples a step, from `step` on."""
        while True:
            yield self.cut(self.draw(count, step).only(np.array(process.numbers(count, step)) - step * count))
            step += 1

    def draw(self, count: int, step: int) -> Drawn:
        """Draw a step's samples: they follow from the step's number, so that several processes draw the same ones."""
        windows, size = self.windows, self.windows.crop
        rng = np.random.default_rng([windows.seed, step])
        k = np.searchsorted(windows.share, rng.random(count), side="right")
        rows, columns = self.height[k] - size, self.width[k] - size
        y, x = self.change.best(k, TRIES, rows, columns, rng)
        if self.gain is not None:
            taught = rng.random(count) >= UNIFORM
            better = self.gain.best(k, PLACES, rows, columns, rng)
            y, x = (np.where(taught, there, here) for here, there in zip((y, x), better, strict=True))
        coloured = rng.random((count, 1)) < 0.5  # half of them
        light = rng.uniform(*LIGHT, (count, 1)) * rng.uniform(*TINT, (count, 3))
        numbers = step * count + np.arange(count)
        return Drawn(
            window=k,
            truth=np.floor(rng.random(count) * self.count[k]).astype(int),
            y=y,
            x=x,
            change=rng.integers(CHANGES, size=count),
            channels=np.where(coloured, rng.permuted(np.tile(np.arange(3), (count, 1)), axis=1), np.arange(3)),
            light=np.where(coloured, light, 1.0),
            bent=rng.random(count) < windows.curved,
            own=np.floor((numbers + 1) * windows.own) > np.floor(numbers * windows.own),
        )

    def cut(self, drawn: Drawn) -> Sample:
        """Return the samples that were drawn."""
        to, size, change, k, truth = self._to, self.windows.crop, drawn.change, drawn.window, drawn.truth
        backwards = change & REVERSED > 0
        ends = np.where(backwards[:, None], self.ends[k, ::-1], self.ends[k])
        starts = np.stack((ends[:, 0], self.truths[k, truth], ends[:, 1]), 1)
        pictures = self.pixels[self._index(starts, drawn.y, drawn.x, self.width[k], size, change)].float()
        pictures = pictures.gather(-1, to(drawn.channels).view(-1, 1, 1, 1, 3).expand_as(pictures))
        pictures *= to(drawn.light).float().view(-1, 1, 1, 1, 3)
        pictures = pictures.clamp_(0, 255).to(torch.uint8).permute(1, 0, 4, 2, 3)

        starts = self.field_start[k][:, None]
        fields = self.fields[self._index(starts, drawn.y // 2, drawn.x // 2, self.width[k] // 2, size // 2, change)]
        order, factor = (values[to(change)].view(-1, 1, 1, FIELDS) for values in (self.order, self.factor))
        fields = fields[:, 0].float()
        fields = (fields.gather(-1, order.expand_as(fields)) * factor).permute(0, 3, 1, 2)
        t = np.where(backwards, 1 - self.t[k, truth], self.t[k, truth])
        return Sample(
            frame0=pictures[0],
            truth=pictures[1],
            frame1=pictures[2],
            flow=fields[:, :4],
            bend=fields[:, 4:FLOW] * to(drawn.bent).view(-1, 1, 1, 1),
            teacher=fields[:, FLOW:],
            t=to(t).float().view(-1, 1, 1, 1),
            error=to(self.errors[k, truth]).float(),
            own=torch.from_numpy(drawn.own),
        )

    def _to(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, non_blocking=True)

    def _index(self, starts: Numbers, y: Numbers, x: Numbers, width: Numbers, size: int, change: Numbers) -> Tensor:
        """Return the numbers of the crops' pixels, (B, N, S, S), in pictures that begin at `starts`, (B, N)."""
        down, across = np.where(change & FLIPPED, -width, width), np.where(change & MIRRORED, -1, 1)
        y, x = y + np.where(change & FLIPPED, size - 1, 0), x + np.where(change & MIRRORED, size - 1, 0)
        turned = change & TRANSPOSED > 0
        down, across = np.where(turned, across, down), np.where(turned, down, across)
        first = starts + (y * width + x)[:, None]
        along = torch.arange(size, device=self.device)
        rows, columns = (self._to(step).view(-1, 1, 1, 1) for step in (down, across))
        return self._to(first)[..., None, None] + rows * along[:, None] + columns * along


class PlaceMaps:
    """How much each window's crops are worth, by the block at which they begin."""

    def __init__(self, maps: list[Field]) -> None:
        self.rows, self.columns = np.array([x.shape for x in maps]).T
        self.values = np.zeros((len(maps), self.rows.max(), self.columns.max()), np.float32)
        for k, values in enumerate(maps):
            self.values[k, : values.shape[0], : values.shape[1]] = values

    def best(
        self, k: Numbers, tries: int, rows: Numbers, columns: Numbers, rng: np.random.Generator
    ) -> tuple[Numbers, Numbers]:
        """Return the best of some random places for each window k, (y, x): even numbers up to rows and columns."""
        y, x = (
            2 * np.floor(rng.random((len(k), tries)) * (most // 2 + 1)[:, None]).astype(np.int64)
            for most in (rows, columns)
        )
        at = k[:, None]
        worth = self.values[at, np.minimum(y // BLOCK, self.rows[at] - 1), np.minimum(x // BLOCK, self.columns[at] - 1)]
        best = worth.argmax(1)[:, None]
        return np.take_along_axis(y, best, 1)[:, 0], np.take_along_axis(x, best, 1)[:, 0]
