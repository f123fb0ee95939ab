"""Model files: find, read the header, load, save, convert, fetch."""

from .files import (
    BUNDLED,
    FLOWS,
    FUSIONS,
    SCALES,
    FlowName,
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
    "FlowName",
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
