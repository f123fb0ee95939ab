"""Footage packed small, to be carried to another machine: HEVC videos and WebP pictures."""

from __future__ import annotations

import logging
import shutil
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec.structs import replace

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, RenderError

from .cache import find_clips, read_frames, shrink
from .config import Config, as_toml
from .pictures import PICTURES, read_picture
from .teachers import carried

log = logging.getLogger("vs_slomo")

QUALITIES = (20, 23, 26, 29, 32)
"""x265's rate factors, best first."""
PHOTO_SIDE, PHOTO_QUALITY = 960, 85


def pack_run(config: Config, target: Path, *, megabytes: float, frames: int | None = None) -> None:
    """Write all that a run needs into a new folder `target`, of at most `megabytes`: footage, start, config.

    frames: the most of each clip, from its beginning; None is all. There, ``vs-slomo train config.toml`` does what it
    would do here. The bundled model is not packed: it comes with the package.
    """
    if target.exists():
        raise ArgumentError("pack", str(target), "a folder that is not there yet")
    target.mkdir(parents=True)
    here: dict[str, Any] = {"data": "train", "run": "run", "cache": ""}
    left = megabytes * 1e6
    if config.start and weights.find(config.start) == weights.BUNDLED:
        here["start"] = "bundled"
    elif config.start:
        here["start"] = "start.safetensors"
        start = shutil.copyfile(weights.find(config.start), target / here["start"])
        left -= start.stat().st_size
    if config.rife:
        here["rife"] = Path(config.rife).name
        left -= carried(Path(config.rife), target / here["rife"])
    if config.photos and any(stage.scenes for stage in config.stage):
        here["photos"] = "photos"
        left -= pack_photos(Path(config.photos), target / "photos")
    else:
        here["photos"] = ""
    if config.validation:
        here["validation"] = "validation"
        left -= pack(Path(config.validation), target / "validation", megabytes=left / 4e6, max_side=1280)
    pack(Path(config.data), target / "train", megabytes=left / 1e6, max_side=config.max_side, frames=frames)
    (target / "config.toml").write_text(as_toml(replace(config, **here)))


def pack(folder: Path, target: Path, *, megabytes: float, max_side: int = 960, frames: int | None = None) -> int:
    """Encode every clip below `folder` into `target`, and return the bytes of all.

    The best quality that keeps the whole below `megabytes`, with frames of at most `max_side`, is taken.
    frames: the most of each clip; None is all.
    Raises ArgumentError where none does.
    """
    found = list(find_clips(folder))
    if not found:
        raise ArgumentError("data", str(folder), "a folder with videos, or with folders of pictures")
    for quality in QUALITIES:
        total = 0
        for path in found:
            name = path.relative_to(folder).with_suffix(".mkv")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            encode(path, target / name, max_side, quality, frames)
            total += (target / name).stat().st_size
            if total > megabytes * 1e6:
                break
        else:
            log.info("%s: %d clips, %.1f MB at quality %d", target, len(found), total / 1e6, quality)
            return total
    raise ArgumentError("megabytes", megabytes, f"enough for {folder}: the worst quality takes more")


def encode(path: Path, target: Path, max_side: int, quality: int, most: int | None = None) -> None:
    """Write one clip as HEVC, or its first `most` frames; frame rate does not matter here."""
    from imageio_ffmpeg import get_ffmpeg_exe

    frames = (shrink(image, max_side) for image in islice(read_frames(path), most))
    first = next(frames)
    height, width = first.shape[:2]
    command = [
        get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", "30", "-i", "-", "-c:v", "libx265", "-preset", "fast", "-crf", str(quality),
        "-x265-params", "log-level=error", "-pix_fmt", "yuv420p", str(target),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        stdin = process.stdin
        if stdin is None:  # never: it was asked for
            raise RenderError("ffmpeg has no input")
        stdin.write(first.tobytes())
        for frame in frames:
            stdin.write(frame.tobytes())
        stdin.close()
        if process.wait():
            raise RenderError(f"ffmpeg could not write {target}")


def pack_photos(folder: Path, target: Path) -> int:
    """Shrink pictures to WebP; return the bytes of all."""
    target.mkdir(parents=True, exist_ok=True)
    total = 0
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        small = shrink(read_picture(path), PHOTO_SIDE)
        out = target / f"{path.stem}.webp"
        cv2.imwrite(str(out), np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, PHOTO_QUALITY])
        total += out.stat().st_size
    return total
