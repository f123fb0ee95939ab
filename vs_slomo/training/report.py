"""What a training run says of itself."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from torch import Tensor

from .config import Config, Stage, Weights
from .process import Process
from .state import State, export, progress
from .validate import STAGES, Case, as_text, panel, validate

log = logging.getLogger("vs_slomo")


PARTS = (*Weights.__struct_fields__, "loss", "norm")
"""What is reported of each step."""


class Progress:
    """Sums of what is reported, over the steps since the last line; every process has its own."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(PARTS) + 1, dtype=torch.float64)

    def add(self, values: dict[str, Tensor]) -> None:
        """Take in one step. Nothing is read from a GPU, as the host would wait for it."""
        device = values["loss"].device
        nothing = torch.zeros((), device=device)
        row = [*(values.get(name, nothing).detach() for name in PARTS), nothing + 1]
        self.sums = self.sums.to(device) + torch.stack(row)

    def take(self, process: Process) -> dict[str, float]:
        """Return the means over the steps and the processes, and begin again; empty without a step."""
        *sums, count = process.total(self.sums).tolist()
        self.sums = torch.zeros_like(self.sums)
        return {name: value / count for name, value in zip(PARTS, sums, strict=True) if value}


class Report:
    """What a run says of itself: lines on stderr, `log.jsonl`, TensorBoard; and its checkpoints."""

    def __init__(self, config: Config, state: State, held: list[Case], device: torch.device) -> None:
        self.config, self.state, self.held, self.device = config, state, held, device
        self.run = Path(config.run)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(self.run / "board"))
        except ImportError:
            log.info("TensorBoard is not installed: the losses go to %s alone", self.run / "log.jsonl")
            self.board = None

    def line(self, stage: Stage, rate: float, means: dict[str, float]) -> None:
        """Write the means since the last line, and how long the stage will still take."""
        state = self.state
        done = progress(stage, state)
        left = state.seconds * (1 / done - 1) / 60
        text = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        log.info("%s %d (%.1f %%, %.0f min left): %s", stage.name, state.step, 100 * done, left, text)
        facts = {"stage": stage.name, "step": state.step, "seconds": round(state.seconds, 1), "rate": rate}
        with (self.run / "log.jsonl").open("a") as file:
            file.write(json.dumps(facts | means) + "\n")
        if self.board:
            for name, value in (means | {"rate": rate}).items():
                self.board.add_scalar(f"{stage.name}/{name}", value, state.step)

    def checkpoint(self) -> None:
        """Validate and save; keep the best."""
        state, config = self.state, self.config
        better = not self.held
        if self.held:
            state.table = validate(state.average, self.held, config.scale, self.device, state.table)
            log.info("%s", as_text(state.table))
            means = state.table["mean"]
            score = max(means[name] for name in STAGES) if config.choose == "better" else means[config.choose]
            better, state.best = score > state.best, max(score, state.best)
            if self.board:
                for name, value in means.items():
                    self.board.add_scalar(f"validation/{name}", value, state.step)
                for case in self.held[:4]:
                    picture = panel(state.average, case, config.scale, self.device)
                    self.board.add_image(f"validation/{case.clip}", picture, state.step)
        if better:
            state.save(self.run / "best.pt", config)
            export(state, config, self.run / "model.safetensors")
        state.save(self.run / "last.pt", config)
