"""The page of `vs-slomo compare` in a browser: the slider, the keys, zoom, a phone, light and dark."""

from __future__ import annotations

import re

import pytest
import vapoursynth as vs
from browser import Page, chromium
from clips import moving

from vs_slomo.measure import compare as module
from vs_slomo.weights import FLOWS

METHODS = ["blend", "slomo-unet", "sample", "slomo-dis"]
VIEWS = ["truth", "before", "after", *METHODS, *(f"flow ({stage})" for stage in FLOWS)]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(browser, tmp_path_factory, shifting_model):
    path = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_source", lambda *_: moving(vs.YUV420P8, 96, 64, 8))
        module.compare("a {{data}} video.mp4", path, names=METHODS, model=shifting_model, device="cpu")
    return path


@pytest.fixture
def shown(browser, file):
    page = Page(browser, file)
    yield page.page
    assert page.errors == []
    page.page.close()


def names(page):
    return [page.locator(f"#tag{n}").inner_text() for n in (0, 1)]


def line(page):
    """Where the line stands, as a part of the picture's width."""
    view, mark = (page.locator(x).bounding_box() for x in ("#view", "#line"))
    return (mark["x"] + mark["width"] / 2 - view["x"]) / view["width"]


def test_it_opens_on_the_default_beside_the_truth(shown):
    assert names(shown) == ["truth", "slomo-unet"]
    assert shown.locator("tr", has_text="slomo-unet").locator("small").inner_text() == "default"
    assert shown.locator("h1").inner_text() == "a {{data}} video.mp4"
    pictures = shown.locator("#view img")
    assert [pictures.nth(n).evaluate("e => e.naturalWidth") for n in (0, 1)] == [96, 96]


def test_the_line_follows_the_hand_and_the_slider(shown):
    box = shown.locator("#view").bounding_box()
    shown.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    shown.mouse.down()
    shown.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
    shown.mouse.up()
    assert line(shown) == pytest.approx(0.25, abs=0.01)
    shown.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 50)  # no longer held
    assert line(shown) == pytest.approx(0.25, abs=0.01)
    assert re.search(r"inset\(0p?x? 75%", shown.locator("#left").get_attribute("style"))
    shown.locator("#divider").fill("80")
    assert line(shown) == pytest.approx(0.8, abs=0.01)


def test_each_view_has_a_key(shown):
    keys = dict(item.split(" ", 1) for item in shown.locator("#keys li").all_inner_texts()[5:])
    assert list(keys.values()) == VIEWS
    for key, name in keys.items():
        shown.keyboard.press(key)
        assert names(shown) == ["truth", name]
    shown.keyboard.press("Shift+Digit4")
    assert names(shown)[0] == "blend"


def test_frames_differences_and_turns_by_key(shown):
    first = shown.locator("#frame").input_value()
    source = shown.locator("#right").get_attribute("src")
    shown.keyboard.press("ArrowRight")
    assert shown.locator("#frame").input_value() != first
    assert shown.locator("#right").get_attribute("src") != source
    shown.keyboard.press("ArrowLeft")
    shown.keyboard.press("d")
    assert shown.locator("#right").get_attribute("src") != source
    shown.keyboard.press("f")
    assert not shown.locator("#line").is_visible()
    for tag in ("#tag0", "#tag1", "#tag0"):
        shown.locator(tag).wait_for(state="hidden")


def test_zoom(shown):
    def corner():
        view, picture = (shown.locator(x).bounding_box() for x in ("#view", "#right"))
        return picture["width"] / view["width"], picture["x"] - view["x"]

    box = shown.locator("#view").bounding_box()
    shown.mouse.move(box["x"] + box["width"] - 1, box["y"] + 9)
    shown.mouse.wheel(0, -100)
    scale, left = corner()
    assert scale == pytest.approx(2, abs=0.01)
    assert left == pytest.approx(-box["width"], rel=0.01)  # what is under the pointer stays there
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] * 1.2, box["y"] + 9)
    shown.mouse.up()
    assert corner()[1] == pytest.approx(-0.8 * box["width"], rel=0.01)
    assert line(shown) == 0.5
    shown.keyboard.press("+")
    assert shown.locator("#zoom").input_value() == "4"
    shown.keyboard.press("0")
    assert corner() == pytest.approx((1, 0), abs=0.01)
    shown.locator("#zoom").select_option("8")
    assert corner()[0] == pytest.approx(8, abs=0.01)


def test_the_chart_has_a_title_and_units(shown):
    said = shown.locator("svg text").all_text_contents()
    assert {"PSNR of each frame: higher is nearer to the truth", "frame", "PSNR, dB"} <= set(said)
    assert shown.locator("svg polyline[data-method]").count() == len(METHODS)
    assert "interpolation error" in shown.locator("details").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_light_and_dark(browser, file, scheme):
    options = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "color_scheme": scheme}
    page = Page(browser, file, **options)
    assert page.overflow() <= 0
    numbers = (re.findall(r"\d+", page.style("body", name)) for name in ("backgroundColor", "color"))
    ground, ink = (sum(map(int, x[:3])) / 3 for x in numbers)
    assert (ground > 200 and ink < 60) if scheme == "light" else (ground < 60 and ink > 200)
    page.page.locator("#view").scroll_into_view_if_needed()
    box = page.page.locator("#view").bounding_box()
    page.page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 30)
    assert line(page.page) == pytest.approx(0.75, abs=0.02)
    assert page.errors == []
    page.page.close()
