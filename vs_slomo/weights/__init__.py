"""Model files: find, read the header, load, save, convert, fetch."""

from vs_slomo.model.flow import FLOWS
from vs_slomo.model.fusion import FUSIONS

from .files import (
    BUNDLED,
    SCALES,
    ModelInfo,
    available,
    convert,
    fetch,
    find,
    installed,
    load,
    models_dir,
    read_info,
    save,
)

__all__ = [
    "BUNDLED",
    "FLOWS",
    "FUSIONS",
    "SCALES",
    "ModelInfo",
    "available",
    "convert",
    "fetch",
    "find",
    "installed",
    "load",
    "models_dir",
    "read_info",
    "save",
]
