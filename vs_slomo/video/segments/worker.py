"""What a worker does: the same graph as the driver's, once, and segments of it as long as it lives."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vs_slomo.errors import RenderError, SlomoError

from .cut import Join, Segment
from .ship import PIECE, Shipped

EVERY = 1.0
"""Seconds from one report to the next."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a worker needs to know of a job, as it travels.

    call: what `graph` or `script_graph` is given. file: what `probe` found; None for a script without one.
    borders: in place of "auto". text: of a script. files: those that are read, by the argument that names them.
    indexes: the source filter's, by name, as references. picture: the parts of `encode.Picture` that are not clips.
    threads: of each worker. encoder_threads: of each part's encoder. folder: the driver's folder of parts, and a file
    in it with a content that no other has.
    """

    key: str
    call: Mapping[str, Any]
    file: Any
    borders: tuple[int, int, int, int] | None
    text: str | None
    files: Mapping[str, Shipped]
    indexes: Mapping[str, Any]
    picture: Mapping[str, Any]
    frames: int
    fps: str
    join: Join
    options: Sequence[str]
    threads: int
    encoder_threads: int
    versions: Mapping[str, str]
    folder: str
    token: tuple[str, str]


@dataclass
class Kept:
    """What a worker keeps from one segment to the next."""

    picture: Any
    shared: bool


_kept: dict[str, Kept] = {}


def set_threads(count: int) -> None:
    """Let PyTorch, OpenCV and the host use so many threads, so that several workers do not fight."""
    import cv2
    import torch
    import vapoursynth as vs

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    vs.core.num_threads = count + 1  # one of them mostly waits for the engine


def check(recipe: Recipe) -> dict[str, Any]:
    """Return what a machine is like: its name, the files that it sees, whether it sees the folder; or the error."""
    try:
        _check_versions(recipe)
        lacks = [name for name, file in recipe.files.items() if not file.is_here()]
        return {"host": platform.node(), "lacks": lacks, "shared": _is_shared(recipe)}
    except SlomoError as error:
        return {"host": platform.node(), "error": str(error)}


def _check_versions(recipe: Recipe) -> None:
    from .asked import versions

    here, there = versions(recipe.call), recipe.versions
    other = [
        f"{name} {here.get(name, 'missing')} here, {there.get(name, 'missing')} on the driver"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]
    if other:
        raise RenderError(f"a worker on {platform.node()} makes other frames than the driver: {'; '.join(other)}")


def _is_shared(recipe: Recipe) -> bool:
    name, content = recipe.token
    try:
        return (Path(recipe.folder) / name).read_text() == content
    except (OSError, UnicodeError):
        return False


def opened(recipe: Recipe, get: Callable[[Any], Any]) -> Kept:
    """Return the job's graph; it is made with the first segment. get: what a reference stands for."""
    if recipe.key not in _kept:
        set_threads(recipe.threads)
        _check_versions(recipe)
        _kept.clear()
        _kept[recipe.key] = Kept(_picture(recipe, get), _is_shared(recipe))
    return _kept[recipe.key]


def _picture(recipe: Recipe, get: Callable[[Any], Any]) -> Any:
    import vapoursynth as vs

    from vs_slomo.paths import indexes_dir
    from vs_slomo.video.encode import Picture, converted
    from vs_slomo.video.feed import Alpha
    from vs_slomo.video.pixels import known_pixels
    from vs_slomo.video.script import Known, graph
    from vs_slomo.video.vpy import script_graph

    for name, content in recipe.indexes.items():
        path = indexes_dir() / name
        if not path.exists():
            path.write_bytes(get(content))
    call = {**recipe.call, **{name: str(file.local(get)) for name, file in recipe.files.items()}}
    path, file = Path(call.pop("input")), recipe.file
    if recipe.text is not None:
        made = script_graph(path, text=recipe.text, file=file, **call)
    else:
        if file.input.start is None and file.path != path and "input" in recipe.files:
            file = replace(file, path=path, input=replace(file.input, path=path, readable=str(path)))
        made = graph(path, known=Known(file=file, borders=recipe.borders), **call)
    told = recipe.picture
    clip = converted(made.clip, tuple(told["growth"]), told["conversion"])
    if (clip.num_frames, str(clip.fps)) != (recipe.frames, recipe.fps):
        there = f"{recipe.frames} frames at {recipe.fps}"
        raise RenderError(
            f"a worker on {platform.node()} sees {clip.num_frames} frames at {clip.fps}, and the driver {there}"
        )
    assert isinstance(clip, vs.VideoNode)  # noqa: S101
    pixels = known_pixels()[told["pixels"]]
    return Picture(
        clip=clip,
        pixels=pixels,
        alpha=Alpha(pixels.alpha),
        encoder=told["encoder"],
        before=[*told["before"]],
        behind=[*told["behind"]],
        container=[],
        growth=tuple(told["growth"]),
        conversion=told["conversion"],
    )


@dataclass
class Report:
    """How far a segment is."""

    frames: int = 0
    error: str = ""
    part: dict[str, Any] = field(default_factory=dict)


def work(recipe: Recipe, segment: Segment, name: str, get: Callable[[Any], Any]) -> Iterator[dict[str, Any] | bytes]:
    """Make a segment, and return reports: {"frames": n} each second, then {"part": ...}, then its content in pieces.

    Where this machine sees the driver's folder, the part is written there under that name, and no content follows. An
    error of ours is {"error": ...}: another try would not help.
    """
    from vs_slomo.stops import Stops

    stopped = Stops()
    try:
        kept = opened(recipe, get)
        with tempfile.TemporaryDirectory(prefix="vs_slomo-") as temporary:
            path = Path(recipe.folder if kept.shared else temporary) / name
            yield from _reported(recipe, segment, path, stopped)
            if not kept.shared:
                with path.open("rb") as file:
                    while data := file.read(PIECE):  # not `yield from`: Ray sends something to what it iterates over
                        yield data
    except SlomoError as error:
        yield {"error": f"{error} (worker {os.getpid()} on {platform.node()})"}


def _reported(recipe: Recipe, segment: Segment, path: Path, stopped: Any) -> Iterator[dict[str, Any]]:
    from .making import make

    picture, done = _kept[recipe.key].picture, [0]

    def note(frames: int, _total: int) -> None:
        done[0] = frames

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(
            make,
            picture,
            segment,
            path,
            join=recipe.join,
            options=recipe.options,
            threads=recipe.encoder_threads,
            stopped=stopped,
            progress=note,
        )
        try:
            while True:
                try:
                    part = future.result(EVERY)
                    break
                except NotYet:
                    yield {"frames": done[0]}
        except GeneratorExit:
            stopped.signal = 2
            raise
    yield {"part": asdict(part), "lost": picture.alpha.lost}
