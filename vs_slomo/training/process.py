"""This process among those that train together, its part of each batch, and processes that prepare."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vs_slomo.engine.settings import multiplies_bfloat16


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
            torch.backends.cudnn.benchmark = True  # sizes are few
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


def loader[T](
    dataset: Dataset[T],
    join: Callable[[list[T]], T],
    count: int,
    workers: int,
    process: Process,
    step: int,
) -> DataLoader[T]:
    """Return this process's part of `count` items a step, from `step` on."""
    return DataLoader(dataset, batch_sampler=Steps(process, count, step), collate_fn=join, num_workers=workers)


def in_processes[T, R](one: Callable[[T], R], items: Sequence[T], processes: int) -> list[R]:
    """Return what `one` makes of each item, made in so many processes with one thread each."""
    if processes < 2:
        return list(map(one, items))
    # OpenCV and torch have threads, which do not survive a fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), begin) as pool:
        return list(pool.map(one, items))


def in_bfloat16(device: torch.device, *, wanted: bool = True) -> torch.autocast:
    """Return the context in which networks compute in bfloat16 if it is wanted and the device multiplies it.

    A processor that does not multiply it takes ten times as long.
    """
    quick = device.type != "cpu" or multiplies_bfloat16()
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and quick)


def begin() -> None:
    """Begin a process that prepares: with one thread, and not for longer than the process that started it."""
    one_thread()
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the parent's end, however it comes, and end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Compute with one thread: with one for each core in each process, they would wait for one another."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
