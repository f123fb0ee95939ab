"""All that a training run needs to go on: the models, how far it is, and its files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from msgspec import to_builtins

from vs_slomo import weights as files
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model.fusion import DEFAULT
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.outputs import new_file

from .config import Config, Stage
from .process import Process
from .validate import STAGES, Table
from .widen import widen


@dataclass
class State:
    """All that a run needs to go on as if it had never stopped.

    stage: number of the present stage; step and seconds: how far it is. average: moving average of the
    weights, what is validated and exported. best: the best score so far; table: the last validation.
    """

    model: SuperSloMo
    average: SuperSloMo
    optimizer: torch.optim.Optimizer | None = None
    stage: int = 0
    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    table: Table = field(default_factory=dict)

    PLAIN = ("stage", "step", "seconds", "best", "table")

    def save(self, path: Path, config: Config) -> None:
        """Write a checkpoint; nobody ever sees half of one."""
        saved: dict[str, Any] = {name: getattr(self, name) for name in self.PLAIN}
        saved |= {"model": self.model.state_dict(), "average": self.average.state_dict()}
        saved |= {"optimizer": self.optimizer and self.optimizer.state_dict(), "random": torch.get_rng_state()}
        with new_file(path, overwrite=True) as new:
            torch.save(saved | {"config": to_builtins(config)}, new)

    def load(self, path: Path) -> dict[str, Any] | None:
        """Go on from a checkpoint; return the optimizer's state, for the stage that needs it."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model, older = self.model, {"levels": 1, "fusion": DEFAULT}
        own = {"width": model.flow_net.conv1.out_channels, "levels": model.levels, "fusion": model.fusion}
        for name, value in own.items():
            if (there := (older | saved["config"])[name]) != value:
                raise ArgumentError(name, value, f"{there}, as in {path}")
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        for name in self.PLAIN:
            setattr(self, name, saved[name])
        torch.set_rng_state(saved["random"])
        optimizer: dict[str, Any] | None = saved["optimizer"]
        return optimizer


def begin(config: Config, process: Process) -> State:
    """Make both copies of the model, with the weights to start from."""
    torch.manual_seed(config.seed)
    model, average = (
        SuperSloMo(config.width, last_activation=False, levels=config.levels, fusion=config.fusion) for _ in range(2)
    )
    if config.start:
        start, info = files.load(config.start)
        if info.last_activation or info.scale != config.scale:
            raise WeightsError(f"start: {config.start} runs at scale {info.scale:g}, or has a last activation")
        narrow = {name: net.state_dict() for name, net in start.named_children()}
        if 2 * info.width == config.width:
            generator = torch.Generator().manual_seed(config.seed)
            narrow = {name: widen(weights, generator) for name, weights in narrow.items()}
        elif info.width != config.width:
            raise ArgumentError("width", config.width, f"{info.width} or {2 * info.width}, from {config.start}")
        for name, net in model.named_children():
            net.load_state_dict(narrow[name])
    average.requires_grad_(requires_grad=False).load_state_dict(model.state_dict())
    # Both convert in place.
    for net in (model, average):
        net.to(process.device).to(memory_format=torch.channels_last)
    return State(model, average)


@torch.no_grad()
def update_average(state: State, keep: float) -> None:
    """Move the averaged weights towards the present ones; quickly at first."""
    keep = min(keep, (1 + state.step) / (10 + state.step))
    torch._foreach_lerp_(list(state.average.parameters()), list(state.model.parameters()), 1 - keep)


def progress(stage: Stage, state: State) -> float:
    """Return the part of the stage that is done."""
    done = state.step / stage.steps
    return max(done, state.seconds / 60 / stage.minutes) if stage.minutes else done


def export(state: State, config: Config, path: Path) -> None:
    """Write the averaged weights as a model file, with the better flow stage as its default."""
    means = state.table.get("mean", {})
    info = files.ModelInfo(
        name=Path(config.run).name,
        licence="MIT",
        width=config.width,
        scale=config.scale,
        last_activation=False,
        levels=config.levels,
        fusion=config.fusion,
        flow=max(STAGES, key=lambda name: means.get(name, 0)),
        training=json.dumps({"stage": state.stage, "step": state.step, "validation": means}),
    )
    files.save(state.average, info, path)
