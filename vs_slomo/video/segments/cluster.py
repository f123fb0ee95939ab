"""Workers by Ray, on this machine or on a running cluster. Each segment is a task with the resources it needs."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vs_slomo.errors import ArgumentError, RenderError
from vs_slomo.stops import Stops
from vs_slomo.video.script import Graph, absolute
from vs_slomo.video.vpy import is_script

from .cut import Segment
from .engine import connected, ray
from .folder import Part
from .making import cores
from .ship import Shipped
from .worker import Recipe, check, work

if TYPE_CHECKING:
    from .job import Job, Tally

log = logging.getLogger("vs_slomo")

TRIES = 3
"""How often a segment may fail."""
CLUSTER_CPUS = 4
"""Threads of each worker of a cluster, at most."""
WAITS = 0.2
"""Seconds after which a signal is looked for."""
LOOKS = 5.0
"""Seconds from one look at the cluster's machines to the next."""
INDEX_BYTES = 256 << 20
"""For the source filter's indexes that are sent."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a task needs. cpus: threads of each worker. gpus: 0 or 1."""

    cpus: int
    gpus: int = 0

    @property
    def as_ray(self) -> dict[str, float]:
        """As Ray is told."""
        return {"num_cpus": 1 if self.gpus else self.cpus, "num_gpus": self.gpus}

    def fit(self, resources: Mapping[str, float]) -> int:
        """Return how many tasks fit into resources."""
        if self.gpus:
            return int(resources.get("GPU", 0))
        return int(resources.get("CPU", 0) // self.cpus)


@dataclass(kw_only=True)
class Task:
    """A segment that a worker has. part: as the worker reports it. path: where its content goes."""

    segment: Segment
    attempt: int
    path: Path
    part: Part | None = None


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Workers of this machine (count), or of a cluster (address).

    call: what the graph is made of. file: what `probe` found. text: of a script. borders: in place of "auto".
    """

    count: int
    address: str | None
    needs: Needs
    call: Mapping[str, Any]
    file: Any = None
    text: str | None = None
    borders: tuple[int, int, int, int] | None = None

    def make(self, job: Job, missing: Sequence[Segment], tally: Tally, stopped: Stops) -> None:
        """Make these parts, and note each in the job's folder. Raises RenderError, and keeps what is whole."""
        if not missing:
            return
        gpus = self.count * self.needs.gpus
        with connected(self.address, self.count * self.needs.cpus, gpus):
            token = self._token(job)
            try:
                recipe = self._recipe(job, token)
                recipe = self._shipped(recipe)
                _Loop(self, job, recipe, tally, stopped).run(missing)
            finally:
                (job.folder.path / token[0]).unlink(missing_ok=True)

    def _token(self, job: Job) -> tuple[str, str]:
        """Write a file into the folder of parts: a worker that can read it sees the same folder."""
        token = f"shared.{job.folder.run}", secrets.token_hex(16)
        (job.folder.path / token[0]).write_text(token[1])
        return token

    def _recipe(self, job: Job, token: tuple[str, str]) -> Recipe:
        from .asked import versions

        picture, clip = job.picture, job.picture.clip
        conversion = {name: int(value) if name == "format" else value for name, value in picture.conversion.items()}
        named = {name: Path(self.call[name]) for name in ("input", "model", "curve") if self.call.get(name)}
        files = {name: Shipped.of(path) for name, path in named.items() if path.is_file()}
        if self.text is not None:
            files.pop("input", None)
        return Recipe(
            key=secrets.token_hex(8),
            call=self.call,
            file=self.file,
            borders=self.borders,
            text=self.text,
            files=files,
            indexes={},
            picture={
                "encoder": picture.encoder,
                "before": picture.before,
                "behind": picture.behind,
                "growth": picture.growth,
                "conversion": conversion,
                "pixels": picture.pixels.name,
            },
            frames=clip.num_frames,
            fps=str(clip.fps),
            join=job.join_,
            options=job.options,
            threads=self.needs.cpus,
            encoder_threads=job.threads,
            versions=versions(self.call),
            folder=str(job.folder.path.absolute()),
            token=token,
        )

    def _shipped(self, recipe: Recipe) -> Recipe:
        """Ask every machine what it sees, and return the recipe with what some of them lack. Raises RenderError."""
        from vs_slomo.paths import indexes_dir

        if self.address is None:
            return recipe
        engine = ray()
        told = engine.get([_on(node).remote(recipe) for node in _nodes(engine)])
        if errors := [answer["error"] for answer in told if "error" in answer]:
            raise RenderError(errors[0])
        lacks = {name for answer in told for name in answer["lacks"]}
        for answer in told:
            log.debug("%s: lacks %s, shared folder: %s", answer["host"], answer["lacks"], answer["shared"])
        files = {name: file.with_content(engine.put) if name in lacks else file for name, file in recipe.files.items()}
        stem = Path(self.call["input"]).stem
        found = [path for path in indexes_dir().iterdir() if stem in path.name and path.is_file()]
        found = [path for path in found if path.stat().st_size <= INDEX_BYTES]
        return replace(recipe, files=files, indexes={path.name: engine.put(path.read_bytes()) for path in found})


def chosen(
    workers: int | str | None, cluster: str | None, device: object, *, segments: bool = True
) -> tuple[int, str | None, Needs] | None:
    """Return how many workers there are, the cluster's address, and what each needs; None is this process alone.

    workers: a number, or "auto": one for each GPU. device: as `slomo` is told. segments: False is one piece, for which
    a cluster of the environment is not used. Raises ArgumentError.
    """
    if workers is not None and cluster is not None:
        raise ArgumentError("workers", workers, "not together with cluster, whose machines say how many there are")
    if workers not in (None, "auto") and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ArgumentError("workers", workers, "None, a number from 1, or auto")
    if workers is None and cluster is None and segments and find_spec("ray"):
        cluster = os.environ.get("RAY_ADDRESS") or None
    if workers is None and cluster is None:
        return None
    if device is not None and (not isinstance(device, str) or ":" in device):
        raise ArgumentError("device", device, "cuda or cpu with workers, each of which gets a device of its own")
    ray(local=cluster is None)
    import torch

    gpus = 0 if device == "cpu" or not torch.cuda.is_available() else torch.cuda.device_count()
    if cluster is not None:
        return 0, cluster, Needs(cpus=max(1, min(CLUSTER_CPUS, cores() // 2)), gpus=min(gpus, 1))
    if workers == "auto":
        if not gpus:
            log.info("workers: there is no GPU, and this process uses all cores by itself")
            return None
        workers = gpus
    count = int(workers or 1)
    if gpus and count > gpus:
        raise ArgumentError("workers", count, f"at most {gpus}, one for each GPU, or with device=cpu")
    return count, None, Needs(cpus=max(1, cores() // count), gpus=min(gpus, 1))


def crew(
    count: int, address: str | None, needs: Needs, made: Graph, given: str | os.PathLike[str], call: Mapping[str, Any]
) -> Workers:
    """Return the workers that make a graph; what is known of it is found here, once.

    given: the input. call: what `graph` is told.
    """
    borders = None
    if call.get("borders") == "auto":
        from vs_slomo.clips.borders import FOUND, find

        left, top, right, bottom = find(made.before).get_frame(0).props[FOUND]
        borders = int(left), int(top), int(right), int(bottom)
    call = {name: absolute(value) if name in ("model", "curve") else value for name, value in call.items()}
    if needs.gpus:
        call["device"] = "cuda"  # the one that Ray shows to the worker
    text = Path(given).read_text(encoding="utf-8") if is_script(given) else None
    return Workers(
        count=count,
        address=address,
        needs=needs,
        call={**call, "input": os.path.abspath(given)},  # noqa: PTH100  # "%05d.png" as well
        file=made.file,
        text=text,
        borders=borders,
    )


def _nodes(engine: Any) -> list[str]:
    return [node["NodeID"] for node in engine.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def _on(node: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray().remote(check).options(num_cpus=0, max_retries=0, scheduling_strategy=place)


class _Loop:
    """The driver's loop: tasks out, reports in, at most as many under way as fit, and one more."""

    def __init__(self, workers: Workers, job: Job, recipe: Recipe, tally: Tally, stopped: Stops) -> None:
        self.engine, self.workers, self.job, self.tally, self.stopped = ray(), workers, job, tally, stopped
        self.recipe = self.engine.put(recipe)
        self.under_way: dict[Any, Task] = {}
        self.task = self.engine.remote(_task).options(
            num_returns="streaming", max_retries=0, _generator_backpressure_num_objects=4, **workers.needs.as_ray
        )

    def run(self, missing: Sequence[Segment]) -> None:
        """Make all of them."""
        waiting = [(segment, 1) for segment in reversed(missing)]
        room, looked = self._room(), time.monotonic()
        try:
            while waiting or self.under_way:
                self.stopped.check()
                if time.monotonic() - looked > LOOKS:
                    room, looked = self._room(), time.monotonic()
                while waiting and len(self.under_way) < room:
                    self._send(*waiting.pop())
                ready, _ = self.engine.wait([*self.under_way], num_returns=1, timeout=WAITS, fetch_local=False)
                for stream in ready:
                    waiting += self._read(stream)
        finally:
            for stream, task in self.under_way.items():
                with suppress(Exception):
                    self.engine.cancel(stream, force=False)
                task.path.unlink(missing_ok=True)

    def _room(self) -> int:
        resources = self.engine.cluster_resources()
        fit = self.workers.needs.fit(resources)
        if not fit:
            needs = "a GPU" if self.workers.needs.gpus else f"{self.workers.needs.cpus} CPUs"
            raise RenderError(f"no machine of the cluster has {needs} for a worker")
        return fit + 1

    def _send(self, segment: Segment, attempt: int) -> None:
        path = self.job.folder.new_part(segment.number, self.job.join_.part, attempt)
        stream = self.task.remote(self.recipe, segment, path.name)
        self.under_way[stream] = Task(segment=segment, attempt=attempt, path=path)

    def _read(self, stream: Any) -> list[tuple[Segment, int]]:
        """Read a worker's next report; where it has failed, return its segment and the number of the next try."""
        task = self.under_way[stream]
        try:
            told = self.engine.get(next(stream))
        except StopIteration:
            del self.under_way[stream]
            return self._finished(task)
        except self.engine.exceptions.RayError as error:
            del self.under_way[stream]
            return self._failed(task, str(error).strip().splitlines()[-1])
        if isinstance(told, bytes):
            with task.path.open("ab") as file:
                file.write(told)
        elif "error" in told:
            raise RenderError(told["error"])
        elif "part" in told:
            task.part = Part(**told["part"])
            self.job.picture.alpha.lost |= told["lost"]
        else:
            self.tally.frames(task.segment.number, told["frames"])
        return []

    def _finished(self, task: Task) -> list[tuple[Segment, int]]:
        from .folder import is_whole

        if task.part is None or not is_whole(self.job.folder.path, task.part):
            return self._failed(task, "what came back is not what was made")
        self.job.folder.note(task.part)
        self.tally.part(task.part)
        return []

    def _failed(self, task: Task, why: str) -> list[tuple[Segment, int]]:
        task.path.unlink(missing_ok=True)
        self.tally.lost(task.segment.number)
        log.warning("segment %d has failed (try %d of %d): %s", task.segment.number, task.attempt, TRIES, why)
        if task.attempt == TRIES:
            raise RenderError(f"segment {task.segment.number} has failed {TRIES} times: {why}")
        return [(task.segment, task.attempt + 1)]


def _task(recipe: Recipe, segment: Segment, name: str) -> Iterator[dict[str, Any] | bytes]:
    yield from work(recipe, segment, name, ray().get)
