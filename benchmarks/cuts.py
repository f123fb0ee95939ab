"""Cuts: precision and recall of `vs_slomo.cuts` and of two well-known detectors, on marked footage and on splices.

    python benchmarks/cuts.py ../shared/data

The folder holds the files that tests/data/cuts.json names. Frames are decoded once, at the detectors' own sizes.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import vapoursynth as vs

from vs_slomo.clips import cuts

MARKS = json.loads((Path(__file__).parents[1] / "tests/data/cuts.json").read_text())
core = vs.core

Pair = tuple[str, int]
Scores = dict[Pair, float]


def luma(clip: vs.VideoNode) -> vs.VideoNode:
    return clip.std.ShufflePlanes(0, vs.GRAY)


def mean_difference(clip: vs.VideoNode) -> Iterator[float]:
    """What misc.SCDetect compares with its threshold, 0.1: the mean absolute difference of the whole luma."""
    compared = luma(clip).std.PlaneStats(luma(clip)[1:] + luma(clip)[-1])
    for frame in compared.frames(close=True):
        yield frame.props["PlaneStatsDiff"]


def mvtools(clip: vs.VideoNode) -> Iterator[float]:
    """mv.SCDetection with its defaults: thscd1 = 400, thscd2 = 130."""
    vectors = clip.mv.Super().mv.Analyse(isb=True)
    for frame in clip.mv.SCDetection(vectors).frames(close=True):
        yield frame.props["_SceneChangeNext"]


def ours(clip: vs.VideoNode) -> Iterator[float]:
    for frame in cuts.detect(clip).frames(close=True):
        yield frame.props.get(cuts.SCORE, 0.0)


DETECTORS = {
    "mean difference": (mean_difference, 0.1),
    "mv.SCDetection": (mvtools, 0.5),
    "ours": (ours, cuts.THRESHOLD),
}


def counts(scores: Scores, pairs: Iterable[Pair], threshold: float) -> tuple[int, int, int]:
    """Return true positives, false positives and false negatives."""
    found = {p for p in pairs if scores[p] > threshold}
    true = {(name, k) for name, k in pairs if k in MARKS[name]["cuts"]}
    return len(found & true), len(found - true), len(true - found)


def line(tp: int, fp: int, fn: int) -> str:
    f1 = 2 * tp / (2 * tp + fp + fn) if tp else 0.0
    return f"precision {tp}/{tp + fp}  recall {tp}/{tp + fn}  F1 {f1:.3f}"


def best(scores: Scores, pairs: list[Pair]) -> tuple[float, float]:
    """Return the highest F1 of any threshold, and that threshold: the middle of the gap it lies in."""
    values = sorted({scores[p] for p in pairs}, reverse=True)[:400]
    rated = []
    for high, low in itertools.pairwise(values):
        tp, fp, fn = counts(scores, pairs, (high + low) / 2)
        rated.append((2 * tp / (2 * tp + fp + fn), (high + low) / 2))
    return max(rated)


def changed(small: dict[str, np.ndarray], number: int = 1000) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return pairs of small pictures: splices of unrelated files, and changes of one file's that are no cut."""
    draw = np.random.default_rng(0)
    families = {
        "sar_64_45": "bbb",
        "london": "rooftop",
        "mdn": "mdn",
        "nail": "nail",
        "rooftop": "rooftop",
        "bbb": "bbb",
    }
    family = {name: next((f for part, f in families.items() if part in name), name) for name in small}
    width, height = cuts.SEEN
    rows, columns = np.mgrid[:height, :width]
    made: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    while len(made.get("splice", [])) < number:
        one, other = draw.choice(sorted(small), 2, replace=False)
        k = int(draw.integers(len(small[one]) - 1))
        if family[one] == family[other] or k in MARKS[one]["cuts"]:
            continue
        (a, then), b = small[one][k : k + 2], draw.choice(small[other])
        x, y, size, share = draw.uniform(0, width), draw.uniform(0, height), draw.uniform(10, 30), draw.uniform()
        lamp = 1.2 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * size**2))
        noise = draw.normal(0, 4 / 255, (2, *a.shape))
        for kind, pair in {
            "splice": (a, b),
            "brighter by 1.1 to 1.7": (a, then * draw.uniform(1.1, 1.7)),
            "lamp": (a, then + lamp),
            "dissolve over 6 frames": (a + share * 5 / 6 * (b - a), then + (share * 5 / 6 + 1 / 6) * (b - then)),
            "fade over 12 frames": (a * (1 - share * 11 / 12), then * (11 / 12 - share * 11 / 12)),
            "noise of 4/255": (a + noise[0], then + noise[1]),
        }.items():
            made.setdefault(kind, []).append((pair[0].clip(0, 1).astype("f"), pair[1].clip(0, 1).astype("f")))
    return made


