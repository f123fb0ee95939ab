"""Synthetic clips as a cache of their own, with exact labels of the motion at t.

Footage rarely shows things that move as far as they are large, and no teacher can follow them. Here all flow is known.
The files are those of `cache` and `teachers`, so that `samples` draws from them as from footage.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .cache import BLOCK, FLOW_SCALE, Clip, Window, all_motion, dis_error
from .figures import with_figures
from .pictures import Image
from .process import in_processes
from .samples import texture_bank
from .scenes import Scenes, random_scenes
from .teachers import smaller

SIZE = 320
"""Height and width of the frames."""
FRAMES = 9
"""Of a clip."""
STEP = 0.2
"""Time from a frame to the next. Within a window of 8 steps motion bends, but hardly turns back."""
PAIRS = ((0, 8), (0, 6), (2, 8), (1, 5), (4, 8), (3, 5))
"""First and last frame of a clip's windows."""
LAYERS = 5
SPEEDS = 2.5, 50.0
"""Range of a clip's speed, in pixels a unit of time: half a pixel to ten pixels a frame; slow ones more often."""
SHUTTER = 0.5
"""Motion blur of every second clip, as a part of the time between two frames."""
FIGURES = 2
"""At most in a clip; half of the clips have some."""
WALK = 40.0
"""The fastest figure's speed at least, in pixels a unit of time: 8 a frame."""
TEXTURES, TEXTURE = 64, 480
"""Pictures that the layers are cut from, and their height and width."""


def write_clips(
    footage: Path, folder: Path, count: int, *, photos: str = "", seed: int = 0, processes: int = 1
) -> None:
    """Write a cache of `count` synthetic clips into `folder`; nothing is done if it is there already.

    footage: the cache that half of the textures come from, or all of them without `photos`.
    """
    index = folder / "index.json"
    if index.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    bank = folder / "textures.npy"
    np.save(bank, texture_bank(footage, photos, seed, TEXTURES, TEXTURE).numpy())
    made = in_processes(partial(write_clip, folder=folder, seed=seed), range(count), processes)
    bank.unlink()
    truths = {clip.name: [window.truths[0] for window in clip.windows] for clip in made}
    (folder / "teacher.json").write_text(json.dumps(truths))
    index.write_text(json.dumps([asdict(clip) for clip in made]))


def write_clip(number: int, *, folder: Path, seed: int) -> Clip:
    """Write one clip, the same for the same number and seed."""
    rng = np.random.default_rng([seed, number])
    low, high = SPEEDS
    speed = low + (high - low) * float(rng.random()) ** 2
    bank = torch.from_numpy(np.load(folder / "textures.npy", mmap_mode="c"))
    scene = random_scenes([int(rng.integers(2**62))], SIZE, SIZE, bank, layers=LAYERS, speed=speed, lighting=0.05)
    if number % 4 in (1, 2):
        count, half_time = int(rng.integers(1, FIGURES + 1)), STEP * (FRAMES - 1) / 2
        scene = with_figures(scene, count, max(speed, WALK), half_time, int(rng.integers(2**62)))
    shutter = SHUTTER * STEP if number % 2 else 0.0
    frames = np.concatenate([as_picture(scene.frames(STEP * k, shutter)) for k in range(FRAMES)])
    windows, flows, labels = [], [], []
    for first, last in PAIRS:
        middle = int(rng.integers(first + 1, last))
        found = all_motion(frames, first, last, np.zeros(FRAMES, np.int_))
        l1, mse = dis_error(frames[first], frames[middle], frames[last], found, (middle - first) / (last - first))
        start, at, end = (STEP * k for k in (first, middle, last))
        exact = torch.cat((scene.flows(start, end), scene.flows(end, start)), dim=1)
        motion = float(np.percentile(exact[:, :2].square().sum(1).sqrt(), 95))
        windows.append(Window(first, last, motion, (middle,), (l1,), (mse,)))
        straight = torch.zeros_like(exact[:, :2])
        flows.append(smaller(torch.cat((exact * FLOW_SCALE, straight), dim=1))[0].numpy())
        labels.append(smaller(exact_label(scene, start, at, end))[0].numpy())
    name = f"staged_{number:04}"
    np.save(folder / f"{name}.npy", frames)
    np.save(folder / f"{name}.flow.npy", np.stack(flows).astype(np.float16))
    np.save(folder / f"{name}.teacher.npy", np.stack(labels).astype(np.float16))
    np.save(folder / f"{name}.gain.npy", np.zeros((len(PAIRS), SIZE // BLOCK, SIZE // BLOCK), np.float32))
    return Clip(name, tuple(windows))


def exact_label(scene: Scenes, start: float, at: float, end: float) -> Tensor:
    """Return what `teachers.labelled` says of these times, here exactly and at full size, (1, 7, H, W)."""
    flows = [scene.flows(at, time) * FLOW_SCALE for time in (start, end)]
    seen = [scene.visible(at, time).float()[:, None] for time in (start, end)]
    return torch.cat((*flows, *seen, seen[0] - seen[1]), dim=1)


def as_picture(frames: Tensor) -> Image:
    """Return (B, 3, H, W) in [0, 1] as (B, H, W, 3) uint8."""
    return (frames * 255).round().byte().permute(0, 2, 3, 1).numpy()
