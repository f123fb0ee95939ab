"""What is measured: frames that are left out, and those around them.

A case is a pair of frames and what was between them. Folders of triplets, videos and folders of frames give cases.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import vapoursynth as vs

from vs_slomo.clips import cuts
from vs_slomo.errors import ArgumentError, SourceError
from vs_slomo.given import file_name, whole_number
from vs_slomo.training.cache import find_clips
from vs_slomo.training.pictures import PICTURES, read_picture
from vs_slomo.video.source import source

log = logging.getLogger("vs_slomo")

TRIPLETS = (
    ("frame10", "frame10i11", "frame11"),  # Middlebury
    ("frame_00", "frame_01_gt", "frame_02"),  # UCF101
    ("im1", "im2", "im3"),  # Vimeo90K
)
"""Names of a folder's pictures: the truth is the second one."""
PAIRS = 12
MOST = 1 << 31


@dataclass(frozen=True)
class LeftOut:
    """A pair of frames, and the frames between them that were left out, in equal steps.

    clip: what it belongs to. name: which part of that. seen: the pair and, where there are any, the frames as far
    before and after it: block motion and `curved` look at them too. at: the index of the pair's first frame in `seen`.
    """

    clip: str
    name: str
    seen: vs.VideoNode
    at: int
    truth: vs.VideoNode

    @property
    def multi(self) -> int:
        """Steps from one frame of the pair to the other."""
        return len(self.truth) + 1


def find_cases(
    folder: str | os.PathLike[str],
    *,
    stride: int | None = None,
    cases: int | None = None,
    max_size: int | None = None,
) -> Iterator[LeftOut]:
    """Yield the cases of a folder: of triplets, as public benchmarks have them, or of videos and folders of frames.

    stride: frames from one of a pair to the other; None is 2 in a video, and 8 in a folder of frames (Adobe240).
    cases: how many triplets of the folder, or pairs of each clip, evenly spread; None is all triplets, or PAIRS.
    max_size: shrink to at most this many pixels on the longer side. Pairs with a cut between them are skipped.

    Raises ArgumentError and SourceError.
    """
    folder = file_name("folder", folder, "a folder")
    if not os.path.isdir(folder):  # noqa: PTH112  # of any name
        raise ArgumentError("folder", str(folder), "a folder")
    for name, value, least in (("stride", stride, 2), ("cases", cases, 1), ("max_size", max_size, 16)):
        if value is not None:
            whole_number(name, value, least, MOST, f"None or an integer of at least {least}")
    triplets = list(find_triplets(folder))
    if triplets:
        if stride not in (None, 2):
            raise ArgumentError("stride", stride, "None or 2, as the folder holds triplets")
        for name, pictures in evenly_spread(triplets, cases):
            clip = in_memory(shrunk(picture_clip(pictures), max_size))
            yield LeftOut(name, "", clip[::2], 0, clip[1])
        return
    found = list(find_clips(folder))
    if not found:
        raise ArgumentError("folder", str(folder), "a folder with triplets of pictures, videos, or folders of frames")
    for path in found:
        yield from windows(path, folder, stride, cases or PAIRS, max_size)


def find_triplets(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield the triplets below a folder: name, and the three pictures in order.

    Middlebury keeps its truths in a tree of their own (other-gt-interp beside other-data). Vimeo90K lists its test
    triplets in tri_testlist.txt.
    """
    listed = folder / "tri_testlist.txt"
    test = set(listed.read_text().split()) if listed.is_file() else None
    for names in TRIPLETS:
        for truth in sorted(p for p in folder.rglob(f"{names[1]}.*") if p.suffix.lower() in PICTURES):
            beside = truth.parent.parent.parent / "other-data" / truth.parent.name
            for place in (truth.parent, beside):
                ends = [place / f"{name}{truth.suffix}" for name in names[::2]]
                if all(p.is_file() for p in ends):
                    break
            else:
                raise SourceError(f"{truth}: {names[0]} and {names[2]} are not beside it")
            name = truth.parent.relative_to(folder).as_posix()
            if test is None or name.removeprefix("sequences/") in test:
                yield name, [ends[0], truth, ends[1]]


def evenly_spread[T](items: Sequence[T], count: int | None) -> list[T]:
    """Return so many of the items, evenly spread, the first and the last among them; None is all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def windows(path: Path, folder: Path, stride: int | None, count: int, max_size: int | None) -> Iterator[LeftOut]:
    """Yield the cases of a video or a folder of frames."""
    name = path.relative_to(folder).with_suffix("").as_posix()
    if path.is_dir():
        whole = picture_clip(sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES))
        step = stride or 8
        # Adobe240: one window begins where the last one ended.
        starts = range(0, len(whole) - step, step)
    else:
        whole, step = source(path), stride or 2
        starts = range(len(whole) - step)
    if not starts:
        log.warning("%s is left out: %d frames are too few", name, len(whole))
    clip = shrunk(whole, max_size)
    for first in evenly_spread(starts, count):
        at = int(first >= step)
        around = in_memory(clip[first - at * step : first + 2 * step + 1])
        window = around[at * step : (at + 1) * step + 1]
        if any(f.props[cuts.NEXT] for f in cuts.detect(window)[:-1].frames(close=True)):
            log.info("%s: frames %d to %d are left out, there is a cut", name, first, first + step)
            continue
        yield LeftOut(name, str(first), around[::step], at, window[1:-1])


def picture_clip(paths: Sequence[Path]) -> vs.VideoNode:
    """Return pictures of one size as a clip, RGB of 8 bit; each is read when it is asked for. Raises SourceError."""
    height, width = read_picture(paths[0]).shape[:2]
    blank = vs.core.std.BlankClip(format=vs.RGB24, width=width, height=height, length=len(paths), keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, picture = f.copy(), read_picture(paths[n])
        if picture.shape[:2] != (height, width):
            raise SourceError(f"{paths[n]}: is {picture.shape[1]}x{picture.shape[0]}, {paths[0].name} {width}x{height}")
        for p in range(3):
            np.copyto(np.asarray(out[p]), picture[..., p])
        return out

    return blank.std.ModifyFrame(blank, fill)


def shrunk(clip: vs.VideoNode, max_size: int | None) -> vs.VideoNode:
    """Return the clip with at most so many pixels on the longer side, in its own format."""
    longer = max(clip.width, clip.height)
    if max_size is None or longer <= max_size:
        return clip
    sizes = []
    for size, steps in ((clip.width, clip.format.subsampling_w), (clip.height, clip.format.subsampling_h)):
        sizes.append(max(16, round(Fraction(size * max_size, longer) / 2**steps) << steps))
    return clip.resize.Bilinear(*sizes)


def in_memory(clip: vs.VideoNode) -> vs.VideoNode:
    """Return the same clip with all its frames made now, so that no method waits for a decoder. Raises SourceError."""
    try:
        frames = [*clip.frames()]
    except vs.Error as error:
        raise SourceError(f"a frame could not be read: {error}") from error
    blank = clip.std.BlankClip(keep=True)
    return blank.std.ModifyFrame(blank, lambda n, f: frames[n])  # noqa: ARG005  # the host's names
