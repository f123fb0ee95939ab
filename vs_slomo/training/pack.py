"""Footage packed small, to be carried to another machine: HEVC videos and WebP pictures."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec.structs import replace

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.given import whole_number

from .cache import find_clips, read_frames, shrink
from .config import Config, as_toml
from .pictures import PICTURES, Image, read_picture
from .teachers import carried

log = logging.getLogger("vs_slomo")

QUALITIES = (20, 23, 26, 29, 32)
"""x265's rate factors, best first."""
PHOTO_SIDE, PHOTO_QUALITY = 960, 85


def pack_run(config: Config, target: Path, *, megabytes: float, frames: int | None = None, parts: int = 1) -> None:
    """Write all that a run needs into a new folder `target`, of at most `megabytes`: footage, start, config.

    There, ``vs-slomo train config.toml`` does what it would do here. The bundled model is not packed: it comes with the
    package. frames: the most of each clip, from its beginning; None is all. parts: up to so many parts of a clip, each
    of so many frames, evenly spread.
    """
    if frames is not None:
        frames = whole_number("frames", frames, 1, sys.maxsize, "None or a number from 1")
    parts = whole_number("parts", parts, 1, sys.maxsize, "a number from 1")
    if parts > 1 and frames is None:
        raise ArgumentError("parts", parts, "1, or a number of `frames` for each part")
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
    if config.photos and (config.staged or any(stage.scenes for stage in config.stage)):
        here["photos"] = "photos"
        left -= pack_photos(Path(config.photos), target / "photos")
    else:
        here["photos"] = ""
    if config.validation:
        here["validation"] = "validation"
        left -= pack(Path(config.validation), target / "validation", megabytes=left / 4e6, max_side=1280)
    pack(
        Path(config.data), target / "train", megabytes=left / 1e6, max_side=config.max_side, frames=frames, parts=parts
    )
    (target / "config.toml").write_text(as_toml(replace(config, **here)))


def pack(
    folder: Path, target: Path, *, megabytes: float, max_side: int = 960, frames: int | None = None, parts: int = 1
) -> int:
    """Encode every clip below `folder` into `target`, and return the bytes of all.

    The best quality that keeps the whole below `megabytes`, with frames of at most `max_side`, is taken.
    frames, parts: as for `pack_run`; where a clip has several parts, each is a clip of its own.
    Raises ArgumentError where no quality does.
    """
    found = list(find_clips(folder))
    if not found:
        raise ArgumentError("data", str(folder), "a folder with videos, or with folders of pictures")
    for quality in QUALITIES:
        total = 0
        for path in found:
            name = path.relative_to(folder).with_suffix("")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            pictures = [shrink(image, max_side) for image in islice(read_frames(path), frames if parts == 1 else None)]
            spread = starts(len(pictures), frames, parts)
            for k, start in enumerate(spread):
                out = target / f"{name}{f'.{k}' if len(spread) > 1 else ''}.mkv"
                encode(pictures[start : frames and start + frames], out, quality)
                total += out.stat().st_size
            if total > megabytes * 1e6:
                break
        else:
            log.info("%s: %d clips, %.1f MB at quality %d", target, len(found), total / 1e6, quality)
            return total
    raise ArgumentError("megabytes", megabytes, f"enough for {folder}: the worst quality takes more")


def starts(count: int, frames: int | None, parts: int) -> list[int]:
    """Return where a clip's parts begin: evenly spread, and no more than fit beside each other."""
    if frames is None or count < 2 * frames:
        return [0]
    return [int(start) for start in np.linspace(0, count - frames, min(parts, count // frames))]


def encode(frames: list[Image], target: Path, quality: int) -> None:
    """Write a clip as HEVC; its frame rate does not matter here."""
    from imageio_ffmpeg import get_ffmpeg_exe

    height, width = frames[0].shape[:2]
    command = [
        get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", "30", "-i", "-", "-c:v", "libx265", "-preset", "fast", "-crf", str(quality),
        "-x265-params", "log-level=error", "-pix_fmt", "yuv420p", str(target),
    ]  # fmt: skip
    if subprocess.run(command, input=b"".join(frames), check=False).returncode:
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
