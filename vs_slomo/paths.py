"""The user's folders: installed models, the source filters' indexes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def models_dir() -> Path:
    """Return the folder of installed models: `$VS_SLOMO_HOME/models`, else the platform's place for user data."""
    from platformdirs import user_data_dir

    return Path(os.environ.get("VS_SLOMO_HOME") or user_data_dir("vs_slomo", appauthor=False)) / "models"


def indexes_dir() -> Path:
    """Return the folder of the source filters' indexes: `$VS_SLOMO_HOME/indexes`, else the platform's place for caches.

    Where it cannot be made, it is a temporary one.
    """
    from platformdirs import user_cache_dir

    path = Path(os.environ.get("VS_SLOMO_HOME") or user_cache_dir("vs_slomo", appauthor=False)) / "indexes"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return path
