"""How near each method comes to true frames that were left out: tables, and the worst cases as pictures.

A case is a pair of frames and what was between them. Every method sees a clip with the pair in it, and goes its usual
way through the host; pictures are compared as RGB of 8 bit.
"""

from __future__ import annotations

import csv
import functools
import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import torch
import vapoursynth as vs
from numpy.typing import NDArray
from torch import Tensor

from vs_slomo import weights
from vs_slomo.clips import cuts
from vs_slomo.clips.frames import read_planes
from vs_slomo.errors import ArgumentError, SlomoError, SourceError
from vs_slomo.filters.baselines import blend, flow, mc, sample
from vs_slomo.filters.slomo import slomo
from vs_slomo.metrics import interpolation_error, psnr, ssim
from vs_slomo.training.data import PICTURES, find_clips
from vs_slomo.video.probe import ffmpeg, last_lines, run
from vs_slomo.video.render import raw_input
from vs_slomo.video.source import source

log = logging.getLogger("vs_slomo")

Method = Callable[[vs.VideoNode, int], vs.VideoNode]
"""From a clip and a factor to that many times as many frames."""
Image = NDArray[np.uint8]

TRIPLETS = (
    ("frame10", "frame10i11", "frame11"),  # Middlebury
    ("frame_00", "frame_01_gt", "frame_02"),  # UCF101
    ("im1", "im2", "im3"),  # Vimeo90K
)
"""Names of a folder's pictures: the truth is the second one."""
PAIRS = 12
HIGHEST = 100.0
"""PSNR in dB that stands for no error at all, and for more."""


@dataclass(frozen=True)
class Case:
    """Two frames, and the frames between them in equal steps.

    clip: what it belongs to. name: which part of that. seen: the pair, and where there are some the frames as far
    before and behind (block motion looks there too). at: the first one of the pair.
    """

    clip: str
    name: str
    seen: vs.VideoNode
    at: int
    truth: vs.VideoNode

    @property
    def multi(self) -> int:
        """Steps from frame to frame."""
        return len(self.truth) + 1


@dataclass(frozen=True)
class Score:
    """How far a method's frame at t is from the truth: PSNR in dB, SSIM, IE in steps of 8 bit."""

    clip: str
    case: str
    t: float
    method: str
    psnr: float
    ssim: float
    ie: float


METRICS = ("psnr", "ssim", "ie")


# --- the methods ------------------------------------------------------------------------------------------


def methods(names: Sequence[str] | None = None, *, sc: bool = True, **options: Any) -> dict[str, Method]:
    """Return methods by name: those asked for, or all that there are here.

    slomo-unet and slomo-dis are the filter with either flow stage, slomo-even with the model's own and `curved` off;
    dis is classical flow by the paper's formula with both warps as one half, flow the same with occlusions. sc: whether
    cuts count. options: further ones of `slomo`.

    Raises ArgumentError for a name that is not known, SlomoError for a method whose plugin is missing.
    """
    known: dict[str, Method] = {
        "slomo-unet": functools.partial(slomo, flow="unet", sc=sc, **options),
        "slomo-dis": functools.partial(slomo, flow="dis", sc=sc, **options),
        "slomo-even": functools.partial(slomo, curved=False, sc=sc, **options),
        "sample": functools.partial(sample, sc=sc),
        "blend": functools.partial(blend, sc=sc),
        "mc": functools.partial(mc, sc=sc),
        "minterpolate": functools.partial(minterpolate, sc=sc),
        "dis": functools.partial(flow, occlusion=False, sc=sc),
        "flow": functools.partial(flow, sc=sc),
    }
    chosen = {}
    probe = vs.core.std.BlankClip(format=vs.GRAY8, width=64, height=64, length=2)
    for name in known if names is None else names:
        if name not in known:
            raise ArgumentError("methods", name, f"some of {', '.join(known)}")
        try:
            if name in ("mc", "minterpolate"):
                known[name](probe, 2)
        except SlomoError as error:
            if names is not None:
                raise
            log.warning("%s is left out: %s", name, error)
        else:
            chosen[name] = known[name]
    return chosen


