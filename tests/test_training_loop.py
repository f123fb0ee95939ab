"""A run from an empty folder to a model: it learns, goes on after a kill, and shares its batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from msgspec import to_builtins
from msgspec.structs import replace

from vs_slomo import weights
from vs_slomo.errors import ArgumentError
from vs_slomo.training import loop, process, teachers
from vs_slomo.training.config import Config, Stage, Weights
from vs_slomo.training.loop import train
from vs_slomo.training.scenes import Scene

SIZE = 128


def write_clip(folder, seed, count=12, layers=3):
    scene = Scene.random(seed, SIZE, SIZE, layers=layers, speed=4)
    folder.mkdir(parents=True)
    for t in range(count):
        picture = (255 * scene.frame(t).permute(1, 2, 0)).round().to(torch.uint8).numpy()
        cv2.imwrite(str(folder / f"{t:03}.png"), picture[..., ::-1])


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    root = tmp_path_factory.mktemp("footage")
    write_clip(root / "train" / "one", 1)
    write_clip(root / "train" / "two", 2)
    write_clip(root / "held" / "three", 3)
    return root


def settings(footage, run, **changes):
    stage = Stage("both", steps=6, batch=4, crop=64, own=0.5, warmup=2)
    return Config(
        data=str(footage / "train"),
        run=str(run),
        cache=str(footage / "cache"),
        width=2,
        stage=(replace(stage, **changes),),
    )


def losses_of(run):
    return [json.loads(line)["loss"] for line in (Path(run) / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def each_step(monkeypatch):
    """Report every step."""
    monkeypatch.setattr(loop, "REPORT", 0)


def test_stages_validation_and_the_exported_model(footage, tmp_path, each_step):
    stages = (
        Stage("flow", train="flow", steps=2, batch=0, scenes=2, scene_size=32),
        Stage("interp", train="interp", steps=2, batch=2, crop=64, own=0.5, fine=False),
        Stage("both", steps=2, batch=2, crop=64, own=0.5, scenes=1, scene_size=32),
    )
    config = replace(settings(footage, tmp_path / "run"), stage=stages, validation=str(footage / "held"))
    state = train(config)
    assert (state.stage, state.step) == (2, 2)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["flow", "flow", "interp", "interp", "both", "both"]
    assert set(lines[0]) == {"stage", "step", "seconds", "rate", "scene", "loss", "norm"}
    assert {"frame", "warping", "smoothness", "flow", "scene"} <= set(lines[-1])
    assert list((tmp_path / "run" / "board").iterdir())
    assert set(state.table) == {"three", "mean"}
    # An untrained model is no better than blending, but what it exports is a model of ours.
    info = weights.read_info(tmp_path / "run" / "model.safetensors")
    means = state.table["mean"]
    assert info.width == 2
    assert info.scale == 0.5
    assert info.flow == ("dis" if means["dis"] > means["unet"] else "unet")
    assert means["dis flow"] > means["blend"] > 10


def test_only_the_stage_s_network_learns(footage, tmp_path):
    config = settings(footage, tmp_path / "run", train="interp", steps=2)
    before = loop.begin(config, loop.Process.join()).model.state_dict()
    after = train(config).model.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"interp_net"}


def test_a_killed_run_goes_on_with_the_same_losses(footage, tmp_path, each_step, monkeypatch):
    train(settings(footage, tmp_path / "whole", scenes=1, scene_size=32))
    config = settings(footage, tmp_path / "killed", scenes=1, scene_size=32)
    config = replace(config, every=1e-9)  # a checkpoint every step
    steps = iter(range(3))

    def killed(*_):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return rate_at(*_)

    rate_at = loop.rate_at
    monkeypatch.setattr(loop, "rate_at", killed)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    monkeypatch.setattr(loop, "rate_at", rate_at)
    assert len(losses_of(tmp_path / "killed")) == 3
    train(config, resume=True)
    assert losses_of(tmp_path / "killed") == losses_of(tmp_path / "whole")
    assert len(losses_of(tmp_path / "whole")) == 6


def test_a_run_is_not_overwritten(footage, tmp_path):
    config = settings(footage, tmp_path / "run", steps=1)
    train(config)
    with pytest.raises(ArgumentError, match=r"run: got .*run.*--resume"):
        train(config)
    with pytest.raises(ArgumentError, match=r"width: got 4, allowed: 2, as in .*last\.pt"):
        train(replace(config, width=4), resume=True)
    with pytest.raises(ArgumentError, match=r"levels: got 1, allowed: 2, as in .*last\.pt"):
        train(replace(config, levels=1), resume=True)
    with pytest.raises(ArgumentError, match=r"fusion: got 'paper', allowed: agreement, as in .*last\.pt"):
        train(replace(config, fusion="paper"), resume=True)


def test_starting_from_a_model_keeps_what_it_does(footage, tmp_path):
    first = train(settings(footage, tmp_path / "first", steps=1))
    model = str(tmp_path / "first" / "model.safetensors")
    i0, i1 = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = first.average(i0, i1, 0.5)
    for width in (2, 4):
        config = replace(settings(footage, tmp_path / "next"), start=model, width=width)
        torch.testing.assert_close(
            loop.begin(config, loop.Process.join()).model(i0, i1, 0.5), expected, atol=2e-3, rtol=0
        )
    with pytest.raises(ArgumentError, match="width: got 16, allowed: 2 or 4"):
        loop.begin(replace(config, width=16), loop.Process.join())


@pytest.mark.parametrize(("knows", "wanted", "used"), [(True, True, True), (True, False, False), (False, True, False)])
def test_bfloat16_only_where_the_processor_knows_it(monkeypatch, knows, wanted, used):
    monkeypatch.setattr(process, "multiplies_bfloat16", lambda: knows)
    with process.in_bfloat16(torch.device("cpu"), wanted=wanted):
        found = torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 1, 1))
    assert (found.dtype == torch.bfloat16) == used


def test_the_schedule():
    stage = Stage("both", steps=100, warmup=10, rate=1.0)
    state = loop.State(None, None)
    rates = []
    for state.step in range(100):
        rates.append(loop.rate_at(stage, state))
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(0.98, abs=0.01)
    assert rates[50] == pytest.approx(0.505)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    # With a limit of time, the later of both.
    state.step, state.seconds = 0, 90.0
    assert loop.progress(replace(stage, minutes=2.0), state) == 0.75


def test_a_part_of_the_steps_runs_at_the_frames_resolution():
    stage = Stage("both", whole=0.4)
    scales = [loop.scale_of(stage, step, 0.5) for step in range(10)]
    assert scales == [0.5, 0.5, 1, 0.5, 1, 0.5, 0.5, 1, 0.5, 1]
    assert {loop.scale_of(Stage("both"), step, 0.5) for step in range(10)} == {0.5}


@pytest.mark.parametrize("resident", [False, True])
def test_a_taught_run_learns_from_all_that_is_asked_for(footage, tmp_path, each_step, monkeypatch, resident):
    class Still:
        def __call__(self, frame0, frame1, t, *, half=False):
            nothing = torch.zeros(1, 4, *frame0.shape[-2:])
            return nothing, torch.full_like(nothing[:, :1], 0.5), frame0

    monkeypatch.setattr(teachers, "one_rife", lambda *_: Still())
    weights_ = Weights(detail=0.5, teacher=0.6, teacher_flow=0.4, visible=0.1, warping=0, smoothness=0, flow=0)
    config = settings(footage, tmp_path / "run", steps=2, own=1.0, whole=0.5, weights=weights_)
    train(
        replace(config, rife="wheel", density=2.0, cache=str(tmp_path / "cache"), favoured=("one",), resident=resident)
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    for line in lines:
        total = sum(getattr(weights_, name) * value for name, value in line.items() if hasattr(weights_, name))
        assert line["loss"] == pytest.approx(total, rel=1e-4)
        assert {"detail", "teacher", "teacher_flow", "visible"} <= set(line)
    index = json.loads((tmp_path / "cache" / "train" / "index.json").read_text())
    assert max(len(clip["windows"]) for clip in index) <= round(2 * 12**0.5)


TORCHRUN = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from vs_slomo.training import loop
from vs_slomo.training.config import Config, build
loop.REPORT = 0
loop.train(build(json.loads(Path(sys.argv[1]).read_text())))
"""


