"""`vs-slomo demo`: a scene of our own, measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .flags import INTERPOLATION, Flags, flags
from .progress import Bar
from .render import OVERWRITE

if TYPE_CHECKING:
    Networks = Flags
else:
    Networks = flags(("model", "flow", "device"), INTERPOLATION)

DEMO = "vs-slomo-demo.mp4"


def demo(
    *,
    output: Annotated[
        str | None,
        Parameter(name=("--output", "-o"), metavar="FILE", help=f"The video to write (default: {DEMO}, replaced)"),
    ] = None,
    multi: Annotated[int, Parameter(metavar="N", help="How many times as many frames")] = 8,
    frames: Annotated[int, Parameter(metavar="N", help="Source frames")] = 38,
    overwrite: Annotated[bool, OVERWRITE] = False,
    networks: Networks | None = None,
) -> None:
    """Slow a scene down whose true frames are known, measure, and write source and result side by side.

    vs-slomo demo
    """
    from vs_slomo.measure.demo import SHOWN_RATE
    from vs_slomo.measure.demo import demo as make

    file = DEMO if output is None else output
    options = (networks or Networks()).given()
    with Bar() as bar:
        score = make(file, multi=multi, frames=frames, overwrite=overwrite or output is None, progress=bar, **options)
    shown = ((frames - 1) * multi + 1) / SHOWN_RATE
    print(f"{file}: {float(shown):.1f} s, left the source slowed down, right with {multi} times the frames")
    print(f"PSNR of the new frames, against the true ones: {score.slomo:.2f} dB; frame blending: {score.blend:.2f} dB")
    if not vspipe_starts():
        print(VSPIPE)


VSPIPE = f"""\
Scripts for vspipe need one step more: vapoursynth config. Where that fails, install Python's library first
(Debian, Ubuntu: apt install libpython{sys.version_info[0]}.{sys.version_info[1]}). vs-slomo itself needs neither."""


def vspipe_starts() -> bool:
    """Whether VapourSynth's own command can run scripts here."""
    path = Path(sys.executable).with_name("vspipe.exe" if sys.platform == "win32" else "vspipe")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.vpy"
        script.write_text("import vapoursynth as vs\nvs.core.std.BlankClip(length=1).set_output()\n", encoding="utf-8")
        try:
            return not subprocess.run([path, script, "."], capture_output=True, check=False, timeout=60).returncode
        except (OSError, subprocess.TimeoutExpired):
            return False
