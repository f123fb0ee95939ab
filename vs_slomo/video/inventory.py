"""Which programs and plugins are here to read and write files with."""

from __future__ import annotations

import re

import vapoursynth as vs

from vs_slomo.errors import SourceError

from .encoders import SHORT
from .ffmpeg import ffmpeg, run
from .filters import FILTERS, Missing, plugin

HARDWARE = r"(?:h264|hevc|av1)_(?:nvenc|qsv|amf|vaapi|videotoolbox)"
PLUGINS = {"mv": "MVTools, for baselines.mc", "bwdif": "for --deinterlace", "vszip": "for SSIMULACRA2"}


def ffmpeg_line() -> str:
    """Return where ffmpeg is, and its version."""
    try:
        first = run(["-version"]).stdout.decode(errors="replace").partition("\n")[0]
    except SourceError as error:
        return str(error)
    version = re.match(r"ffmpeg version (\S+)", first)
    return f"{ffmpeg()}, {version[1] if version else 'version unknown'}"


def encoders() -> str:
    """Return the encoders of this project's names that ffmpeg has, and those for hardware.

    Whether the hardware is there, only a render shows.
    """
    try:
        listed = run(["-v", "quiet", "-encoders"]).stdout.decode(errors="replace")
    except SourceError:
        return "none"
    have = set(re.findall(r"^ V\S+ (\S+)", listed, re.MULTILINE))
    own = [name if encoder in have else f"no {name}" for name, encoder in SHORT.items()]
    return ", ".join(own + sorted(name for name in have if re.fullmatch(HARDWARE, name)))


def source_filters() -> str:
    """Return which source filters are installed, in the order in which they are tried; the first is used."""
    return ", ".join(name if _installed(name) else f"no {name}" for name in FILTERS)


def plugins() -> str:
    """Return which other plugins of the host are installed that something here uses."""
    return ", ".join(f"{'' if hasattr(vs.core, name) else 'no '}{name} ({why})" for name, why in PLUGINS.items())


def _installed(name: str) -> bool:
    if name == "pyffms2":
        try:
            import ffms2  # noqa: F401
        except (ImportError, OSError):
            return False
        return True
    try:
        plugin(name)
    except Missing:
        return False
    return True
