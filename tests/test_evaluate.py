"""Cases from every layout, scores that are what they say, tables, and the command."""

from __future__ import annotations

import csv
import json
import logging
import weakref
from dataclasses import replace
from functools import partial

import cv2
import media
import numpy as np
import pytest
import torch
import vapoursynth as vs
from clips import core, moving, same

from vs_slomo import weights
from vs_slomo.cli import main
from vs_slomo.engine import engine
from vs_slomo.errors import ArgumentError, SlomoError, SourceError
from vs_slomo.filters.baselines import blend, sample
from vs_slomo.measure import cases as cases_module
from vs_slomo.measure import methods as methods_module
from vs_slomo.measure import scores as scores_module
from vs_slomo.measure.cases import TRIPLETS, find_cases
from vs_slomo.measure.methods import methods, minterpolate
from vs_slomo.measure.report import MOST_ROWS, table, table_text, write_report
from vs_slomo.measure.scores import HIGHEST, Score, evaluate, has_ssimulacra2, moving_parts, ssimulacra2
from vs_slomo.metrics import interpolation_error, psnr, ssim
from vs_slomo.weights import FLOWS

CHEAP = {"sample": partial(sample, sc=False), "blend": partial(blend, sc=False)}


def noise(seed, size=(24, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def put(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def triplet(folder, names, seed=0):
    """Write three pictures, and return them."""
    pictures = [noise(seed + i) for i in range(3)]
    for name, picture in zip(names, pictures, strict=True):
        put(folder / f"{name}.png", picture)
    return pictures


def rgb(frame):
    return np.stack([np.asarray(frame[p]) for p in range(3)], axis=-1)


def ramp(n, steps):
    """A flat gray that grows by `steps` a frame."""
    return np.full((16, 16, 3), n * steps, np.uint8)


# --- cases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", TRIPLETS)
def test_triplets(tmp_path, names):
    pictures = triplet(tmp_path / "b", names, 3)
    triplet(tmp_path / "a", names)
    cases = list(find_cases(tmp_path))
    assert [c.clip for c in cases] == ["a", "b"]
    got = [*cases[1].seen.frames(), *cases[1].truth.frames()]
    for frame, n in zip(got, (0, 2, 1), strict=True):
        assert np.array_equal(rgb(frame), pictures[n][..., ::-1])
    assert [c.clip for c in find_cases(tmp_path, cases=1)] == ["a"]


def test_middlebury_has_its_truths_elsewhere(tmp_path):
    first, _, last = triplet(tmp_path / "x", ("1", "2", "3"))
    put(tmp_path / "other-data" / "Walking" / "frame10.png", first)
    put(tmp_path / "other-data" / "Walking" / "frame11.png", last)
    put(tmp_path / "other-gt-interp" / "Walking" / "frame10i11.png", first)
    (case,) = find_cases(tmp_path)
    assert case.clip == "other-gt-interp/Walking"
    assert case.multi == 2
    (tmp_path / "other-data" / "Walking" / "frame11.png").unlink()
    with pytest.raises(SourceError, match="frame10 and frame11 are not beside it"):
        list(find_cases(tmp_path))


def test_vimeo_says_which_triplets_are_to_test_with(tmp_path):
    for name in ("00001/0001", "00001/0002", "00002/0001"):
        triplet(tmp_path / "sequences" / name, TRIPLETS[2])
    (tmp_path / "tri_testlist.txt").write_text("00001/0002\n00002/0001\n\n")
    assert [c.clip for c in find_cases(tmp_path)] == ["sequences/00001/0002", "sequences/00002/0001"]


def test_a_folder_of_frames_is_cut_into_windows_of_nine(tmp_path):
    for n in range(18):
        put(tmp_path / "clip" / f"{n:03}.png", ramp(n, 10))
    cases = list(find_cases(tmp_path))
    assert [(c.clip, c.name, c.multi) for c in cases] == [("clip", "0", 8), ("clip", "8", 8)]
    assert [(c.at, [int(rgb(f)[0, 0, 0]) for f in c.seen.frames()]) for c in cases] == [
        (0, [0, 80, 160]),
        (1, [0, 80, 160]),
    ]
    assert [rgb(f)[0, 0, 0] for f in cases[1].truth.frames()] == [90, 100, 110, 120, 130, 140, 150]
    assert len(list(find_cases(tmp_path, stride=4, cases=3))) == 3


def test_videos_are_cut_into_pairs_without_cuts(tmp_path, monkeypatch):
    clip = moving(vs.YUV420P8, 96, 64, 6) + core.std.BlankClip(
        moving(vs.YUV420P8, 96, 64, 1), length=6, color=[20, 90, 90]
    )
    (tmp_path / "a.mp4").touch()
    monkeypatch.setattr(cases_module, "source", lambda path: clip)
    cases = list(find_cases(tmp_path))
    # 10 windows of 3 frames; the cut lies behind frame 5.
    assert [c.name for c in cases] == [str(n) for n in range(10) if n not in (4, 5)]
    assert [c.at for c in cases] == [0, 0, *[1] * 6]
    for case in cases:
        first = int(case.name)
        own = range(first % 2 if case.at == 0 else first - 2, min(first + 5, 12), 2)
        assert all(same(case.seen.get_frame(i), clip.get_frame(n)) for i, n in enumerate(own))
    assert same(cases[2].truth.get_frame(0), clip.get_frame(3))
    assert [c.name for c in find_cases(tmp_path, stride=3, cases=2)] == ["0", "8"]
    (small,) = find_cases(tmp_path, cases=1, max_size=48)
    assert (small.seen.width, small.seen.height) == (48, 32)


@pytest.mark.parametrize(
    ("options", "name"), [({"stride": 1}, "stride"), ({"cases": 0}, "cases"), ({"max_size": 8}, "max_size")]
)
def test_arguments(tmp_path, options, name):
    with pytest.raises(ArgumentError, match=name):
        list(find_cases(tmp_path, **options))


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(ArgumentError, match=r"a folder$"):
        list(find_cases(tmp_path / "none"))
    with pytest.raises(ArgumentError, match="triplets of pictures, videos, or folders"):
        list(find_cases(tmp_path))
    triplet(tmp_path / "a", TRIPLETS[2])
    with pytest.raises(ArgumentError, match="stride"):
        list(find_cases(tmp_path, stride=4))
    (tmp_path / "a" / "im2.png").write_bytes(b"not a picture")
    with pytest.raises(SourceError, match=r"im2\.png"):
        list(find_cases(tmp_path))


def test_pictures_of_other_sizes(tmp_path):
    triplet(tmp_path, TRIPLETS[2])
    put(tmp_path / "im3.png", noise(1, (20, 20)))
    with pytest.raises(SourceError, match=r"im3\.png: is 20x20, im1\.png 32x24"):
        list(find_cases(tmp_path))


# --- scores -----------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_pictures(tmp_path):
    first, truth, last = triplet(tmp_path / "a", TRIPLETS[2])
    scores = {s.method: s for s in evaluate(find_cases(tmp_path), CHEAP)}

    def expected(picture):
        x, y = (torch.from_numpy(p.astype(np.float32).transpose(2, 0, 1)) / 255 for p in (picture, truth))
        return pytest.approx((psnr(x, y), ssim(x, y), interpolation_error(x, y)), rel=1e-6)

    mixed = np.rint((first.astype(np.float64) + last) / 2)
    assert (scores["sample"].psnr, scores["sample"].ssim, scores["sample"].ie) == expected(first)
    assert (scores["blend"].psnr, scores["blend"].ssim, scores["blend"].ie) == expected(mixed)
    assert scores["blend"].t == 0.5


def test_every_moment_of_a_window_is_measured(tmp_path):
    for n in range(9):
        put(tmp_path / "clip" / f"{n}.png", ramp(n, 8))
    scores = evaluate(find_cases(tmp_path), CHEAP)
    assert [s.t for s in scores[::2]] == [n / 8 for n in range(1, 8)]
    assert all(s.psnr == HIGHEST for s in scores if s.method == "blend")
    off = [s.ie for s in scores if s.method == "sample"]
    assert off == pytest.approx([8, 16, 24, 32, 24, 16, 8])


def test_all_methods_at_once(tmp_path, shifting_model):
    """On a picture that moves as the model says; block motion and DIS find it too, the rest does not."""
    clip = moving(vs.RGB24, 96, 64, 3)
    for n, frame in enumerate(clip.frames()):
        put(tmp_path / "a" / f"im{n + 1}.png", rgb(frame)[..., ::-1])
    names = [
        "slomo-unet",
        "slomo-dis",
        "slomo-guided",
        "slomo-both",
        "slomo-fast",
        "slomo-even",
        "sample",
        "blend",
        "mc",
        "minterpolate",
        "dis",
        "flow",
    ]
    chosen = methods(sc=False, model=shifting_model, device="cpu")
    assert list(chosen) == names
    got = {s.method: s.psnr for s in evaluate(find_cases(tmp_path), chosen)}
    assert min(got[m] for m in ("slomo-unet", "dis", "flow")) > got["blend"] > got["sample"]


def test_the_filter_and_the_methods_hold_one_engine_from_case_to_case(tmp_path, shifting_model, monkeypatch):
    for name in "abc":
        triplet(tmp_path / name, TRIPLETS[2])
    loaded, load = [], weights.load
    monkeypatch.setattr(weights, "load", lambda path: loaded.append(path) or load(path))
    monkeypatch.setattr(engine, "_engines", weakref.WeakValueDictionary())  # another test may still hold this model's
    evaluate(find_cases(tmp_path), methods(["slomo-unet"], model=shifting_model, device="cpu", sc=False))
    assert len(loaded) == 1


def test_methods_by_name(monkeypatch):
    assert list(methods(["blend", "sample"])) == ["blend", "sample"]
    with pytest.raises(
        ArgumentError,
        match=f"methods: got 'rife', allowed: some of {', '.join(f'slomo-{s}' for s in FLOWS)}, slomo-even, sample",
    ):
        methods(["rife"])

    def missing(*_, **__):
        raise SlomoError("mc: needs the plugin MVTools")

    monkeypatch.setattr(methods_module, "mc", missing)
    assert "mc" not in methods()
    with pytest.raises(SlomoError, match="MVTools"):
        methods(["mc"])


@pytest.mark.parametrize("preset", [vs.GRAY8, vs.YUV420P8, vs.RGB24])
def test_minterpolate_is_at_its_moments(preset):
    """Flat frames that get brighter: what is between two is between them."""
    levels = [40, 80, 120]
    blank = core.std.BlankClip(width=64, height=48, format=preset, length=1)
    clip = vs.core.std.Splice([blank.std.BlankClip(color=[x] * blank.format.num_planes) for x in levels])
    out = minterpolate(clip, 4, sc=False)
    assert (len(out), out.format.id) == (12, preset)
    got = [float(np.asarray(f[0]).mean()) for f in out.frames()]
    assert got == pytest.approx([40, 50, 60, 70, 80, 90, 100, 110, 120, 120, 120, 120], abs=2)


def test_minterpolate_keeps_planes_apart():
    clip = core.std.BlankClip(width=64, height=48, format=vs.RGB24, length=2, color=[200, 100, 50])
    for frame in minterpolate(clip, 2).frames():
        assert rgb(frame)[20, 20].astype(int) == pytest.approx([200, 100, 50], abs=2)


# --- tables -----------------------------------------------------------------------------------------------


SCORES = [
    Score("a", "0", 0.5, "blend", 30.0, 0.5, 4.0),
    Score("a", "1", 0.5, "blend", 20.0, 0.7, 6.0),
    Score("b", "0", 0.5, "blend", 40.0, 0.9, 1.0),
]


def test_the_mean_is_that_of_the_clips():
    means = table(SCORES)
    assert means["a"]["blend"] == pytest.approx({"psnr": 25, "ssim": 0.6, "ie": 5})
    assert means["mean"]["blend"] == pytest.approx({"psnr": 32.5, "ssim": 0.75, "ie": 3})


def test_text():
    assert table_text(table(SCORES)).splitlines() == [
        "PSNR in dB    blend",
        "a             25.00",
        "b             40.00",
        "mean PSNR     32.50",
        "mean SSIM    0.7500",
        "mean IE        3.00",
    ]
    many = [Score(str(n), "", 0.5, "blend", 30.0, 0.5, 4.0) for n in range(MOST_ROWS + 1)]
    assert len(table_text(table(many)).splitlines()) == 4


def test_metrics_that_could_not_be_measured_are_left_out():
    some = [Score("a", "0", 0.5, "blend", 30.0, 0.5, 4.0, moving=20.0), Score("b", "0", 0.5, "blend", 40.0, 0.9, 1.0)]
    means = table(some)
    assert means["mean"]["blend"]["moving"] == 20  # of the clips that move
    assert "ssimulacra2" not in means["mean"]["blend"]
    assert table_text(means).splitlines()[-1] == "mean PSNR moving    20.00"
    assert "mean SSIMULACRA2    90.00" in table_text(table([replace(some[0], ssimulacra2=90.0)]))


def test_files_without_numbers_where_there_are_none(tmp_path):
    some = [replace(SCORES[0], moving=20.0), SCORES[2]]
    write_report(some, tmp_path, {})
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["moving"] for row in rows] == ["20.0", ""]
    means = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)["means"]
    assert means["a"]["blend"]["moving"] == 20
    assert "moving" not in means["b"]["blend"]


def test_the_parts_that_move():
    """A square that moves by 6 pixels over a background that rests."""
    ground = cv2.GaussianBlur(noise(1, (96, 128)), (0, 0), 2)
    square = cv2.GaussianBlur(noise(2, (32, 32)), (0, 0), 2)
    blank = core.std.BlankClip(format=vs.RGB24, width=128, height=96, length=2, keep=True)

    def fill(n, f):
        out, picture = f.copy(), ground.copy()
        picture[32:64, 40 + 6 * n : 72 + 6 * n] = square
        for p in range(3):
            np.copyto(np.asarray(out[p]), picture[..., p])
        return out

    moving = moving_parts(blank.std.ModifyFrame(blank, fill))
    assert moving[40:56, 50:66].float().mean() > 0.9
    assert moving[:16].float().mean() < 0.05
    assert not moving_parts(core.std.BlankClip(format=vs.RGB24, width=64, height=48, length=2)).any()
    assert not moving_parts(core.std.BlankClip(format=vs.RGB24, width=8, height=8, length=2)).any()


@pytest.mark.skipif(not has_ssimulacra2(), reason="needs vapoursynth-vszip")
def test_ssimulacra2_is_there_beside_the_others(tmp_path):
    first, truth, _ = triplet(tmp_path / "a", TRIPLETS[2])
    scores = {s.method: s for s in evaluate(find_cases(tmp_path), {"sample": CHEAP["sample"]})}
    x, y = (
        torch.from_numpy(np.ascontiguousarray(p[..., ::-1].transpose(2, 0, 1))).float() / 255 for p in (first, truth)
    )
    assert scores["sample"].ssimulacra2 == pytest.approx(ssimulacra2(x, y))
    assert ssimulacra2(y, y) == pytest.approx(100, abs=0.1)
    soft = torch.nn.functional.avg_pool2d(y[None], 3, 1, 1)[0]
    assert ssimulacra2(x, y) < ssimulacra2(soft, y) < 90


def test_without_the_plugin_ssimulacra2_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(scores_module, "has_ssimulacra2", lambda: False)
    triplet(tmp_path / "a", TRIPLETS[2])
    assert "SSIMULACRA2" not in table_text(table(evaluate(find_cases(tmp_path), CHEAP)))


def test_files(tmp_path):
    write_report(SCORES, tmp_path, {"folder": tmp_path, "model": "some model"})
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert rows[1] == {
        "clip": "a",
        "case": "1",
        "t": "0.5",
        "method": "blend",
        "psnr": "20.0",
        "ssim": "0.7",
        "ie": "6.0",
    }
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["means"]["mean"]["blend"]["psnr"] == 32.5
    assert summary["frames"] == 3
    assert (tmp_path / "table.txt").read_text() == f"some model\n{table_text(table(SCORES))}\n"


# --- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)


def test_the_command(tmp_path, home, capsys):
    (tmp_path / "in").mkdir()
    media.picture(tmp_path / "in" / "clip.mp4", seconds=1)
    out = tmp_path / "new" / "out"
    assert main(["evaluate", str(tmp_path / "in"), "--methods", "blend,sample", "--cases", "3", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == (out / "table.txt").read_text()
    assert said.out.splitlines()[0].startswith("model ")
    assert said.out.splitlines()[1].split() == ["PSNR", "in", "dB", "blend", "sample"]
    assert len(said.err.splitlines()) == 3
    worst = sorted(out.glob("worst_*.png"))
    assert len(worst) == 3
    assert cv2.imread(str(worst[0])).shape == (2 * 320, 3 * 480, 3)
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    lowest = min((float(r["psnr"]), r["case"]) for r in rows if r["method"] == "blend")
    assert worst[0].name == f"worst_1_clip_{lowest[1]}.png"


def test_the_command_says_what_is_wrong(tmp_path, home, capsys):
    assert main(["evaluate", str(tmp_path), "--methods", "none"]) == 1
    assert "methods: got 'none'" in capsys.readouterr().err
