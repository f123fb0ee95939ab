"""`vs-slomo bench`: what it measures is there, and what it compares is alike."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree as ET

import pytest
import torch
from conftest import python, settings_for

from vs_slomo import cli
from vs_slomo.errors import SlomoError
from vs_slomo.measure import bench
from vs_slomo.measure.machine import interleaved
from vs_slomo.measure.plots import straight_line
from vs_slomo.measure.start import moving_clip, time_start
from vs_slomo.weights import load


@pytest.mark.parametrize("options", [{}, {"scale": 0.5}, {"flow": "dis"}, {"precision": "bf16"}])
def test_one_case(seeing_model, options):
    result = bench.measure(settings_for(seeing_model, **options), (96, 64), 3, rounds=1)
    assert (result.size, result.multi, result.width) == ("96x64", 3, 4)
    for name in ("ceiling", "copy", "pair", "frame", "rate", "reference", "ratio", "chain"):
        assert 0 < getattr(result, name) < 1e6, name
    assert 0 < result.networks < 1
    assert result.each == pytest.approx(result.pair / 2 + result.frame)
    assert result.ratio == pytest.approx(result.reference / result.each)
    if options.get("flow") == "dis":
        assert result.difference is None
    else:
        assert result.difference < (0.2 if "precision" in options else bench.AGREE)


def test_a_stage_without_a_network(seeing_model):
    result = bench.measure(settings_for(seeing_model, flow="fast"), (96, 64), 2, rounds=1)
    assert (result.networks, result.rate, result.difference) == (0, 0, None)
    assert result.each > 0


def test_pictures_that_differ_are_no_comparison(seeing_model, monkeypatch):
    monkeypatch.setattr(bench, "AGREE", 0)
    with pytest.raises(SlomoError, match=r"the pictures differ by .* from the plain way's: at most 0 is right"):
        bench.measure(settings_for(seeing_model, scale=0.5), (96, 64), 2, rounds=1)


def test_the_plain_way_is_the_models_own(seeing_model):
    model, _ = load(seeing_model)
    frame0, frame1 = torch.rand(2, 1, 3, 40, 70)
    with torch.inference_mode():
        made = bench.reference(model, frame0, frame1, (0.25, 0.5))
        for t, picture in zip((0.25, 0.5), made, strict=True):
            assert torch.allclose(picture, model(frame0, frame1, t), atol=1e-5)


def test_its_clip_moves():
    clip = moving_clip(160, 90)
    assert clip.num_frames == 9
    means = [float(p.props.PlaneStatsDiff) for p in clip.std.PlaneStats(clip[1:] + clip[0]).frames(close=True)]
    assert min(means) > 0.01


def test_in_turns():
    order = []
    works = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    took = interleaved(works, 3, torch.device("cpu"))
    assert order == ["a", "b"] * 4
    assert {name: len(times) for name, times in took.items()} == {"a": 3, "b": 3}


def test_a_straight_line():
    constant, slope, error = straight_line([(x, 3 + 2 * x) for x in (1, 5, 20, 400)])
    assert (constant, slope) == pytest.approx((3, 2))
    assert error < 1e-9
    assert straight_line([(1, 1), (2, 4), (3, 9)])[2] > 0.1


def test_the_way_to_the_first_frame(shifting_model):
    start = time_start(settings_for(shifting_model), (64, 64))
    assert min(start.imports, start.load, start.first, start.second) > 0
    assert start.rss > 100


def test_a_process_that_fails(tmp_path):
    with pytest.raises(SlomoError, match="the process for the first frame failed: "):
        time_start(settings_for(tmp_path / "none.safetensors"), (64, 64))


def test_the_command(seeing_model, capsys):
    command = ["bench", "--model", str(seeing_model), "--size", "64x64", "--device", "cpu", "--rounds", "1"]
    assert cli.main([*command, "--no-start"]) == 0
    printed = capsys.readouterr().out
    assert "64x64, multi 2, scale 1" in printed
    assert "times as long" in printed
    assert cli.main([*command, "--no-start", "--no-reference", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reference"] is None
    assert result["start"] == result["sweep"] == {}


def test_the_plot(seeing_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "MULTIS", (2, 4))
    monkeypatch.setattr(bench, "HEIGHTS", (64, 90, 1080))
    monkeypatch.setattr(bench, "PLOTTED", (64, 64))
    path = tmp_path / "cost.svg"
    command = ["bench", "--model", str(seeing_model), "--size", "64x64", "--device", "cpu", "--rounds", "1"]
    command += ["--no-start", "--no-reference", "--json", "--plot", str(path), "--largest", "90"]
    assert cli.main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert [x for x, _ in result["sweep"]["pixels"]] == [112 * 64, 160 * 90]
    assert [x for x, _ in result["sweep"]["multi"]] == [2, 4]
    assert all(math.isfinite(result["fit"][name]["slope"]) for name in ("pixels", "multi"))
    points = ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(points)) == 4


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--size", "1280", "size: got '1280', allowed: width and height from 32 to 8192 pixels, such as 1280x720"),
        ("--size", "0x0", "size: got '0x0', allowed: width and height from 32 to 8192 pixels, such as 1280x720"),
        (
            "--size",
            "640x1000000",
            "size: got '640x1000000', allowed: width and height from 32 to 8192 pixels",
        ),
        ("--multi", "1", "multi: got 1, allowed: an integer from 2 to 256"),
        ("--multi", "10000000", "multi: got 10000000, allowed: an integer from 2 to 256"),
        ("--rounds", "0", "rounds: got 0, allowed: an integer from 1 to 1000"),
        ("--largest", "-1", "largest: got -1, allowed: an integer from 32 to 8192"),
        ("--plot", "x.png", "plot: got 'x.png', allowed: a file that ends in .svg, in a folder that is there"),
        ("--plot", "no/x.svg", "plot: got 'no/x.svg', allowed: a file that ends in .svg, in a folder that is there"),
    ],
)
def test_what_cannot_be_measured(option, value, text, capsys):
    assert cli.main(["bench", option, value]) != 0
    assert text in capsys.readouterr().err


def test_memory_is_this_processes_own():
    """Not what the parent had when it started this one."""
    done = python(
        """
        import subprocess, sys
        held = b"x" * 1_500_000_000
        code = "from vs_slomo.measure.start import peak_memory; print(peak_memory())"
        subprocess.run([sys.executable, "-c", code], check=True)
        """
    )
    assert 50 < float(done.stdout) < 1500, done.stderr
