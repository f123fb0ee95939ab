"""The source filters that may be there, and what each must be told to give the coded frames and nothing else."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.paths import indexes_dir

from .match import Stamps
from .probe import Container

log = logging.getLogger("vs_slomo")

FFMS2_PLUGIN = "usr/lib/*/libffms2.so.5"
"""Where Debian 13 puts it, below the root: the host does not look there."""


class Missing(Exception):  # noqa: N818  # never leaves this package
    """A source filter is not installed."""


def index_file(file: Container, ending: str) -> str:
    """Return where a file's index goes: in the user's cache directory, under a name that no other content has."""
    stat = file.path.stat()
    content = f"{stat.st_size} {stat.st_mtime_ns} ".encode() + str(file.path.resolve()).encode(errors="surrogateescape")
    stem = file.path.stem.encode(errors="replace")[:60].decode(errors="ignore").replace("\n", " ")
    return str(indexes_dir() / f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{ending}")


def plugin(namespace: str) -> Any:
    """Return a plugin of the host. Raises Missing."""
    if namespace == "ffms2" and not hasattr(vs.core, namespace):
        for path in Path("/").glob(FFMS2_PLUGIN):
            try:
                vs.core.std.LoadPlugin(str(path))
            except vs.Error as error:  # Debian 12's is too old for the host
                log.debug("%s: %s", path, error)
    if not hasattr(vs.core, namespace):
        raise Missing
    return getattr(vs.core, namespace)


def only_files(file: Container) -> None:
    """Raise Missing for numbered pictures, which only BestSource opens."""
    if file.input and file.input.start is not None:
        raise Missing


def open_ffms2(file: Container) -> vs.VideoNode:
    """Open with the ffms2 plugin."""
    only_files(file)
    return plugin("ffms2").Source(file.readable, track=file.video, cachefile=index_file(file, "ffindex"))


def bs_options(file: Container) -> dict[str, Any]:
    """Return what BestSource is told: where its index is; for numbered pictures, which may change, none is kept."""
    start = file.input.start if file.input else None
    kept: dict[str, Any] = {"cachepath": str(indexes_dir())}
    if "showprogress" in plugin("bs").VideoSource.signature:  # it would break into the command's own bar
        kept["showprogress"] = False
    return {"track": file.video} | (kept if start is None else {"cachemode": 0, "start_number": start})


def open_bs(file: Container) -> vs.VideoNode:
    """Open with BestSource; since R20 it turns the picture itself unless it is told not to."""
    function = plugin("bs").VideoSource
    options = {"apply_rotation": False} if "apply_rotation" in function.signature else {}
    return function(file.readable, **bs_options(file), **options)


@contextmanager
def quiet_host() -> Iterator[None]:
    """Keep back what the host says of values that it has not heard of."""
    host = logging.getLogger("vapoursynth")
    level = host.level
    host.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        host.setLevel(level)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep back what a plugin writes past the host: L-SMASH shows how far its index is. The debug log has it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            log.debug("%s", said.read().decode(errors="replace").strip())


def bs_stamps(file: Container) -> Stamps | None:
    """Return the frames' times as BestSource's index has them."""
    function = plugin("bs").VideoSource
    if "exporttimestamps" not in function.signature:
        return None
    with quiet_host():
        told = function(file.readable, **bs_options(file), exporttimestamps=True)
    if not isinstance(told, dict) or "timestamps" not in told:
        return None
    ticks = told["timestamps"]
    base = Fraction(int(told["timebasenum"]), int(told["timebaseden"]))
    return Stamps([ticks] if isinstance(ticks, int) else [*ticks], base)


def open_lsmas(file: Container) -> vs.VideoNode:
    """Open with L-SMASH, coded frames only (no repeated fields), as with the others."""
    only_files(file)
    function = plugin("lsmas").LWLibavSource
    with quiet_stderr():
        return function(file.readable, stream_index=file.video, cachefile=index_file(file, "lwi"), repeat=False)


def open_pyffms2(file: Container) -> vs.VideoNode:
    """Open with the ffms2 bindings, for machines whose libffms2 is no plugin for this host."""
    only_files(file)
    try:
        from .pyffms2 import open_file
    except (ImportError, OSError):
        raise Missing from None
    return open_file(Path(file.readable), file.video, index_file(file, "pyffindex"))


def pyffms2_stamps(file: Container) -> Stamps | None:
    """Return the frames' times as ffms2's index has them."""
    from .pyffms2 import times

    ticks, base = times(Path(file.readable), file.video, index_file(file, "pyffindex"))
    return Stamps(ticks, base)


FILTERS: dict[str, Callable[[Container], vs.VideoNode]] = {
    "ffms2": open_ffms2,
    "bs": open_bs,
    "lsmas": open_lsmas,
    "pyffms2": open_pyffms2,
}
"""In the order in which they are tried."""
STAMPS: dict[str, Callable[[Container], Stamps | None]] = {"bs": bs_stamps, "pyffms2": pyffms2_stamps}
"""Those that tell the times of their frames at once. Else they are read frame by frame where they are needed."""
BROUGHT_BY = {"bs": " (extra: cli)", "lsmas": " (extra: cli)", "pyffms2": " (extra: ffms2)"}
