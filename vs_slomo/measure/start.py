"""The time to the first frame, and the memory: measured in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import vapoursynth as vs

from vs_slomo.engine.engine import shared_engine
from vs_slomo.engine.settings import Settings
from vs_slomo.errors import SlomoError
from vs_slomo.filters.options import check_options
from vs_slomo.filters.slomo import slomo
from vs_slomo.stops import stops


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds to the first new frame in a new process, and peak memory in MB.

    imports: importing the package, PyTorch and VapourSynth. load: loading the model. first: making the first new frame.
    second: making that of the next pair. rss, device_memory: peaks after eight pairs.
    """

    imports: float
    load: float
    first: float
    second: float
    rss: float
    device_memory: float


def time_start(settings: Settings, size: tuple[int, int]) -> Start:
    """Measure the first frame in a new process."""
    code = (
        "import json, sys, time; begin = time.perf_counter(); from vs_slomo.measure.start import first_frame; "
        "first_frame(time.perf_counter() - begin, *json.loads(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, json.dumps([size, options_of(settings)])]
    with stops(), tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "VS_SLOMO_HOME": home}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SlomoError(f"the process for the first frame failed: {done.stderr.strip()[-500:]}")
    return Start(**json.loads(done.stdout))


def first_frame(imports: float, size: tuple[int, int], options: dict[str, Any]) -> None:
    """Print a `Start` as JSON: for a process of its own."""
    clip = moving_clip(*size)
    begin = time.perf_counter()
    engine = shared_engine(check_options(size, **options).settings)
    load = time.perf_counter() - begin
    out = slomo(clip, 2, sc=False, **options)
    seconds = []
    for k in range(8):
        begin = time.perf_counter()
        out.get_frame(2 * k + 1)
        seconds.append(time.perf_counter() - begin)
    memory = torch.cuda.max_memory_allocated(engine.device) / 1e6 if engine.device.type == "cuda" else 0.0
    made = Start(
        imports=imports, load=load, first=seconds[0], second=seconds[1], rss=peak_memory(), device_memory=memory
    )
    print(json.dumps(asdict(made)))  # noqa: T201  # to the process that waits for it


def peak_memory() -> float:
    """Return the peak memory of this process in MB; 0 where the system does not tell."""
    try:
        # Not getrusage's: on Linux that begins with what the parent had.
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        return int(found[1]) * 1.024e-3 if found else 0.0
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # of macOS, which counts in bytes


def moving_clip(width: int, height: int, length: int = 9) -> vs.VideoNode:
    """Return a clip, YUV420P8, of clouds that move to the right and down; its frames are there already."""
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.YUV420P8, length=length, keep=True)
    clouds = []
    for p, plane in enumerate(blank.get_frame(0)):
        rows, columns = np.asarray(plane).shape
        coarse = torch.rand(1, 1, rows // 8 + 8, columns // 8 + 8, generator=torch.Generator().manual_seed(p))
        clouds.append(F.interpolate(coarse, scale_factor=8, mode="bicubic")[0, 0].clamp(0, 1))
    made = []
    for n in range(length):
        frame = blank.get_frame(0).copy()
        for p, cloud in enumerate(clouds):
            target, shift = np.asarray(frame[p]), n * (3 if p == 0 else 1)
            target[...] = (16 + 219 * cloud.roll((shift, 2 * shift), (0, 1)))[: target.shape[0], : target.shape[1]]
        made.append(frame)
    return blank.std.ModifyFrame(blank, lambda n, f: made[n])  # noqa: ARG005  # the host's names


def options_of(settings: Settings) -> dict[str, Any]:
    """Return the options of `slomo` that give these settings."""
    names = ("device", "precision", "scale", "flow", "tile")
    return {"model": str(settings.model)} | {name: getattr(settings, name) for name in names}
