"""Many inputs, folders as outputs, and scripts as inputs."""

from __future__ import annotations

import logging
import os
import sys

import av
import media
import numpy as np
import pytest
import vapoursynth as vs

from vs_slomo.cli import main
from vs_slomo.cli.files import expanded, targets
from vs_slomo.cli.render import free_name
from vs_slomo.errors import ArgumentError, FormatError, SourceError
from vs_slomo.video.render import render
from vs_slomo.video.vpy import output_of

FAST = ("--preset", "ultrafast")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Four films of different kinds, and one that is broken."""
    folder = tmp_path_factory.mktemp("films")
    media.picture(folder / "a.mp4", size="64x48", seconds=0.6)
    media.picture(folder / "b.mkv", size="48x64", rate=25, seconds=0.4)
    media.picture(folder / "c.avi", size="64x48", seconds=0.6)
    media.picture(folder / "d.webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", size="64x48", seconds=0.4)
    (folder / "e.mkv").write_bytes((folder / "b.mkv").read_bytes()[:900])
    return folder


def count(path):
    with av.open(str(path)) as file:
        return sum(bool(packet.size) for packet in file.demux(video=0))


def test_five_files_of_which_one_is_broken(films, tmp_path, shifting_model, capsys):
    names = ["a.mp4", "b.mkv", "c.avi", "d.webm", "e.mkv"]
    inputs = [str(films / name) for name in names]
    call = ["render", *inputs, "-o", str(tmp_path / "out"), "--to", "mkv", "--model", str(shifting_model), *FAST]
    assert main(call) == 1
    said = capsys.readouterr().err
    assert "4 of 5 files are made; failed: " in said
    assert "e.mkv" in said.splitlines()[-1]
    assert {p.name: count(p) for p in (tmp_path / "out").iterdir()} == {
        "a.mkv": 12,
        "b.mkv": 20,
        "c.mkv": 12,
        "d.mkv": 8,
    }


def test_files_that_are_there_are_left_alone(films, tmp_path, shifting_model, caplog):
    """After a stop the same command goes on; with --overwrite all are made anew."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.mkv").write_text("mine")
    caplog.set_level(logging.INFO, "vs_slomo")
    names = ["a.mp4", "b.mkv"]
    call = ["render", *(str(films / n) for n in names), "-o", str(out), "--to", "mkv", "--model", str(shifting_model)]
    assert main([*call, *FAST]) == 0
    assert (out / "a.mkv").read_text() == "mine"
    assert count(out / "b.mkv") == 20
    assert "a.mkv is there already (--overwrite replaces it)" in caplog.text
    assert "1 of 2 files are made; already there: 1" in caplog.text
    assert main([*call, *FAST, "--overwrite"]) == 0
    assert count(out / "a.mkv") == 12


def test_no_input_lies_where_its_output_goes(films):
    with pytest.raises(ArgumentError, match=r"output: got .*another folder than that of .*b.mkv"):
        targets([str(films / "a.mp4"), str(films / "b.mkv")], str(films), "mkv")


def test_what_nobody_expects_stops_no_other_file(tmp_path, monkeypatch, capsys):
    made = []

    def render_file(given, path, **_):
        made.append(given)
        if given == "b.mkv":
            raise RuntimeError("a fault")

    monkeypatch.setattr("vs_slomo.video.render.render", render_file)
    assert main(["render", "a.mkv", "b.mkv", "c.mkv", "-o", str(tmp_path / "out")]) == 1
    assert made == ["a.mkv", "b.mkv", "c.mkv"]
    said = capsys.readouterr().err
    assert "RuntimeError: a fault" in said
    assert said.splitlines()[-1] == "vs-slomo: 2 of 3 files are made; failed: b.mkv"


def test_a_pattern_and_the_inputs_own_endings(films, tmp_path, shifting_model):
    call = ["render", str(films / "[ab].*"), "-o", str(tmp_path), "--model", str(shifting_model), *FAST]
    assert main(call) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mkv"]


def test_one_input_into_a_folder(films, tmp_path, shifting_model):
    assert main(["render", str(films / "a.mp4"), "-o", str(tmp_path), "--model", str(shifting_model), *FAST]) == 0
    assert count(tmp_path / "a.mp4") == 12


def test_two_inputs_of_one_name(tmp_path):
    with pytest.raises(ArgumentError, match=r"one/x.mkv becomes .*x.mkv, too"):
        targets(["one/x.mkv", "two/x.mkv"], str(tmp_path / "out"), None)
    with pytest.raises(ArgumentError, match="becomes"):
        targets(["x.mkv", "x.mp4"], str(tmp_path / "out"), "mov")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["", "a/b", "../x", "m kv", "mp3", "png"])
def test_what_is_no_ending(to, tmp_path):
    with pytest.raises(ArgumentError, match="to: got"):
        targets(["a.mp4", "b.mp4"], str(tmp_path), to)


def test_a_new_folder_for_one_input(tmp_path):
    assert targets(["a.mp4"], f"{tmp_path}/one/", None) == [("a.mp4", tmp_path / "one" / "a.mp4")]
    assert targets(["a.mp4"], f"{tmp_path}/two", ".MKV") == [("a.mp4", tmp_path / "two" / "a.MKV")]
    assert (tmp_path / "one").is_dir()


def test_an_ending_needs_a_folder(tmp_path):
    with pytest.raises(ArgumentError, match="only where the output is a folder"):
        targets(["a.mp4"], str(tmp_path / "x.mkv"), "mkv")


