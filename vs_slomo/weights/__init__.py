"""Model files: find, read the header, load, save, convert, fetch."""

from vs_slomo.model.flow import FLOWS, FlowName
from vs_slomo.model.fusion import FUSIONS
from vs_slomo.paths import models_dir

from .fetch import fetch
from .files import available, convert, find, installed, load, read_info, save
from .info import BUNDLED, LEVELS, SCALES, ModelInfo

__all__ = [
    "BUNDLED",
    "FLOWS",
    "FUSIONS",
    "LEVELS",
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
