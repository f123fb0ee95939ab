"""The page and the numbers of a comparison."""

from __future__ import annotations

import base64
import csv
import json
import logging
import re
from html.parser import HTMLParser

import cv2
import media
import numpy as np
import pytest
import vapoursynth as vs
from clips import core, moving

from vs_slomo.cli import main
from vs_slomo.errors import ArgumentError, SlomoError
from vs_slomo.measure import compare as module
from vs_slomo.measure.compare import compare, middle
from vs_slomo.measure.methods import default_method, methods, model_line
from vs_slomo.measure.plots import COLOURS
from vs_slomo.measure.scores import has_ssimulacra2, measured, rgb_frames
from vs_slomo.weights import FLOWS

CHEAP = ["blend", "sample"]


@pytest.fixture
def video(tmp_path, monkeypatch):
    """A clip that stands in for what the source filter opens."""
    clip = moving(vs.YUV420P8, 96, 64, 8)
    monkeypatch.setattr(module, "open_source", lambda path, source: clip)
    return clip


@pytest.fixture
def run(video, tmp_path, shifting_model):
    def run(**options):
        options = {"names": CHEAP, "model": shifting_model, "device": "cpu", "overwrite": True} | options
        return compare("a <video>.mp4", tmp_path / "page.html", **options)

    return run


def data(page):
    return json.loads(re.search(r"^const data = (.*), byDefault = ", page, re.MULTILINE)[1])


def decoded(address):
    image = cv2.imdecode(np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1].astype(float)


def test_every_second_frame_is_left_out_and_compared(run, video, tmp_path):
    seen = []
    result = run(progress=lambda *done: seen.append(done))
    # 8 frames, of which an odd number is taken: 0 to 6.
    assert [(s.case, s.method) for s in result.scores] == [(n, m) for m in CHEAP for n in ("1", "3", "5")]
    mixed = core.std.Merge(video[2], video[4])
    (picture,), (truth,) = rgb_frames(mixed), rgb_frames(video[3])
    score = result.scores[1]
    assert (score.psnr, score.ssim, score.ie) == pytest.approx(measured(picture, truth), rel=0.01)
    assert all(0 < s < 10 for s in result.seconds.values())
    assert seen == [(n, 6) for n in range(1, 7)]
    rows = list(csv.DictReader((tmp_path / "page.csv").read_text().splitlines()))
    assert [(r["frame"], r["method"]) for r in rows] == [(s.case, s.method) for s in result.scores]
    assert float(rows[1]["psnr"]) == score.psnr
    assert float(rows[1]["seconds"]) == pytest.approx(result.seconds["blend"], abs=1e-4)


def test_the_pages_pictures(run, video, tmp_path):
    run(span="1:8", pictures=2)
    shown = data((tmp_path / "page.html").read_text())
    assert list(shown) == ["2", "6"]
    assert list(shown["2"]) == ["truth", "before", "after", *CHEAP, *(f"flow ({stage})" for stage in FLOWS)]

    def near(address, clip, gain=1.0):
        (want,) = (x.permute(1, 2, 0).numpy() * 255 for x in rgb_frames(clip))
        return np.abs(decoded(address) - want).mean() < 4 * gain

    for name, n in (("truth", 6), ("before", 5), ("after", 7), ("sample", 5)):
        assert near(shown["6"][name][0], video[n])
        assert not near(shown["6"][name][0], video[0])
    assert shown["6"]["truth"][1] == shown["6"]["flow (dis)"][1] == ""
    # The model moves everything to the right and upwards: red turned towards violet.
    red, green, blue = decoded(shown["6"]["flow (unet)"][0])[20:40, 20:60].mean((0, 1))
    assert red > blue > green
    difference = decoded(shown["6"]["sample"][1])
    made, truth = (x.permute(1, 2, 0).numpy() * 255 for n in (5, 6) for x in rgb_frames(video[n]))
    assert difference.mean() == pytest.approx((module.GAIN * np.abs(made - truth)).clip(0, 255).mean(), abs=4)


