"""A model as ONNX gives what PyTorch gives, in every runtime that is here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import vapoursynth as vs
from test_engine import textured

from vs_slomo import cli, weights
from vs_slomo.clips.frames import read_planes
from vs_slomo.errors import ArgumentError, SlomoError
from vs_slomo.model.superslomo import network_input
from vs_slomo.weights import export as exporting
from vs_slomo.weights.export import OneFile, export

onnx = pytest.importorskip("onnx")


def onnx_runtime(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(["output"], {"input": x})[0]


def openvino(path):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("without OpenVINO")

    def run(x):
        # In a process of its own: the host may have loaded the libraries of vs-mlrt, of another version.
        with tempfile.TemporaryDirectory() as folder:
            np.save(f"{folder}/in.npy", x)
            subprocess.run([sys.executable, "-c", BY_OPENVINO, str(path), folder], check=True)
            return np.load(f"{folder}/out.npy")

    return run


BY_OPENVINO = """
import sys
import numpy as np, openvino
path, folder = sys.argv[1:]
run = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save(f"{folder}/out.npy", np.array(run([np.load(f"{folder}/in.npy")])[0]))
"""


COMMON = """
Abs Add AveragePool Cast Clip Concat Constant ConstantOfShape Conv Div Equal Expand Gather Identity LeakyRelu Less
LessOrEqual Log Max Min Mod Mul Neg Pad Range ReduceMax ReduceMean ReduceMin ReduceSum Reshape Resize Shape Sigmoid
Slice Split Squeeze Sub Transpose Unsqueeze Where
"""
RUNTIMES = [onnx_runtime, openvino]


@pytest.fixture(scope="module")
def model(seeing_model, tmp_path_factory):
    """Three levels and agreement, as the bundled one has."""
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    weights.convert(seeing_model, path, levels=3, fusion="agreement", scale=0.5)
    return path


@pytest.fixture(scope="module")
def any_size(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "any.onnx"
    export(model, path)
    return path


def given(width, height, t):
    """Both frames and t as the file takes them, (1, 7, H, W)."""
    time = torch.full((1, 1, height, width), t)
    return torch.cat((textured(height, width), textured(height, width, 3, -2), time), dim=1)


def wanted(model, x, t):
    net, info = weights.load(model)
    with torch.inference_mode():
        return net(x[:, :3], x[:, 3:6], t, info.scale)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("size", "t"), [((96, 64), 0.5), ((150, 90), 0.25), ((64, 130), 0.9)])
def test_any_size_and_t(model, any_size, runtime, size, t):
    x = given(*size, t)
    made = torch.from_numpy(runtime(any_size)(x.numpy()))
    assert (made - wanted(model, x, t)).abs().max() < 1e-3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_fixed_size(model, tmp_path, runtime):
    export(model, path := tmp_path / "fixed.onnx", size=(128, 72))
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in shape] == [1, 7, 72, 128]
    x = given(128, 72, 0.5)
    assert (torch.from_numpy(runtime(path)(x.numpy())) - wanted(model, x, 0.5)).abs().max() < 1e-3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_half_precision(model, tmp_path, runtime):
    export(model, path := tmp_path / "half.onnx", half=True)
    made = runtime(path)(given(96, 64, 0.5).half().numpy())
    assert made.dtype == np.float16
    error = torch.from_numpy(made.astype(np.float32)) - wanted(model, given(96, 64, 0.5), 0.5)
    assert 0 < error.square().mean().sqrt() < 0.01


@pytest.mark.parametrize("plugin", ["ort", "ov"])
def test_vs_mlrt(model, any_size, plugin):
    """The plugins that people have: clips in, a clip out."""
    if not hasattr(vs.core, plugin):
        pytest.skip(f"needs vapoursynth-mlrt-{plugin}")
    blank = vs.core.std.BlankClip(width=150, height=90, format=vs.RGBS, length=1)
    x = given(150, 90, 0.25)

    def clip(first):
        def put(n, f):
            made = f.copy()
            for p in range(3):
                np.asarray(made[p])[:] = x[0, first + p].numpy()
            return made

        return blank.std.ModifyFrame(blank, put)

    t = blank.std.BlankClip(format=vs.GRAYS, color=0.25)
    # OpenVINO computes in bfloat16 where the processor has it, unless it is told not to.
    options = {"config": lambda: {"INFERENCE_PRECISION_HINT": "f32"}} if plugin == "ov" else {}
    made = getattr(vs.core, plugin).Model([clip(0), clip(3), t], str(any_size), **options).get_frame(0)
    assert (read_planes(made, range(3)) - wanted(model, x, 0.25)).abs().max() < 1e-3


@pytest.mark.parametrize("scale", weights.SCALES)
def test_shrinking_is_the_filters_own(seeing_model, scale):
    """The convolution gives what the triangle filter gives, at the edges too."""
    net = OneFile(weights.load(seeing_model)[0], scale)
    frame = F.pad(textured(64, 96), (0, 160, 0, 192), mode="replicate")
    assert torch.allclose(net.shrunk(frame), network_input(frame, scale), atol=1e-6)


def test_the_operators_are_the_documented_ones(any_size):
    """docs/models.md says which runtime lacks which of them."""
    names = {node.op_type for node in onnx.load(any_size).graph.node}
    assert "GridSample" in names
    assert names <= set(COMMON.split()) | {"GridSample"}


def test_the_command(model, tmp_path, capsys):
    path = tmp_path / "made.onnx"
    assert cli.main(["export", str(model), "-o", str(path), "--size", "64x64", "--scale", "1"]) == 0
    assert capsys.readouterr().out == f"{path}: seeing unknown, 64x64, single precision\n"
    said = {x.key: x.value for x in onnx.load(path).metadata_props}
    assert said["vs_slomo scale"] == "1.0"
    assert cli.main(["export", str(model), "-o", str(path)]) == 1
    assert "allowed: a file that is not there yet, or --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "x.pt"], "--output: got 'x.pt', allowed: a file that ends in .onnx"),
        (["--size", "64"], "--size: got '64', allowed: such as 1280x720"),
        (["--size", "8x64"], "--size: got '8x64', allowed: two sides from 32 to 16384 pixels"),
        (["--scale", "2"], "--scale: got 2.0, allowed: 1.0, 0.5, 0.25, 0.125"),
    ],
)
def test_what_is_refused(options, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "bundled", *options]) != 0
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_the_package(model, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    with pytest.raises(SlomoError, match=r"the package onnx is missing: pip install 'vs-slomo\[onnx\]'"):
        export(model, tmp_path / "x.onnx")


def test_errors_name_the_argument(model, tmp_path):
    with pytest.raises(ArgumentError, match=r"scale: got 0\.3, allowed: None or one of"):
        export(model, tmp_path / "x.onnx", scale=0.3)