def framed(pictures: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the pictures in black bars, in the size they had."""
    out = np.zeros_like(pictures)
    top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
    for picture, whole in zip(pictures, out, strict=True):
        shrunk = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        whole[top : top + height, left : left + width] = shrunk
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    core.max_cache_size = 500

    scores: dict[str, Scores] = {name: {} for name in DETECTORS}
    small: dict[str, np.ndarray] = {}
    for name in MARKS:
        if name == "about":
            continue
        clip = core.bs.VideoSource(str(data / name), showprogress=False, cachemode=0)
        for detector, (measure, _) in DETECTORS.items():
            scores[detector] |= {(name, k): s for k, s in enumerate(measure(clip)) if k < clip.num_frames - 1}
        tiny = clip.std.RemoveFrameProps("_Matrix").resize.Bilinear(*cuts.SEEN, format=vs.GRAYS)
        small[name] = np.stack([np.asarray(f[0]).copy() for f in tiny.frames(close=True)])

    film = "train/tears_of_steel_70s.webm"
    everything = list(scores["ours"])
    only_film = [p for p in everything if p[0] == film]
    middle = len(only_film) // 2
    halves = {"first half of the film": only_film[:middle], "second half": only_film[middle:]}
    groups = {"the film": only_film, **halves, "all files": everything}
    for detector, (_, threshold) in DETECTORS.items():
        print(f"\n{detector}, threshold {threshold}")
        for group, pairs in groups.items():
            print(f"  {group:22s} {line(*counts(scores[detector], pairs, threshold))}")
        for kind in ("pans", "flashes", "fades"):
            ranges = [(name, r) for name, m in MARKS.items() if name != "about" for r in m.get(kind, [])]
            inside = {(name, k) for name, (a, b, _) in ranges for k in range(a, b)}
            _, false, _ = counts(scores[detector], inside, threshold)
            print(f"  false cuts in {kind:8s} {false} of {len(inside)} pairs")
        if detector != "mv.SCDetection":
            for one, other in ((0, 1), (1, 0)):
                names = list(halves)
                f1, chosen = best(scores[detector], halves[names[one]])
                result = line(*counts(scores[detector], halves[names[other]], chosen))
                print(f"  best threshold of the {names[one]}: {chosen:.3f} (F1 {f1:.3f}); on the other: {result}")

    own = scores["ours"]
    marked = sorted((own[p], p) for p in everything if p[1] in MARKS[p[0]]["cuts"])
    other = sorted(((own[p], p) for p in everything if p[1] not in MARKS[p[0]]["cuts"]), reverse=True)
    print("\nours, marked cuts, lowest scores:", *(f"{s:.3f} ({n} {k})" for s, (n, k) in marked[:5]), sep="\n  ")
    print("ours, other pairs, highest:", *(f"{s:.3f} ({n} {k})" for s, (n, k) in other[:8]), sep="\n  ")
    print("\nours, with bars around all pictures")
    for height, width in ((48, 96), (41, 96), (64, 72), (52, 80)):
        scores["bars"] = {p: cuts.score(*framed(small[p[0]][p[1] : p[1] + 2], width, height)) for p in everything}
        print(f"  {width}x{height} of 96x64  {line(*counts(scores['bars'], everything, cuts.THRESHOLD))}")

    print("\nmade pairs, share found: ours, mean difference")
    for kind, pairs in changed(small).items():
        of_ours = np.mean([cuts.score(a, b) > cuts.THRESHOLD for a, b in pairs])
        of_mean = np.mean([np.abs(a - b).mean() > 0.1 for a, b in pairs])
        print(f"  {kind:24s} {of_ours:.3f}  {of_mean:.3f}")


if __name__ == "__main__":
    main()
