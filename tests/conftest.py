"""What the tests share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from vs_slomo.engine.engine import shared_engine
from vs_slomo.engine.settings import Settings
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.weights import ModelInfo, save

SHARED = Path(os.environ.get("VS_SLOMO_SHARED", Path(__file__).parents[2] / "shared"))
settings.register_profile(
    "quick", deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")

SHIFT = (4.0, -2.0)
"""Flow of `shifting_model` from a frame to the next, x and y in pixels."""


def shared_path(*parts: str) -> Path:
    """A file of the footage beside the checkout; a clone without it skips the test."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs the footage beside the checkout: {'/'.join(parts)}")
    return path


@pytest.fixture(scope="session")
def vspipe(tmp_path_factory) -> Path:
    """The host's own command, where it starts: some systems keep Python's library in a package of its own."""
    tools = Path(sys.executable).parent
    path = tools / ("vspipe.exe" if sys.platform == "win32" else "vspipe")
    script = tmp_path_factory.mktemp("vspipe") / "empty.vpy"
    script.write_text("import vapoursynth as vs\nvs.core.std.BlankClip(length=1).set_output()\n")

    def tried():
        return subprocess.run([path, script, "."], capture_output=True, text=True, check=False)

    if "Failed to initialize VSScript" in tried().stderr:  # needed once for an environment
        subprocess.run([tools / "vapoursynth", "config"], capture_output=True, check=False)
    last = tried()
    if "Failed to initialize VSScript" in last.stderr:
        pytest.skip("vspipe does not start here: install Python's library (Debian, Ubuntu: libpython3.13)")
    assert last.returncode == 0, last.stderr
    return path


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tiny pictures gain nothing by more threads, and the host has its own."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def single_precision():
    """The same default on every CPU: pictures are compared, and must not depend on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vs_slomo.engine.settings.multiplies_bfloat16", lambda: False)
        yield


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory):
    """What the package keeps per user is kept for this run only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VS_SLOMO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def shifting_model(tmp_path_factory) -> Path:
    """A model file whose flow is SHIFT everywhere, whatever it sees: the truth is known at any t."""
    model = SuperSloMo(2, last_activation=False)
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    x, y = SHIFT
    model.flow_net.conv3.bias.data = torch.tensor([x, y, -x, -y])
    return _saved(model, tmp_path_factory.mktemp("models") / "shifting.safetensors")


@pytest.fixture(scope="session")
def seeing_model(tmp_path_factory) -> Path:
    """A random model, and on top of it flow and visibility that follow the colours.

    Each channel of the picture leads to an output of its own, so a wrong range or plane order shows.
    """
    torch.manual_seed(0)
    model = SuperSloMo(4, last_activation=False)
    for net, gain in ((model.flow_net, 20.0), (model.interp_net, 4.0)):
        for p in (net.conv1, net.conv2, net.up5.conv2, net.conv3):
            torch.nn.init.zeros_(p.bias)
        for c in range(3):
            # A channel's way through: + 1 keeps it above zero, where the activation lets it pass.
            for layer, at in ((net.conv1, c), (net.conv2, c), (net.up5.conv2, 4 + c)):
                layer.weight.data[c] = 0
                layer.weight.data[c, at, layer.weight.shape[2] // 2, layer.weight.shape[3] // 2] = 1
            net.conv1.bias.data[c] = 1
            net.conv3.weight.data[c, c, 1, 1] = gain
            net.conv3.bias.data[c] = -gain
    return _saved(model, tmp_path_factory.mktemp("models") / "seeing.safetensors")


def _saved(model: SuperSloMo, path: Path) -> Path:
    width = model.flow_net.conv1.out_channels
    save(model, ModelInfo(name=path.stem, width=width, last_activation=model.flow_net.last_activation), path)
    return path


def settings_for(model: Path, **options: object) -> Settings:
    """Single precision on the CPU, at full resolution, by the flow network."""
    return Settings(**{"model": model, "device": "cpu", "precision": "fp32", "scale": 1.0, "flow": "unet"} | options)


@pytest.fixture(scope="session")
def engine_of():
    """Return the engine that clips of these options share, loaded and kept: its `runs` counts the flows."""
    return cache(lambda model, scale=1.0, **options: shared_engine(settings_for(model, scale=scale, **options)))


def python(code: str, *args: object, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which finds the package and the tests' modules."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=environment())


def environment() -> dict[str, str]:
    """Return what a test's own process needs to find the package and the tests' modules; one thread."""
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
