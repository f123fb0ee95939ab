"""Super SloMo as a VapourSynth filter: `slomo(clip, multi=4)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .filter import slomo
    from .source import source

__all__ = ["slomo", "source"]


def __getattr__(name: str) -> object:
    """Load a function's module with its first use: `import vs_slomo` loads neither torch nor VapourSynth."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module({"slomo": ".filter", "source": ".source"}[name], __name__)
    return getattr(module, name)
