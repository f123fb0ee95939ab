"""Where models are."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, WeightsError

from .modelfiles import saved


def test_find(tmp_path, home, monkeypatch):
    path = saved(tmp_path / "mine.safetensors")
    assert weights.find("bundled") == weights.BUNDLED
    assert weights.find(path) == weights.find(str(path)) == path
    home.mkdir(parents=True)
    installed = saved(home / "tiny.safetensors")
    assert weights.find("tiny") == installed
    monkeypatch.chdir(tmp_path)
    assert weights.find("mine.safetensors") == Path("mine.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert weights.find("~/mine.safetensors") == path


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        ("gone", WeightsError, r"model: 'gone' is neither a file nor the name of a model; there are: bundled"),
        ("", WeightsError, r"model: '' is neither"),
        (".", WeightsError, r"model: '\.' is a directory: name the file in it"),
        (None, ArgumentError, r"model: got None, allowed: the name of a model or the path of a file"),
        (5, ArgumentError, r"model: got 5, allowed"),
    ],
)
def test_find_nothing(model, error, text):
    with pytest.raises(error, match=text):
        weights.find(model)


def test_unreadable(tmp_path, monkeypatch):
    path = saved(tmp_path / "m")

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(WeightsError, match=r"m: cannot be read: Permission denied"):
        weights.read_info(path)


@pytest.mark.parametrize("model", ["x" * 5000, "a\0b", "~nobody-of-this-name/m", "\udcff", "/" * 5000])
def test_names_that_the_system_does_not_take(model):
    with pytest.raises(WeightsError, match=r"^model: ") as caught:
        weights.find(model)
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    saved(tmp_path / "m")
    (tmp_path / "to a pipe").symlink_to("pipe")
    (tmp_path / "to a model").symlink_to("m")
    (tmp_path / "to itself").symlink_to("to itself")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        for name in ("pipe", "to a pipe", "socket"):
            for read in (weights.read_info, weights.load):
                with pytest.raises(WeightsError, match=f"{name}: is not a regular file"):
                    read(tmp_path / name)
    with pytest.raises(WeightsError, match="neither a file nor"):
        weights.load(tmp_path / "to itself")
    assert weights.load(tmp_path / "to a model")[1].width == 2


def test_available(home, caplog):
    assert [info.key for info in weights.available()] == ["bundled"]
    home.mkdir(parents=True)
    saved(home / "tiny-2.safetensors")
    (home / "broken.safetensors").write_text("<html>")
    (home / ".half.part").write_text("x")
    assert [info.key for info in weights.available()] == ["bundled", "tiny-2"]
    assert "broken.safetensors: is a web page" in caplog.text