def model_line(model: str | os.PathLike[str] = "bundled", scale: float | None = None, **_: Any) -> str:
    """Return what the filter's methods run on, from the options of `methods`."""
    info = weights.read_info(model)
    flow = {"unet": "slomo-unet", "dis": "slomo-dis"}[info.flow]
    return f"model {info.name} {info.version}, width {info.width}, scale {scale or info.scale:g}; its default is {flow}"


def minterpolate(clip: vs.VideoNode, multi: int, *, sc: bool = True) -> vs.VideoNode:
    """Return the clip with `multi` times as many frames, made by ffmpeg's filter of that name with block motion.

    Not lazy: the whole clip is made now. sc: let it look for cuts. Raises SourceError.
    """
    motion = "mi_mode=mci:mc_mode=aobmc:me_mode=bidir:vsbmc=1" + ("" if sc else ":scd=none")
    raw = raw_input(clip.std.AssumeFPS(fpsnum=1))
    kind = raw[raw.index("-pixel_format") + 1]
    told = ["-vf", f"minterpolate=fps={multi}:{motion}", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", kind]
    # It ends one frame early.
    frames = [*clip.frames(close=False), clip.get_frame(len(clip) - 1)]
    done = run(["-v", "error", *raw, *told, "pipe:1"], input=b"".join(map(packed, frames)))
    pixels = np.frombuffer(done.stdout, np.uint8)
    size = len(packed(frames[0]))
    made = pixels.reshape(-1, size) if len(pixels) % size == 0 else pixels[:0].reshape(0, size)
    if done.returncode or len(made) != (len(clip) - 1) * multi + 1:
        raise SourceError(f"{ffmpeg()}: minterpolate failed: {last_lines(done.stderr.decode(errors='replace'))}")

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        return unpack(f.copy(), made[min(n, len(made) - 1)])

    longer = vs.core.std.Interleave([clip] * multi)
    return longer.std.ModifyFrame(longer, fill)


def packed(frame: vs.VideoFrame) -> bytes:
    """Return a frame's planes as raw video has them: RGB as G, B, R."""
    return b"".join(np.ascontiguousarray(np.asarray(frame[p])).tobytes() for p in raw_order(frame))


def raw_order(frame: vs.VideoFrame) -> Sequence[int]:
    """Return a frame's planes in the order of raw video."""
    return (1, 2, 0) if frame.format.color_family == vs.ColorFamily.RGB else range(frame.format.num_planes)


def unpack(frame: vs.VideoFrame, pixels: Image) -> vs.VideoFrame:
    """Undo `packed`."""
    for p in raw_order(frame):
        plane = np.asarray(frame[p])
        own, pixels = pixels[: plane.nbytes], pixels[plane.nbytes :]
        np.copyto(plane, own.view(plane.dtype).reshape(plane.shape))
    return frame


# --- the cases --------------------------------------------------------------------------------------------


def find_cases(
    folder: str | os.PathLike[str],
    *,
    stride: int | None = None,
    cases: int | None = None,
    max_size: int | None = None,
) -> Iterator[Case]:
    """Yield the cases of a folder: of triplets, as the benchmarks have them, or of videos and folders of frames.

    stride: frames from one of a pair to the other; None is 2 in a video, and 8 in a folder of frames (Adobe240).
    cases: how many triplets of the folder, or pairs of each clip, evenly spread; None is all triplets, or PAIRS.
    max_size: shrink to this many pixels on the longer side. Pairs with a cut between them are left out.

    Raises ArgumentError and SourceError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArgumentError("folder", str(folder), "a folder")
    for name, value, least in (("stride", stride, 2), ("cases", cases, 1), ("max_size", max_size, 16)):
        if value is not None and value < least:
            raise ArgumentError(name, value, f"None or an integer of at least {least}")
    triplets = list(find_triplets(folder))
    if triplets:
        if stride not in (None, 2):
            raise ArgumentError("stride", stride, "None or 2, as the folder holds triplets")
        for name, pictures in spread(triplets, cases):
            clip = in_memory(shrunk(picture_clip(pictures), max_size))
            yield Case(name, "", clip[::2], 0, clip[1])
        return
    found = list(find_clips(folder))
    if not found:
        raise ArgumentError("folder", str(folder), "a folder with triplets of pictures, videos, or folders of frames")
    for path in found:
        yield from windows(path, folder, stride, cases or PAIRS, max_size)


def find_triplets(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield the triplets below a folder: name, and the pictures in their order.

    Middlebury has its truths in a tree of their own (other-gt-interp beside other-data). Vimeo90K lists those to test
    with in tri_testlist.txt.
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


def spread[T](items: Sequence[T], count: int | None) -> list[T]:
    """Return so many of the items, evenly spread; None is all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def windows(path: Path, folder: Path, stride: int | None, count: int, max_size: int | None) -> Iterator[Case]:
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
    for first in spread(starts, count):
        at = int(first >= step)
        around = in_memory(clip[first - at * step : first + 2 * step + 1])
        window = around[at * step : (at + 1) * step + 1]
        if any(f.props[cuts.NEXT] for f in cuts.detect(window)[:-1].frames(close=True)):
            log.info("%s: frames %d to %d are left out, there is a cut", name, first, first + step)
            continue
        yield Case(name, str(first), around[::step], at, window[1:-1])


def picture_clip(paths: Sequence[Path]) -> vs.VideoNode:
    """Return pictures of one size as a clip, RGB of 8 bit; each is read when it is asked for. Raises SourceError."""

    def read(path: Path) -> Image:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise SourceError(f"{path}: is not a picture that OpenCV can read")
        return np.asarray(picture, np.uint8)

    height, width = read(paths[0]).shape[:2]
    blank = vs.core.std.BlankClip(format=vs.RGB24, width=width, height=height, length=len(paths), keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out, picture = f.copy(), read(paths[n])
        if picture.shape[:2] != (height, width):
            raise SourceError(f"{paths[n]}: is {picture.shape[1]}x{picture.shape[0]}, {paths[0].name} {width}x{height}")
        for p in range(3):
            np.copyto(np.asarray(out[p]), picture[..., 2 - p])
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


# --- the measurement --------------------------------------------------------------------------------------


def evaluate(
    cases: Iterator[Case],
    methods: Mapping[str, Method],
    *,
    worst: Path | None = None,
    pictures: int = 4,
    progress: Callable[[str], None] | None = None,
) -> list[Score]:
    """Return every method's score of every frame that the cases leave out.

    worst: a folder for pictures of the cases that the first method does worst, `pictures` of them.
    progress: told of every case that is done.
    """
    scores: list[Score] = []
    panels: list[tuple[float, int, str, Image]] = []
    clips: dict[str, vs.VideoNode] = {}
    for case in cases:
        # The last case's clips are held until the new ones have met their model: the engine is theirs together.
        _held, clips = clips, {name: method(case.seen, case.multi) for name, method in methods.items()}
        for n, truth in enumerate(rgb_frames(case.truth), 1):
            made = {name: next(rgb_frames(clip[case.at * case.multi + n])) for name, clip in clips.items()}
            own = [Score(case.clip, case.name, n / case.multi, m, *measured(made[m], truth)) for m in methods]
            scores += own
            if worst is not None:
                title = f"{case.clip} {case.name}".replace("/", "_").strip()
                panels.append((-own[0].psnr, -len(scores), title, panel(made, truth, own)))
                panels = sorted(panels, reverse=True)[:pictures]
        if progress is not None:
            progress(f"{case.clip} {case.name}".strip())
    if not scores:
        raise SourceError("nothing to measure: no two frames without a cut between them")
    if worst is not None:
        for place, (_, _, title, image) in enumerate(panels, 1):
            cv2.imwrite(str(worst / f"worst_{place}_{title}.png"), image)
    return scores


def rgb_frames(clip: vs.VideoNode) -> Iterator[Tensor]:
    """Yield the frames as RGB of 8 bit, (3, H, W) in [0, 1]; without a matrix, BT.601 up to 576 lines, else BT.709."""
    matrix = 6 if clip.width <= 1024 and clip.height <= 576 else 1
    rgb = clip.resize.Bicubic(format=vs.RGB24, matrix_in=matrix) if clip.format.id != vs.RGB24 else clip
    try:
        for n in range(len(rgb)):
            yield read_planes(rgb.get_frame(n), range(3))[0] / 255
    except vs.Error as error:
        raise SourceError(f"a frame could not be made: {error}") from error


def measured(picture: Tensor, truth: Tensor) -> tuple[float, float, float]:
    """Return PSNR (at most HIGHEST), SSIM and IE."""
    return min(psnr(picture, truth), HIGHEST), ssim(picture, truth), interpolation_error(picture, truth)


GAIN, ABREAST = 4, 3
"""How much differences are amplified to be seen, and how many pictures stand side by side."""


def panel(made: Mapping[str, Tensor], truth: Tensor, scores: Sequence[Score], width: int = 480) -> Image:
    """Lay out the truth and every method's picture, and below each the difference from the truth times GAIN, BGR."""

    def cell(picture: Tensor, text: str) -> Image:
        image = as_image(picture)
        height = round(image.shape[0] * width / image.shape[1])
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if text:
            image[:26] //= 3
            cv2.putText(image, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        return image

    cells = [np.concatenate([cell(truth, "truth"), cell(torch.zeros_like(truth), f"differences x {GAIN}")])]
    for score in scores:
        picture = made[score.method]
        difference = cell(amplified(picture, truth, GAIN), "")
        cells.append(np.concatenate([cell(picture, f"{score.method} {score.psnr:.2f} dB"), difference]))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % ABREAST)
    rows = [np.concatenate(cells[i : i + ABREAST], axis=1) for i in range(0, len(cells), ABREAST)]
    return np.concatenate(rows)


def amplified(picture: Tensor, truth: Tensor, gain: int) -> Tensor:
    """Return the difference of two pictures, `gain` times as strong."""
    return (gain * (picture - truth).abs()).clamp(0, 1)


def as_image(picture: Tensor) -> Image:
    """Return (3, H, W) RGB in [0, 1] as OpenCV has pictures, (H, W, 3) BGR uint8."""
    image: Image = (255 * picture.flip(0)).round().byte().permute(1, 2, 0).contiguous().numpy()
    return image


# --- the tables -------------------------------------------------------------------------------------------

Table = dict[str, dict[str, dict[str, float]]]
"""Clip, method, metric; the clip "mean" is the mean over all clips."""


def table(scores: Sequence[Score]) -> Table:
    """Return the means of each clip, and the mean of the clips."""
    rows: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    for score in scores:
        rows[score.clip][score.method].append(score)
    means = {
        clip: {method: {m: fmean(getattr(s, m) for s in own) for m in METRICS} for method, own in row.items()}
        for clip, row in rows.items()
    }
    names = next(iter(means.values()), {})
    means["mean"] = {name: {m: fmean(row[name][m] for row in means.values()) for m in METRICS} for name in names}
    return means


MOST_ROWS = 40


def as_text(means: Table) -> str:
    """Lay out PSNR by clip and method, where there are not too many clips, and below it the means of all metrics."""
    names = list(means["mean"])
    rows = {clip: [f"{row[m]['psnr']:.2f}" for m in names] for clip, row in means.items() if clip != "mean"}
    if len(rows) > MOST_ROWS:
        rows = {}
    rows |= {f"mean {metric.upper()}": [] for metric in METRICS}
    for metric, digits in zip(METRICS, (2, 4, 2), strict=True):
        rows[f"mean {metric.upper()}"] = [f"{means['mean'][m][metric]:.{digits}f}" for m in names]
    head = "PSNR in dB"
    first = max(map(len, [head, *rows]))
    widths = [max(len(name), 7) + 2 for name in names]
    lines = [[head, *names], *([clip, *row] for clip, row in rows.items())]
    return "\n".join(
        f"{line[0]:{first}}" + "".join(f"{x:>{w}}" for x, w in zip(line[1:], widths, strict=True)) for line in lines
    )


def write(scores: Sequence[Score], folder: Path, about: Mapping[str, Any]) -> None:
    """Write scores.csv (a line for every frame and method), summary.json and table.txt. about: put into the JSON."""
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(Score.__dataclass_fields__))
        rows.writeheader()
        rows.writerows(asdict(s) for s in scores)
    means = table(scores)
    summary = {**about, "frames": len(scores) // max(len(means["mean"]), 1), "means": means}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2, default=str) + "\n", encoding="utf-8")
    text = [*(str(about[name]) for name in ("model",) if name in about), as_text(means), ""]
    (folder / "table.txt").write_text("\n".join(text), encoding="utf-8")
