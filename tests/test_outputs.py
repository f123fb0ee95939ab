"""Output files: whole or not at all, and nothing else is touched."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from vs_slomo.errors import ArgumentError
from vs_slomo.outputs import new_file, new_sequence, write_text

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and permissions are others there")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    with new_file(path, overwrite=False) as part:
        part.write_text("whole")
        assert names(tmp_path) == [part.name]
        assert part.suffix == ".txt"
    assert names(tmp_path) == ["x.txt"]
    assert path.read_text() == "whole"


def fail(path, **options):
    """Write half a file."""

    def half():
        with new_file(path, **{"overwrite": False} | options) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()


def test_nothing_is_left_and_nothing_else_is_removed(tmp_path):
    for name in ("x.partial.txt", "x.part", ".x.txt"):
        (tmp_path / name).touch()
    before = names(tmp_path)
    fail(tmp_path / "x.txt")
    assert names(tmp_path) == before


def test_what_is_there_is_replaced_only_with_leave(tmp_path):
    (path := tmp_path / "x.txt").write_text("old")
    with pytest.raises(ArgumentError, match="not there yet"), new_file(path, overwrite=False):
        pass
    fail(path, overwrite=True)
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_what_comes_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "x.txt"

    def write():
        with new_file(path, overwrite=False) as part:
            part.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(ArgumentError, match="not there yet"):
        write()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["x.txt"]


@POSIX
def test_what_is_no_file_is_left_alone(tmp_path):
    (target := tmp_path / "target").write_text("theirs")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    before = names(tmp_path)
    for name in ("link", "dangling", "pipe", "folder"):
        with (
            pytest.raises(ArgumentError, match="a regular file; what is there"),
            new_file(tmp_path / name, overwrite=True),
        ):
            pass
    assert names(tmp_path) == before
    assert target.read_text() == "theirs"


@POSIX
def test_permissions(tmp_path):
    path, before = tmp_path / "x.txt", os.umask(0o027)
    try:
        write_text(path, "new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_text(path, "again")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


@POSIX
@pytest.mark.parametrize("name", ["い" * 83 + ".txt", "x" * 251 + ".txt", "-y.txt", "%d\n'\".txt", "caf\udce9.txt"])
def test_names(tmp_path, name):
    write_text(tmp_path / name, "here")
    assert names(tmp_path) == [name]


def test_names_that_cannot_be(tmp_path):
    for name in ("x" * 300 + ".txt", "nul\0.txt"):
        with (
            pytest.raises(ArgumentError, match="a name that the file system takes"),
            new_file(tmp_path / name, overwrite=False),
        ):
            pass
    with pytest.raises(ArgumentError, match="a folder that exists"), new_file(tmp_path / "no" / "x", overwrite=False):
        pass


def test_a_sequence(tmp_path):
    pattern = tmp_path / "%03d.txt"
    with new_sequence(pattern, overwrite=False) as part:
        for n in (1, 2):
            part.with_name(part.name % n).write_text(str(n))
    assert names(tmp_path) == ["001.txt", "002.txt"]

    def write(*numbers):
        with new_sequence(pattern, overwrite=False) as part:
            for n in numbers:
                part.with_name(part.name % n).write_text("new")

    with pytest.raises(ArgumentError, match="not there yet"):
        write(0, 2)
    assert names(tmp_path) == ["001.txt", "002.txt"]
    with new_sequence(pattern, overwrite=True) as part:
        part.with_name("002.txt").write_text("new")
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["1", "new"]
