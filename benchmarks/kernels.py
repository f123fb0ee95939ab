"""What Triton's kernels need of a GPU, compiled for one that is not here: registers, what spills out of them, code.

    python benchmarks/kernels.py [--capability 90]

Values that spill lie in memory, where every use of them waits. Needs Triton, which brings the assembler `ptxas`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vs_slomo.engine.cuda import activation, agreement, kernels, sampling
from vs_slomo.engine.cuda.render import BLOCK, COLUMNS, SMOOTHED

PLANES, NUMBERS = ("plane0", "plane1", "out"), ("finite",)
FIELDS = ("fields", "warped", "told", "means", "cells", "bounds")
HALVES = ("x", "bias", "pooled", "image")
SIZES = ("field_height", "field_width", "height", "width", "origin_x", "origin_y", "cell_rows", "cell_columns")
STEPS = tuple(f"{what}_{over}" for what in ("image", "flow") for over in ("step", "channel", "row", "pixel"))
WHOLE = (*SIZES, "rows", "columns", "pixels", "channels", "step", *STEPS)
LANES = 32
"""Channels of a layer that is compiled."""


def all_kernels() -> list[tuple[Any, dict[str, Any]]]:
    """Return every kernel with the constants that it is run with, for one plane of 16 bit and for three at once."""
    found: list[tuple[Any, dict[str, Any]]] = [(agreement.smooth_kernel, {"BLOCK": SMOOTHED})]
    for kernel, pixels in (
        (activation.activate_kernel, 1),
        (activation.pool_kernel, 4),
        (activation.double_kernel, 1),
    ):
        found.append((kernel, {"LANES": LANES, "BLOCK": activation.VALUES // (LANES * pixels)}))
    found += [(sampling.backwarp_kernel, {"CHANNELS": c, "BLOCK": sampling.BLOCK}) for c in (2, 3)]
    for channels in (1, 3):
        line = {"CHANNELS": channels, "BLOCK": BLOCK}
        found += [(agreement.warp_kernel, line), (agreement.measure_kernel, {"CHANNELS": channels, "COLUMNS": COLUMNS})]
        found += [(kernel, {**line, "INTEGER": True}) for kernel in (agreement.combine_kernel, kernels.render_kernel)]
    return found


def signature(kernel: Any, constants: dict[str, Any]) -> dict[str, str]:
    """Return Triton's types of a kernel's arguments, which follow from their names."""
    kinds = dict.fromkeys(PLANES, "*u16") | dict.fromkeys(FIELDS, "*fp32") | dict.fromkeys(NUMBERS, "*i32")
    kinds |= dict.fromkeys(HALVES, "*fp16") | {"flow": "*fp32"}
    if kernel in (
        activation.activate_kernel,
        activation.pool_kernel,
        activation.double_kernel,
        sampling.backwarp_kernel,
    ):
        kinds["out"] = "*fp16"
    kinds |= dict.fromkeys(WHOLE, "i32") | dict.fromkeys(constants, "constexpr")
    if kernel is agreement.smooth_kernel:
        kinds["out"] = "*fp32"
    return {p.name: kinds.get(p.name, "fp32") for p in kernel.params}


def compiled(kernel: Any, constants: dict[str, Any], capability: int) -> dict[str, int]:
    """Return registers a thread, bytes that spill, and bytes of code."""
    source = ASTSource(kernel, signature(kernel, constants), constants)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    target = re.search(r"\.target (\w+)", made.asm["ptx"])
    assembler = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    with tempfile.TemporaryDirectory() as folder:
        text, code = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        text.write_text(made.asm["ptx"])
        name = target[1] if target else f"sm_{capability}"
        command = [assembler, "-v", "--gpu-name", name, text, "-o", code]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        numbers = {"registers": r"Used (\d+) registers", "spilled": r"(\d+) bytes spill stores"}
        found = {key: int((re.search(pattern, said) or [0, 0])[1]) for key, pattern in numbers.items()}
        return {**found, "code": code.stat().st_size}


def main() -> None:
    """Print a line for each kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90, help="the GPU's compute capability, 90 for an H100")
    capability = parser.parse_args().capability
    for kernel, constants in all_kernels():
        needs = compiled(kernel, constants, capability)
        text = ", ".join(f"{key} {value}" for key, value in needs.items())
        print(f"{kernel.__name__:16} {constants.get('CHANNELS', '-')} planes: {text}")


if __name__ == "__main__":
    main()