def test_the_page_needs_nothing_else_and_is_well_formed(run, tmp_path):
    run()
    page = (tmp_path / "page.html").read_text()
    assert "{{" not in page
    assert "a &lt;video&gt;.mp4" in page
    assert not re.search(r"https?:|<link (?!rel=\"icon\" href=\"data:)|@import|<script src", page)
    stack, seen = [], []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.append(tag)
            if tag not in ("meta", "link", "img", "input", "br", "option"):
                stack.append(tag)

        def handle_startendtag(self, tag, attributes):
            seen.append(tag)

        def handle_endtag(self, tag):
            while stack[-1] == "p" != tag:
                stack.pop()
            assert stack.pop() == tag

    Tags().feed(page)
    assert stack == []
    assert seen.count("polyline") == 1 + len(CHEAP)  # the axes are one
    assert seen.count("tr") == 1 + len(CHEAP)


def test_frames_at_cuts_are_not_measured(run, video, monkeypatch):
    other = core.std.BlankClip(video, length=5, color=[30, 90, 160])
    monkeypatch.setattr(module, "open_source", lambda path, source: video[:4] + other)
    # The cut lies behind frame 3.
    assert [s.case for s in run(names=["sample"]).scores] == ["1", "5", "7"]
    monkeypatch.setattr(module, "open_source", lambda path, source: video[0] + other[0] + video[0])
    with pytest.raises(SlomoError, match="cuts everywhere"):
        run()


def test_each_method_has_its_row_and_colour(video, tmp_path, shifting_model):
    """There are more methods than were colours once."""
    names = list(methods())  # all that run here, with every flow stage
    assert {f"slomo-{stage}" for stage in FLOWS} < set(names)
    module.compare("x.mp4", tmp_path / "all.html", names=names, span="0:3", model=shifting_model, device="cpu")
    page = (tmp_path / "all.html").read_text()
    rows = re.findall(r'<tr><th><i style="background:(#\w+)"></i>([\w-]+)', page)
    assert [name for _, name in rows] == names
    assert len({colour for colour, _ in rows}) == len(names) <= len(COLOURS)


@pytest.mark.parametrize("ground", ["#ffffff", "#16181c"])
def test_colours_are_seen_on_light_and_dark(ground):
    def light(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    for colour in COLOURS:
        low, high = sorted((light(colour), light(ground)))
        assert high / low >= 3, colour


def test_the_default_is_that_of_the_videos_size():
    assert default_method((320, 180), device="cpu") == "slomo-both"
    assert default_method((1920, 1080), device="cpu") == "slomo-guided"
    assert model_line((1920, 1080), device="cpu").endswith("scale 0.25; the default here is slomo-guided")


def test_the_middle_is_taken():
    assert middle(300) == (125, 174)
    assert middle(20) == (0, 20)


def test_arguments(run, tmp_path):
    for options, text in (
        ({"names": ["rife"]}, "methods"),
        ({"span": "0:2"}, "span: got '2 frames', allowed: at least 3"),
        ({"pictures": 0}, "pictures"),
        ({"max_size": 0}, "max_size: got 0, allowed: an integer of at least 64"),
    ):
        with pytest.raises(ArgumentError, match=text):
            run(**options)
    with pytest.raises(ArgumentError, match=r"output.*an \.html file"):
        compare("x", tmp_path / "page.png")
    run()
    with pytest.raises(ArgumentError, match="overwrite"):
        run(overwrite=False)


def test_the_command(tmp_path, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.chdir(tmp_path)
    media.picture(tmp_path / "clip.mp4", seconds=1)
    assert main(["compare", "clip.mp4", "--methods", "blend", "--range", "2:5", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    head, blend, name = said.out.splitlines()
    similar = ["SSIMULACRA2"] if has_ssimulacra2() else []
    assert head.split() == ["PSNR", "SSIM", "IE", *similar, "s/frame"]
    assert blend.split()[0] == "blend"
    assert name == "clip.compare.html"
    assert list(data((tmp_path / name).read_text())) == ["3"]
    assert "1/1" in said.err
