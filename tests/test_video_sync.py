"""Picture and sound keep their distance: flashes against clicks, in every container."""

from __future__ import annotations

import media
import pytest
from sync_media import CODECS, RATE, clicks, distances, flashes, flashing, grows

from vs_slomo.video.probe import probe
from vs_slomo.video.render import render

FRAME = 1 / RATE
OUTPUTS = {"mp4": ".mp4", "mov": ".mov", "mkv": ".mkv", "webm": ".webm", "ts": ".ts", "avi": ".avi", "flv": ".flv"}
WAYS = {
    "plain": {"multi": 2},
    "range": {"multi": 2, "span": "0.4s:2.6s"},
    "slow motion": {"multi": 2, "slow_motion": True},
    "rate": {"fps_num": 60},
}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of each container, made when it is asked for: (container, late) to a path."""
    folder, made = tmp_path_factory.mktemp("films"), {}

    def film(ending, late=0.0):
        name = f"{ending}{late:+.2f}"
        if name not in made:
            made[name] = flashing(folder / f"{name}.{ending}", late=late)
        return made[name]

    return film


@pytest.fixture
def check(record_property):
    """Render, and hold the output's distances to the source's; `--junitxml` keeps the largest of each case."""

    def held(path, output, cheap, **way):
        made = render(path, output, crf=None if output.suffix in (".webm", ".vob") else 10, model=cheap, **way)
        given, there = distances(path), distances(made)
        assert there
        stretch = 2 if way.get("slow_motion") else 1
        assert grows(made)
        worst = max(abs(distance - stretch * given[0]) for distance in there)
        record_property("milliseconds", round(worst * 1000, 1))
        assert worst < FRAME * stretch, (given, there)
        return made

    return held


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("late", [0.0, 0.48, -0.3])
@pytest.mark.parametrize("ending", ["ts", *(pytest.param(e, marks=pytest.mark.slow) for e in CODECS if e != "ts")])
def test_from_any_container(check, films, tmp_path, shifting_model, ending, late, way):
    if ending == "avi" and late < 0:
        pytest.skip("ffmpeg writes sound into AVI from its beginning, however late it is")
    check(films(ending, late), tmp_path / "x.mkv", shifting_model, **WAYS[way])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("late", [0.0, 0.48, -0.3])
@pytest.mark.parametrize("ending", OUTPUTS)
def test_into_any_container(check, films, tmp_path, shifting_model, ending, late, way):
    check(films("ts", late), tmp_path / f"x{OUTPUTS[ending]}", shifting_model, **WAYS[way])


def test_what_is_heard_before_the_first_picture_is_kept(films, tmp_path, shifting_model):
    for slow_motion, lead in ((False, 0.48), (True, 0.96)):
        path = render(
            films("ts", 0.48), tmp_path / f"{slow_motion}.mkv", multi=2, slow_motion=slow_motion, model=shifting_model
        )
        assert float(probe(path).start) == pytest.approx(lead, abs=FRAME * (1 + slow_motion))


@pytest.mark.parametrize("way", ["plain", "slow motion"])
def test_joined_recordings(check, films, tmp_path, shifting_model, way):
    """Each begins its clock anew."""
    one = films("ts").read_bytes()
    (path := tmp_path / "joined.ts").write_bytes(one + one + films("ts", 0.48).read_bytes())
    assert len(probe(path).offsets) == 3
    made = check(path, tmp_path / "x.mkv", shifting_model, **WAYS[way])
    assert len(flashes(made)) == 9


def test_a_clock_that_wraps(check, films, tmp_path, shifting_model):
    """MPEG-TS counts to 2^33 ticks of 1/90000 s, and begins at 0 again."""
    wrap = 2**33 / 90000 - 1.5
    media.run(
        "-i", films("ts"), "-map", 0, "-c", "copy", "-output_ts_offset", f"{wrap:.3f}", path := tmp_path / "wrap.ts"
    )
    assert not probe(path).variable
    check(path, tmp_path / "x.mkv", shifting_model, multi=2)


@pytest.mark.slow
def test_hls(check, films, tmp_path, shifting_model):
    (tmp_path / "hls").mkdir()
    media.run(
        "-i", films("ts", 0.48), "-c", "copy", "-hls_time", 1, "-hls_list_size", 0, path := tmp_path / "hls" / "x.m3u8"
    )
    check(path, tmp_path / "x.mkv", shifting_model, multi=2)


def test_an_edit_list_that_cuts_the_beginning(check, films, tmp_path, shifting_model):
    media.run("-ss", 0.3, "-i", films("mp4"), "-c", "copy", path := tmp_path / "cut.mp4")
    check(path, tmp_path / "x.mp4", shifting_model, multi=2)


@pytest.mark.parametrize("name", ["held.mp4", "held.mkv"])
def test_what_follows_a_long_hold_comes_with_its_sound(tmp_path, name):
    """Screen recordings store nothing while nothing changes."""
    plain = flashing(tmp_path / "plain.mp4")
    only = ("-vf", "select='lt(n,2)+gte(n,38)'", "-fps_mode", "vfr", "-c:a", "copy")
    media.run("-i", plain, *only, "-c:v", "libx264", "-bf", 0, path := tmp_path / name)
    made = render(path, tmp_path / "x.mkv", multi=2, flow="fast")
    assert abs(flashes(made)[0] - clicks(made)[1]) <= 0.04