def test_several_inputs_need_a_folder(tmp_path):
    (tmp_path / "x.mkv").write_text("mine")
    with pytest.raises(ArgumentError, match="a folder, where there are several inputs"):
        targets(["a.mp4", "b.mp4"], str(tmp_path / "x.mkv"), None)


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(ArgumentError, match="a pattern that matches some"):
        expanded([str(tmp_path / "*.mkv")])
    assert expanded([str(tmp_path / "%05d.png")]) == [str(tmp_path / "%05d.png")]


# --- scripts ----------------------------------------------------------------------------------------------------------

BLANK = (
    "clip = vs.core.std.BlankClip(width=64, height=48, length=20, fpsnum=10, format=vs.YUV420P8, color=[90, 9, 9])\n"
)


def script(folder, *lines, name="x.vpy"):
    path = folder / name
    path.write_text("import vapoursynth as vs\n" + BLANK + "\n".join(lines) + "\n")
    return path


def test_a_script_is_encoded_as_it_is(tmp_path, capfd):
    path = script(tmp_path, "print('not on stdout')", "clip.set_output()")
    render(path, tmp_path / "x.mkv", codec="ffv1", segment=0.5)
    assert count(tmp_path / "x.mkv") == 20
    assert media.luma(tmp_path / "x.mkv", 64, 48).mean() == pytest.approx(90, abs=1)
    assert not capfd.readouterr().out


@pytest.mark.parametrize(("option", "value"), [("--effort", "draft"), ("--flow", "fast")])
def test_what_is_asked_of_a_script_is_named_as_it_was_given(option, value, tmp_path, capsys):
    path = script(tmp_path, "clip.set_output()")
    assert main(["render", str(path), "-o", str(tmp_path / "x.mkv"), option, value]) == 1
    said = capsys.readouterr().err
    assert f"{option}: got '{value}', allowed: " in said
    assert "with --multi, with --fps or with --curve" in said


def test_a_script_is_multiplied_where_that_is_asked_for(tmp_path, shifting_model):
    path = script(tmp_path, "clip.set_output()")
    render(path, tmp_path / "x.mkv", codec="ffv1", multi=3, model=shifting_model, span="5:15")
    assert count(tmp_path / "x.mkv") == 30


def test_tracks_come_from_a_file(tmp_path, shifting_model):
    film = media.film(tmp_path)
    path = script(tmp_path, "clip.set_output()")
    render(path, tmp_path / "x.mkv", codec="ffv1", tracks_from=film, multi=2, model=shifting_model)
    with av.open(str(tmp_path / "x.mkv")) as file:
        assert [s.type for s in file.streams].count("audio") == 2
    assert np.allclose(media.clicks(tmp_path / "x.mkv"), [0, *media.CLICKS], atol=0.01)


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (["clip = vs.core.nosuch.Filter(clip)"], SourceError, r"x.vpy: line 3: .*nosuch"),
        (["clip ="], SourceError, "x.vpy: line 3: invalid syntax"),
        (["1 / 0"], SourceError, "x.vpy: line 3: division by zero"),
        (["raise SystemExit"], SourceError, "x.vpy: line 3: SystemExit"),
        ([], SourceError, "sets no clip as its output 0"),
        (["vs.core.std.AssumeFPS(clip, fpsnum=0, fpsden=1).set_output()"], SourceError, "line 3"),
        (["clip.std.SplicE"], SourceError, "line 3"),
        (["vs.core.std.Splice([clip, clip.std.Crop(left=2)], mismatch=True).set_output()"], FormatError, "changes"),
    ],
)
def test_what_is_wrong_with_a_script(lines, error, message, tmp_path):
    with pytest.raises(error, match=message):
        render(script(tmp_path, *lines), tmp_path / "x.mkv")
    assert not (tmp_path / "x.mkv").exists()
    assert str(tmp_path) not in sys.path


def test_options_that_a_script_does_not_take(tmp_path, shifting_model):
    path = script(tmp_path, "clip.set_output()")
    with pytest.raises(ArgumentError, match=r"model: got .*only where new frames are asked for: with multi"):
        render(path, tmp_path / "x.mkv", model=shifting_model)
    with pytest.raises(ArgumentError, match="source: got 'bs', allowed: not with a script"):
        render(path, tmp_path / "x.mkv", source="bs")


def test_tracks_from_is_for_scripts(films, tmp_path):
    with pytest.raises(ArgumentError, match="tracks_from: got"):
        render(films / "a.mp4", tmp_path / "x.mkv", tracks_from=films / "b.mkv")


def test_a_script_runs_in_its_folder(tmp_path):
    (tmp_path / "beside.py").write_text("LENGTH = 7\n")
    path = script(tmp_path, "from beside import LENGTH", "clip[:LENGTH].set_output()")
    assert isinstance(clip := output_of(path, path.read_text()), vs.VideoNode)
    assert clip.num_frames == 7


def test_several_inputs_do_not_go_into_one_film(tmp_path):
    output = str(tmp_path / "out.mp4")
    with pytest.raises(ArgumentError, match=r"allowed: a folder, where there are several inputs: .*out.mp4/; numbered"):
        targets(["a.png", "b.png"], output, None)
    made = targets(["a.mkv", "b.mkv"], f"{output}/", None)
    assert [path.name for _, path in made] == ["a.mkv", "b.mkv"]


def test_films_whose_names_look_like_numbered_pictures(tmp_path):
    films = [tmp_path / "10%done.mp4", tmp_path / "20%done.mp4"]
    for film in films:
        film.write_bytes(b"a film")
    made = targets([str(film) for film in films], str(tmp_path / "out"), None)
    assert [path.name for _, path in made] == [film.name for film in films]
    assert free_name(str(films[0]), "slomo") == "10%done.slomo.mp4"


def test_a_pipe_is_no_input(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="is not a file"):
        render(pipe, tmp_path / "x.mp4")
