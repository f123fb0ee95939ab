"""The package's own names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vs_slomo


@pytest.mark.parametrize(
    "first", ["import vs_slomo.render", "from vs_slomo import source", "import vs_slomo.filters.slomo"]
)
def test_names_are_functions_whatever_was_imported_first(first):
    code = f"{first}\nimport vs_slomo\nassert all(callable(getattr(vs_slomo, name)) for name in vs_slomo.__all__)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_names_are_offered():
    code = "import vs_slomo; assert set(vs_slomo.__all__) <= set(dir(vs_slomo))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_other_names_are_an_error():
    with pytest.raises(AttributeError, match="module 'vs_slomo' has no attribute 'slow'"):
        vs_slomo.slow  # noqa: B018
