"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("VS_SLOMO_SHARED", Path(__file__).parents[2] / "shared"))


def shared_path(*parts: str) -> Path:
    """A file of the footage beside the checkout; a clone without it skips the test."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the footage beside the checkout: {'/'.join(parts)}")
    return path
