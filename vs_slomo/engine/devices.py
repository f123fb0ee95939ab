"""Which devices there are, which one would be used, and why there is no GPU."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from .settings import check_device, gpu_kinds, multiplies_bfloat16


def where(device: str | Sequence[str] | None) -> str:
    """Return where new frames are made, in words. device: as in `slomo`."""
    if device is not None and not isinstance(device, str):
        return " and ".join(map(where, device))
    name = check_device(device)
    kind = name.partition(":")[0]
    if kind != "cpu":
        return f"on the GPU: {gpu_name(name)}"
    return "on the CPU" if gpus() else "on the CPU: no GPU found"


def gpus() -> list[str]:
    """Return the names of the GPUs that PyTorch can use."""
    found: list[str] = []
    for kind in gpu_kinds():
        found += ["mps"] if kind == "mps" else [f"{kind}:{n}" for n in range(getattr(torch, kind).device_count())]
    return found


def gpu_name(name: str) -> str:
    """Return what a GPU is called. name: PyTorch's for it."""
    kind = name.partition(":")[0]
    if kind == "cuda":
        return f"{torch.cuda.get_device_name(name)} ({name})"
    return f"{torch.xpu.get_device_name(name)} ({name})" if kind == "xpu" else "Apple's (mps)"


def cpu_name() -> str:
    """Return what the CPU is, what PyTorch uses of it, and on how many threads."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux, where Python knows no more than the architecture
        found = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        name = found[1].strip() if found else name
    able = torch.backends.cpu.get_cpu_capability()
    bfloat16 = ", bfloat16" if multiplies_bfloat16() else ""
    return f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()}, {able}{bfloat16}"


def why_no_cuda() -> str:
    """Return why PyTorch finds no NVIDIA GPU; "" where it does."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is a build without CUDA"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs"
    driver = sys.platform == "win32" or Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")
    if not driver:
        return "no NVIDIA driver is installed, or there is no NVIDIA GPU"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).strip().splitlines()[0]
    return f"PyTorch's CUDA {torch.version.cuda} finds none"
