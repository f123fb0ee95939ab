"""Super SloMo as a VapourSynth filter: `slomo(clip, multi=4)`."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compositing import motion
    from .durations import scan_timecodes
    from .filter import slomo
    from .retiming import retime
    from .source import source, source_timecodes
    from .timecodes import Timecodes

__all__ = ["Timecodes", "motion", "retime", "scan_timecodes", "slomo", "source", "source_timecodes"]

WHERE = {
    "Timecodes": "timecodes",
    "motion": "compositing",
    "retime": "retiming",
    "scan_timecodes": "durations",
    "slomo": "filter",
    "source_timecodes": "source",
}
"""Functions that live in a module of another name."""

# vspipe shows all that loggers let through; the command's --debug asks for more.
logging.getLogger("vs_slomo").setLevel(logging.INFO)


def __getattr__(name: str) -> object:
    """Load a function's module with its first use: `import vs_slomo` loads neither torch nor VapourSynth."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{WHERE.get(name, name)}", __name__), name)


def __dir__() -> list[str]:
    """Return what completion offers: also what is not loaded yet."""
    return sorted({*globals(), *__all__})


class Package(ModuleType):
    """`vs_slomo.source` is the function, also once the import system has set the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = Package
