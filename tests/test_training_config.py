"""Settings are checked before anything is decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

from vs_slomo.errors import ArgumentError
from vs_slomo.training.config import Config, Stage, Weights, load_config
from vs_slomo.weights import read_info


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return load_config(path)


def test_all_kinds_of_values(tmp_path):
    config = load(
        tmp_path,
        """
        data = "videos"
        run = "out"
        scale = 1
        width = 24
        [[stage]]
        name = "flow"
        train = "flow"
        batch = 0
        scenes = 4
        [[stage]]
        name = "both"
        minutes = 1.5
        fine = false
        weights = { frame = 2, flow = 0.0 }
        """,
    )
    first, second = config.stage
    assert config == Config("videos", "out", scale=1.0, width=24, stage=(first, second))
    assert first == Stage("flow", train="flow", batch=0, scenes=4)
    assert second == Stage("both", minutes=1.5, fine=False, weights=Weights(frame=2.0, flow=0.0))
    assert type(config.scale) is float


BASE = 'data = "d"\nrun = "r"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data: got None, allowed: it has to be given"),
        (BASE + "widht = 8", "widht: got 8, allowed: one of data, run,"),
        (BASE + 'width = "8"', "width: got '8', allowed: a value of type int"),
        (BASE + "width = true", "width: got True, allowed: a value of type int"),
        (BASE + "scale = 0.3", "scale: got 0.3, allowed: 1, 1/2, 1/4 or 1/8"),
        (BASE + "stage = []", r"stage: got \(\), allowed: at least one"),
        (BASE + '[[stage]]\nname = "a"\ncrop = 100', "stage.crop: got 100, allowed: a multiple of 64"),
        (BASE + '[[stage]]\nname = "a"\nbatch = 0', "stage.batch: got 0"),
        (BASE + '[[stage]]\nname = "a"\nown = 2', "stage.own: got 2.0, allowed: 0 to 1"),
        (BASE + '[[stage]]\nname = "a"\ncurved = -1', "stage.curved: got -1.0, allowed: 0 to 1"),
        (BASE + '[[stage]]\nname = "a"\nwhole = 1.5', "stage.whole: got 1.5, allowed: 0 to 1"),
        (BASE + "favoured = [1]", r"favoured: got 1, allowed: a value of type str"),
        *(
            (BASE + f'[[stage]]\nname = "a"\nweights = {{ {name} = 1 }}', rf"rife: got '', .* weights\.{name} is not 0")
            for name in ("teacher", "teacher_flow", "visible")
        ),
        (BASE + "levels = 6", "levels: got 6, allowed: a whole number from 1 to 5"),
        (BASE + '[[stage]]\nname = "a"\ntrain = "all"', "stage.train: got 'all', allowed: 'flow', 'interp', 'both'"),
        (BASE + '[[stage]]\nname = "a"\nweights = { flo = 1 }', "stage.weights.flo: got 1"),
        (BASE + '[[stage]]\nname = "a"\nweights = { perceptual = 1 }', "vgg: got ''"),
        *(
            (
                BASE + f'[[stage]]\nname = "a"\nweights = {{ frame = 0 }}\n{rest}',
                "stage.weights.frame: got 0.0, allowed: above",
            )
            for rest in ('train = "interp"', "own = 0", "batch = 0\nscenes = 2\ntrain = 'interp'")
        ),
        ("data = ", r"config: got .* a TOML file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ArgumentError, match=message):
        load(tmp_path, text)


def test_no_file(tmp_path):
    with pytest.raises(ArgumentError, match=r"config: got .*none\.toml"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("examples/training/*.toml")), ids=lambda p: p.stem
)
def test_the_examples_start(path):
    """They are read, and go on from a model that is as wide or half as wide."""
    config = load_config(path)
    if config.start:
        assert config.width in {n * read_info(config.start).width for n in (1, 2)}
