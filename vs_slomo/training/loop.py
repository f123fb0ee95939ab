"""The training loop, from top to bottom.

Nothing in it draws from a stream of random numbers: samples and scenes follow from their numbers, which follow
from the step. So a run that is killed goes on with the losses it would have had, and several processes share
each batch by its numbers.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from msgspec import to_builtins
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from vs_slomo import weights as files
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model.fusion import DEFAULT
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.outputs import new_file

from .config import Config, Stage, Weights
from .data import Sample, SceneSet, Windows, collate, prepare, texture_bank
from .losses import Features, scene_losses, window_losses
from .scenes import Scenes
from .teachers import label
from .validate import STAGES, Case, Table, as_text, cases, panel, validate
from .widen import widen

log = logging.getLogger("vs_slomo")

REPORT = 30.0
"""Seconds between two lines about the progress."""


@dataclass(frozen=True)
class Process:
    """This process among those that `torchrun` started; alone without it."""

    rank: int
    world: int
    device: torch.device

    @staticmethod
    def join() -> Process:
        """Find the others."""
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return Process(rank, world, device)

    @property
    def first(self) -> bool:
        """Whether it is the one that reports, validates and saves."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all."""
        if self.world > 1:
            dist.barrier()

    def share(self, value: float) -> float:
        """Return the first process's value, so that all take the same decisions."""
        if self.world == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(held, 0)
        return float(held)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.world > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def numbers(self, count: int, step: int) -> list[int]:
        """Return this process's part of the numbers of a step with `count` samples."""
        return list(range(step * count + self.rank, (step + 1) * count, self.world))


class Steps(Sampler[list[int]]):
    """The numbers of this process's samples, step by step, for ever."""

    def __init__(self, process: Process, batch: int, step: int) -> None:
        self.process, self.batch, self.step = process, batch, step

    def __iter__(self) -> Iterator[list[int]]:
        """Start at `step`."""
        step = self.step
        while True:
            yield self.process.numbers(self.batch, step)
            step += 1


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


PARTS = (*Weights.__struct_fields__, "loss", "norm")
"""What is reported of each step."""


class Progress:
    """Sums of what is reported, over the steps since the last line; every process has its own."""

    def __init__(self) -> None:
        self.sums = torch.zeros(len(PARTS) + 1, dtype=torch.float64)

    def add(self, values: dict[str, Tensor]) -> None:
        """Take in one step."""
        self.sums += torch.tensor([*(float(values.get(name, 0)) for name in PARTS), 1.0])

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
            label(cache / "train", Path(config.rife), seed=config.seed, processes=config.workers, model=config.start)
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
    state.optimizer = torch.optim.AdamW(learning, stage.rate, weight_decay=config.decay)
    if saved:
        state.optimizer.load_state_dict(saved)
    objective: nn.Module = Objective(state.model, config, stage).to(process.device)
    if process.world > 1:
        # In a batch without a sample of its own flow the flow network has no part.
        objective = nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True, broadcast_buffers=False)
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
        )
        samples = iter(loader(windows, collate, stage.batch, config, process, state.step))
    if stage.scenes:
        bank = texture_bank(cache, config.photos, config.seed)
        made = SceneSet(bank, stage.scene_size, config.seed)
        scenes = iter(loader(made, Scenes.stack, stage.scenes, config, process, state.step))
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

        with torch.autocast(process.device.type, torch.bfloat16, enabled=config.half):
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


def learn_only(model: SuperSloMo, stage: Stage) -> list[nn.Parameter]:
    """Let the stage's networks learn, hold the other one still, and return what learns."""
    for name, net in (("flow", model.flow_net), ("interp", model.interp_net)):
        net.requires_grad_(stage.train in (name, "both"))
    return [p for p in model.parameters() if p.requires_grad]


def loader[T](
    dataset: Dataset[T],
    join: Callable[[list[T]], T],
    count: int,
    config: Config,
    process: Process,
    step: int,
) -> DataLoader[T]:
    """Return this process's part of `count` items a step, from `step` on."""
    return DataLoader(dataset, batch_sampler=Steps(process, count, step), collate_fn=join, num_workers=config.workers)


def progress(stage: Stage, state: State) -> float:
    """Return the part of the stage that is done."""
    done = state.step / stage.steps
    return max(done, state.seconds / 60 / stage.minutes) if stage.minutes else done


def scale_of(stage: Stage, step: int, scale: float) -> float:
    """Return the networks' scale in a step: the config's, or 1 in an evenly spread part of the steps."""
    return 1.0 if int((step + 1) * stage.whole) > int(step * stage.whole) else scale


def rate_at(stage: Stage, state: State) -> float:
    """Learning rate: up in a line, then down a cosine to a hundredth."""
    shape = 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, progress(stage, state)))) / 2
    return stage.rate * shape * min(1.0, (state.step + 1) / stage.warmup)


@torch.no_grad()
def update_average(state: State, keep: float) -> None:
    """Move the averaged weights towards the present ones; quickly at first."""
    keep = min(keep, (1 + state.step) / (10 + state.step))
    for old, new in zip(state.average.parameters(), state.model.parameters(), strict=True):
        old.lerp_(new, 1 - keep)


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
