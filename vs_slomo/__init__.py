"""Super SloMo as a VapourSynth filter: `slomo(clip, multi=4)`."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clips.durations import scan_timecodes
    from .filters.motion import MotionClips, motion
    from .filters.retime import retime
    from .filters.slomo import slomo
    from .timing.timecodes import Timecodes
    from .video.source import source, source_timecodes

__all__ = ["MotionClips", "Timecodes", "motion", "retime", "scan_timecodes", "slomo", "source", "source_timecodes"]

WHERE = {
    "MotionClips": "filters.motion",
    "Timecodes": "timing.timecodes",
    "motion": "filters.motion",
    "retime": "filters.retime",
    "scan_timecodes": "clips.durations",
    "slomo": "filters.slomo",
    "source": "video.source",
    "source_timecodes": "video.source",
}
"""The module of each public name."""

# vspipe shows all that loggers let through; the command's --debug asks for more.
logging.getLogger("vs_slomo").setLevel(logging.INFO)


if not TYPE_CHECKING:  # a type checker shall know no other names

    def __getattr__(name: str) -> object:
        """Load a name's module with its first use: `import vs_slomo` loads neither torch nor VapourSynth."""
        if name not in WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    """Return what completion offers: also what is not loaded yet."""
    return sorted({*globals(), *__all__})
