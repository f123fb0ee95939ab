"""Shapes are known without torch; here they are the networks'."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.weights.info import shapes


@pytest.mark.parametrize("width", [2, 5, 32])
def test_shapes_are_the_networks(width):
    networks = SuperSloMo(width).state_dict()
    assert list(shapes(width).items()) == [(name, tuple(tensor.shape)) for name, tensor in networks.items()]


@pytest.mark.parametrize("action", [["list"], ["show", "bundled"]])
def test_the_command_looks_at_models_without_torch(action):
    code = f"import sys; from vs_slomo.cli import main; main(['weights', *{action}]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
