"""The ffmpeg program: where it is, how it is run, and what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from typing import Any

from vs_slomo.errors import SourceError

CONSEQUENCE = re.compile(
    "Task finished|Terminating thread|Nothing was written|Could not open encoder before|Conversion failed"
    "|Could not write header|Last message repeated|Error (muxing|submitting|sending|while filtering)"
)
"""Lines that follow from every failure and name no reason."""
FULL = re.compile("No space left on device|Disk quota exceeded|File too large|Input/output error|Read-only file system")
BROKEN_FILE = re.compile(
    f"file will be unreadable|Error writing trailer|Error closing file|Error opening output|{FULL.pattern}"
)
"""What means that the output is not whole, whatever the exit status: ffmpeg 5.1 ends with 0 on a full disk."""


def ffmpeg() -> str:
    """Return the ffmpeg to run: the one on PATH, else the one that the package imageio-ffmpeg carries.

    Raises SourceError where there is none.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise SourceError("no ffmpeg found: install it, or the package imageio-ffmpeg (extra: cli)") from None


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end and return what it wrote."""
    command = [ffmpeg(), "-hide_banner", "-nostdin", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


def last_lines(text: str, count: int = 3) -> str:
    """Return the end of what ffmpeg said, in one line, without what follows from every failure."""
    lines = [re.sub(r" @ 0x\w+", "", line.strip()) for line in text.splitlines() if not CONSEQUENCE.search(line)]
    return "; ".join([line for line in lines if line][-count:])


RATE = re.compile(r"Unsupported frame rate ([\d/]+)|MPEG-?1/2 does not support ([\d/]+) fps")
"""What MXF and MPEG-2 say of a rate that they do not know."""


def unusual(rate: object) -> str:
    """Return what is said of a rate that a container does not know."""
    usual = "24, 25, 30, 50, 60, 24000/1001, 30000/1001 or 60000/1001"
    return f"{rate} frames a second do not go into this kind of file; usual rates do (--fps): {usual}"


def reason(status: int, text: str) -> str:
    """Return why ffmpeg failed, by what it said or by its exit status."""
    if found := FULL.search(text):
        return found[0]
    if found := RATE.search(text):
        return unusual((found[1] or found[2]).removesuffix("/1"))
    if said := last_lines(text):
        return said
    if status < 0:
        return f"it was ended by signal {-status}"
    # ffmpeg ends with a negated system error, of which the low byte is left.
    return os.strerror(256 - status) if 128 < status < 256 else f"it ended with status {status}"


def encoder_help(name: str) -> str:
    """Return what ffmpeg says of an encoder."""
    return _help(ffmpeg(), f"encoder={name}")


def has_filter(name: str) -> bool:
    """Return whether ffmpeg has a filter."""
    return "Unknown filter" not in _help(ffmpeg(), f"filter={name}")


@cache
def _help(_program: str, topic: str) -> str:
    return run(["-h", topic]).stdout.decode(errors="replace")
