"""What parts depend on: two runs whose parts may be mixed have all of this in common."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vapoursynth as vs

from vs_slomo.engine.settings import check_device, check_precision
from vs_slomo.video.ffmpeg import ffmpeg, run
from vs_slomo.video.script import Graph
from vs_slomo.weights import find

from .folder import digest


def asked(path: Path, made: Graph, interpolation: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return what a graph depends on, as JSON has it; `more` is added. path: the input."""
    stat = path.stat() if path.is_file() else None
    return {
        "script": made.script,
        "input": str(path) if stat is None else {"size": stat.st_size, "time": stat.st_mtime_ns},
        "model": digest(find(interpolation.get("model") or "bundled")),
        "curve": _curve(interpolation.get("curve")),
        "versions": versions(interpolation),
        **more,
    }


def _curve(curve: Any) -> str | None:
    if isinstance(curve, str | os.PathLike) and Path(curve).is_file():
        return digest(Path(curve))
    return None if curve is None else repr(curve)


def versions(call: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of what makes frames and parts, and the networks' precision, which depends on the processor.

    call: what the graph is made of. Where its model is a name, not a file, it is compared too.
    """
    model, device = call.get("model"), call.get("device")
    device = check_device(device) if device is None or isinstance(device, str) else str(next(iter(device)))
    precision = check_precision(call.get("precision"), device)
    packages = {name: _version(name) for name in ("vs-slomo", "torch", "numpy", "opencv-python-headless", "av")}
    plugins = {plugin.namespace: str(getattr(plugin, "version", "")) for plugin in vs.core.plugins()}
    filters = {name: plugins[name] for name in ("ffms2", "bs", "lsmas", "bwdif") if name in plugins}
    said = run(["-version"]).stdout.decode(errors="replace").partition("\n")[0]
    encoder = said.partition(" Copyright")[0] or ffmpeg()
    host = f"R{vs.__version__.release_major}"
    named = {} if model is not None and Path(model).is_file() else {"model": digest(find(model or "bundled"))[:12]}
    return {
        **packages,
        **filters,
        **named,
        "VapourSynth": host,
        "ffmpeg": encoder,
        "machine": platform.machine(),
        "precision": precision,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"
