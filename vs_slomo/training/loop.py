"""The training loop, from top to bottom.

Nothing in it draws from a stream of random numbers: samples and scenes follow from their numbers, which follow
from the step. So a run that is killed goes on with the losses it would have had, and several processes share
each batch by its numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vs_slomo.errors import ArgumentError
from vs_slomo.model.superslomo import SuperSloMo

from .cache import prepare
from .config import Config, Stage
from .losses import Features, scene_losses, window_losses
from .process import Process, in_bfloat16, loader
from .report import Progress, Report
from .resident import Resident
from .samples import Sample, SceneSet, Windows, collate, texture_bank
from .scenes import Scenes
from .staged import write_clips
from .state import State, begin, progress, update_average
from .teachers import label
from .validate import cases

REPORT = 30.0
"""Seconds between two lines about the progress."""


class Objective(nn.Module):
    """The model and its loss as one module, so that one forward pass is all that DDP sees."""

    def __init__(self, model: SuperSloMo, config: Config, stage: Stage) -> None:
        super().__init__()
        self.model, self.fine, self.weights = model, stage.fine, stage.weights
        self.features = Features(Path(config.vgg)) if stage.weights.perceptual else None

    def forward(self, batch: Sample | None, scenes: Scenes | None, scale: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss with the networks at `scale`, and the means of its parts before they are weighted."""
        losses: dict[str, Tensor] = {}
        if batch is not None:
            losses |= window_losses(
                self.model, batch, scale, weights=self.weights, fine=self.fine, features=self.features
            )[0]
        if scenes is not None:
            losses |= scene_losses(self.model, scenes)
        parts = {name: value.mean() for name, value in losses.items()}
        total = torch.stack([getattr(self.weights, name) * part for name, part in parts.items()]).sum()
        return total, {name: part.detach() for name, part in parts.items()}


def train(config: Config, *, resume: bool = False) -> State:
    """Run all stages, or go on where the run was left; return where it ended."""
    process = Process.join()
    run, cache = Path(config.run), Path(config.cache or Path(config.run) / "cache")
    if config.threads:
        torch.set_num_threads(config.threads)
    last = run / "last.pt"
    if process.first:
        if last.exists() and not resume:
            raise ArgumentError("run", config.run, "a new folder; or --resume, to go on with the run in it")
        run.mkdir(parents=True, exist_ok=True)
        ready = partial(prepare, seed=config.seed, processes=config.workers)
        ready(Path(config.data), cache / "train", density=config.density, max_side=config.max_side)
        if config.rife:
            wheel, asked = Path(config.rife), {"seed": config.seed, "processes": config.workers}
            label(cache / "train", wheel, **asked, model=config.start, device=process.device)
            if config.staged:
                write_clips(cache / "train", cache / "staged", config.staged, photos=config.photos, **asked)
        if config.validation:
            ready(Path(config.validation), cache / "validation", density=1.5, max_side=1920)
    process.wait()

    state, optimizer = begin(config, process), None
    if resume and last.exists():
        optimizer = state.load(last)
    report = None
    if process.first:
        held = list(cases(cache / "validation", config.held)) if config.validation else []
        report = Report(config, state, held, process.device)

    for number, stage in enumerate(config.stage):
        if number < state.stage:
            continue
        if number > state.stage:
            state.stage, state.step, state.seconds, optimizer = number, 0, 0.0, None
        run_stage(config, stage, state, optimizer, process, report, cache / "train")
        if report:
            report.checkpoint()
    return state


def run_stage(
    config: Config,
    stage: Stage,
    state: State,
    saved: dict[str, Any] | None,
    process: Process,
    report: Report | None,
    cache: Path,
) -> None:
    """Train until the stage's steps or minutes are over."""
    learning = learn_only(state.model, stage)
    fused = process.device.type == "cuda"
    state.optimizer = torch.optim.AdamW(learning, stage.rate, weight_decay=config.decay, fused=fused)
    if saved:
        state.optimizer.load_state_dict(saved)
    objective: nn.Module = Objective(state.model, config, stage).to(process.device)
    if process.world > 1:
        # In a batch without a sample of its own flow the flow network has no part. The only buffer never changes, and
        # PyTorch 2.14 cannot send it: each process has it from the weights.
        objective = nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True, broadcast_buffers=False)
    samples, scenes = fed(config, stage, process, state.step, cache)
    sums = Progress()
    began, before = time.monotonic(), state.seconds
    said = checked = state.seconds
    while progress(stage, state) < 1:
        batch = next(samples).to(process.device) if samples is not None else None
        scale = scale_of(stage, state.step, config.scale)
        if batch is not None and scale != config.scale:
            batch = batch.first(max(1, round(len(batch.t) * (config.scale / scale) ** 2)))
        scene = next(scenes).to(process.device) if scenes is not None else None
        rate = rate_at(stage, state)
        for group in state.optimizer.param_groups:
            group["lr"] = rate

        with in_bfloat16(process.device, wanted=config.half):
            loss, parts = objective(batch, scene, scale)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(learning, config.clip)
        state.optimizer.step()
        state.step += 1
        update_average(state, config.ema)

        state.seconds = before + process.share(time.monotonic() - began)
        sums.add({**parts, "loss": loss.detach(), "norm": norm})
        if state.seconds - said >= REPORT or progress(stage, state) >= 1:
            said = state.seconds
            means = sums.take(process)
            if report:
                report.line(stage, rate, means)
        if state.seconds - checked >= 60 * config.every:
            if report:
                report.checkpoint()
            checked = state.seconds


def fed(
    config: Config, stage: Stage, process: Process, step: int, cache: Path
) -> tuple[Iterator[Sample] | None, Iterator[Scenes] | None]:
    """Return this process's part of the windows and of the scenes of each step, from `step` on; None without any."""
    samples: Iterator[Sample] | None = None
    scenes: Iterator[Scenes] | None = None
    if stage.batch:
        windows = Windows(
            cache,
            stage.crop,
            stage.own,
            stage.curved,
            config.seed,
            taught=bool(config.rife),
            favoured=config.favoured,
            staged=cache.with_name("staged") if config.staged else None,
        )
        if config.resident:
            samples = Resident(windows, process.device).batches(stage.batch, process, step)
        else:
            samples = iter(loader(windows, collate, stage.batch, config.workers, process, step))
    if stage.scenes:
        bank = texture_bank(cache, config.photos, config.seed)
        made = SceneSet(bank, stage.scene_size, config.seed)
        scenes = iter(loader(made, Scenes.stack, stage.scenes, config.workers, process, step))
    return samples, scenes


def learn_only(model: SuperSloMo, stage: Stage) -> list[nn.Parameter]:
    """Let the stage's networks learn, hold the other one still, and return what learns."""
    for name, net in (("flow", model.flow_net), ("interp", model.interp_net)):
        net.requires_grad_(stage.train in (name, "both"))
    return [p for p in model.parameters() if p.requires_grad]


def scale_of(stage: Stage, step: int, scale: float) -> float:
    """Return the networks' scale in a step: the config's, or 1 in an evenly spread part of the steps."""
    return 1.0 if int((step + 1) * stage.whole) > int(step * stage.whole) else scale


def rate_at(stage: Stage, state: State) -> float:
    """Learning rate: up in a line, then down a cosine to a hundredth."""
    shape = 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, progress(stage, state)))) / 2
    return stage.rate * shape * min(1.0, (state.step + 1) / stage.warmup)