def test_two_processes_are_as_one(footage, tmp_path):
    runs = {}
    (tmp_path / "go.py").write_text(TORCHRUN)
    for count in (1, 2):
        run = tmp_path / f"of{count}"
        config = settings(footage, run, steps=6, scenes=2, scene_size=32)
        config = to_builtins(replace(config, half=False))
        config["stage"] = list(config["stage"])
        (tmp_path / "config.json").write_text(json.dumps(config))
        subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={count}", "--standalone",
             tmp_path / "go.py", tmp_path / "config.json"],
            check=True, cwd=Path(__file__).parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        runs[count] = losses_of(run)
    assert len(runs[2]) == 6
    assert runs[2] == pytest.approx(runs[1], abs=1e-4)


@pytest.mark.slow
def test_from_an_empty_folder_to_a_model_that_beats_blending(tmp_path):
    """Half a minute of one core; nothing is trained before."""
    for seed in range(6):
        write_clip(tmp_path / "train" / f"{seed}", seed, 16, layers=1)
    write_clip(tmp_path / "held" / "clip", 99, 16, layers=1)
    config = Config(
        data=str(tmp_path / "train"),
        validation=str(tmp_path / "held"),
        run=str(tmp_path / "run"),
        width=4,
        fusion="paper",  # averages as "dis flow" does, so that only what is learned differs
        held=8,
        threads=1,
        stage=(
            Stage("flow", train="flow", steps=300, batch=0, scenes=4, scene_size=64, rate=2e-3, warmup=20),
            Stage("both", steps=250, batch=6, crop=64, own=0.5, rate=2e-3, warmup=20, fine=False),
        ),
    )
    means = train(config).table["mean"]
    info = weights.read_info(tmp_path / "run" / "model.safetensors")
    assert means[info.flow] > means["blend"] + 1
    # DIS alone is that good: what was learned lies above it.
    assert means["dis"] > means["dis flow"]
