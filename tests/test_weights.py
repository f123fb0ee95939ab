"""Model files: both layouts, what is refused and how it is said, and the download."""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import hashlib
import http.server
import json
import os
import pickle
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import shared_path
from safetensors.torch import load_file, save_file

from vs_slomo import cli, weights
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model.superslomo import MEAN, SuperSloMo
from vs_slomo.weights import ModelInfo, files

WIDTH = 2
INFO = ModelInfo(
    name="tiny",
    version="1.2",
    licence="MIT",
    width=WIDTH,
    scale=0.25,
    mean=(0.1, 0.2, 0.3),
    last_activation=False,
    levels=3,
    fusion="agreement",
    flow="dis",
    training='{"steps": 3}',
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VS_SLOMO_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def tiny(width=WIDTH, *, last_activation=False, mean=INFO.mean, levels=INFO.levels, fusion=INFO.fusion):
    torch.manual_seed(1)
    return SuperSloMo(width, last_activation=last_activation, mean=mean, levels=levels, fusion=fusion)


def nets(model, prefix=""):
    """The two state dicts, by the public checkpoint's names."""
    return {
        "state_dictFC": {prefix + k: v for k, v in model.flow_net.state_dict().items()},
        "state_dictAT": {prefix + k: v for k, v in model.interp_net.state_dict().items()},
    }


def saved(path, info=INFO):
    weights.save(tiny(info.width, last_activation=info.last_activation), info, path)
    return path


def frame(model):
    torch.manual_seed(2)
    a, b = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        return model(a, b, 0.25)


# --- our own format ---------------------------------------------------------------------------------------


def test_round_trip(tmp_path):
    model = tiny()
    path = tmp_path / "m.safetensors"
    weights.save(model, INFO, path)
    loaded, info = weights.load(path)
    assert info == replace(INFO, path=path) == weights.read_info(path)
    expected = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name])
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert torch.allclose(loaded.mean.flatten(), torch.tensor(INFO.mean))
    assert not loaded.flow_net.last_activation
    model.load_state_dict(expected)
    assert torch.equal(frame(loaded), frame(model))
    assert {t.dtype for t in load_file(path).values()} == {torch.float16}
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["m.safetensors"]


def test_load_in_half(tmp_path):
    model, _ = weights.load(saved(tmp_path / "m.safetensors"), torch.float16)
    assert {p.dtype for p in (*model.parameters(), model.mean)} == {torch.float16}


def test_loading_leaves_the_random_generator_alone(tmp_path):
    path = saved(tmp_path / "m.safetensors")
    state = torch.get_rng_state()
    weights.load(path)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_loaded_model_does_not_need_its_file(tmp_path, dtype):
    path = saved(tmp_path / "m.safetensors")
    model, _ = weights.load(path, dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with path.open("r+b") as file:  # a mapped file would change the model now
        file.write(b"\0" * path.stat().st_size)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_an_older_file_does_not_speak_of_is_as_in_the_paper(tmp_path):
    path = saved(tmp_path / "m.safetensors")
    spoil(path, lambda _, metadata: (metadata.pop("levels"), metadata.pop("fusion")))
    assert weights.read_info(path) == replace(INFO, levels=1, fusion="paper", path=path)
    model, _ = weights.load(path)
    assert (model.levels, model.fusion) == (1, "paper")


def test_header_needs_no_weights(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.safetensors")
    monkeypatch.setattr(SuperSloMo, "load_state_dict", None)
    monkeypatch.setattr(torch, "isfinite", None)
    assert weights.read_info(path).parameters == sum(p.numel() for p in tiny().parameters())


def test_paper_width_has_the_known_number_of_parameters():
    """Weights and biases, layer by layer from the paper's figure 4: kernel, in, out."""

    def unet(channels_in, channels_out):
        down = [(7, channels_in, 32), (7, 32, 32), (5, 32, 64), (5, 64, 64), (3, 64, 128), (3, 128, 128)]
        down += [(3, 128, 256), (3, 256, 256), (3, 256, 512), (3, 512, 512), (3, 512, 512), (3, 512, 512)]
        up = [(3, 512, 512), (3, 1024, 512), (3, 512, 256), (3, 512, 256), (3, 256, 128), (3, 256, 128)]
        up += [(3, 128, 64), (3, 128, 64), (3, 64, 32), (3, 64, 32), (3, 32, channels_out)]
        return sum(kernel**2 * i * o + o for kernel, i, o in down + up)

    assert ModelInfo(name="x", width=32).parameters == unet(6, 4) + unet(20, 5)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(self, content):
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WeightsError, match=r"m\.safetensors: cannot be written: No space left on device"):
        weights.save(tiny(), INFO, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["m.safetensors"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scale": 0.3}, r"scale: got 0\.3, allowed: 1, 1/2, 1/4 or 1/8"),
        ({"flow": "raft"}, r"flow: got 'raft', allowed: 'unet' or 'dis'"),
        ({"width": 0}, r"width: got 0, allowed: a whole number from 1 to 128"),
        ({"name": " "}, r"name: got ' ', allowed: a line of text"),
        ({"licence": "MIT\x1b[2J"}, r"licence: got 'MIT\\x1b\[2J', allowed: a line of text"),
        ({"mean": (0.4, 0.4)}, r"mean: got \(0\.4, 0\.4\), allowed: three numbers"),
        ({"last_activation": "no"}, r"last_activation: got 'no', allowed: True or False"),
        ({"levels": 5}, r"levels: got 5, allowed: a whole number from 1 to 4"),
        ({"fusion": "mean"}, r"fusion: got 'mean', allowed: 'paper' or 'agreement'"),
        ({"training": "an hour"}, r"training: got 'an hour', allowed: a JSON object"),
    ],
)
def test_info_refuses_what_no_model_can_be(change, text):
    with pytest.raises(ArgumentError, match=text):
        replace(INFO, **change)


def test_save_refuses_an_info_of_another_model(tmp_path):
    with pytest.raises(ArgumentError, match=r"info\.width: got 4, allowed: the model's own, 2"):
        weights.save(tiny(), replace(INFO, width=4), tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"info\.last_activation: got True, allowed: .* False"):
        weights.save(tiny(), replace(INFO, last_activation=True), tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"info\.levels: got 1, allowed: the model's own, 3"):
        weights.save(tiny(), replace(INFO, levels=1), tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"info\.fusion: got 'paper', allowed: the model's own, 'agreement'"):
        weights.save(tiny(), replace(INFO, fusion="paper"), tmp_path / "m")
    with pytest.raises(ArgumentError, match=r"info\.mean: got .*0\.429.*, allowed: the model's own"):
        weights.save(tiny(), replace(INFO, mean=MEAN), tmp_path / "m")


def test_save_refuses_what_half_precision_cannot_hold(tmp_path):
    model = tiny()
    with torch.no_grad():
        model.flow_net.conv3.bias[0] = 70000
    with pytest.raises(WeightsError, match=r"flow_net\.conv3\.bias holds NaN or infinity"):
        weights.save(model, INFO, tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


# --- the public layout ------------------------------------------------------------------------------------


def public(path, *, zipped=True, prefix="", **extra):
    torch.save(nets(tiny(), prefix) | extra, path, _use_new_zipfile_serialization=zipped)
    return path


def trainers_leftovers():
    """What trainers save beside the state dicts."""
    state = {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, 2), "exp_avg_sq": torch.ones(2, 2)}
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0, "foreach": None, "params": [0]}
    return {
        "Detail": "End to end Super SloMo.",
        "epoch": 39,
        "timestamp": dt.datetime(2018, 9, 1, 12, 30, tzinfo=dt.UTC),
        "trainBatchSz": 6,
        "learningRate": 1e-5,
        "loss": [[0.1, 0.2], [0.05]],
        "valLoss": [np.float64(0.3), np.float32(0.2)],
        "valPSNR": [np.array([1.0])[0], np.zeros((2, 3))],
        "optimizer": {"state": {0: state}, "param_groups": [group]},
        "args": argparse.Namespace(epochs=200, root=Path("data"), until=dt.timedelta(1)),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_public_checkpoint(tmp_path, zipped, prefix):
    path = public(tmp_path / "SuperSloMo.ckpt", zipped=zipped, prefix=prefix, **trainers_leftovers())
    info = weights.read_info(path)
    assert info == ModelInfo(name="SuperSloMo", width=WIDTH, dtype="float32", path=path)
    assert (info.scale, info.last_activation, info.flow) == (1.0, True, "unet")
    model, info = weights.load(path)
    expected = tiny(last_activation=True, mean=MEAN, levels=1, fusion="paper")
    assert torch.equal(frame(model), frame(expected))


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoint_says_what_it_is(tmp_path, zipped):
    facts = {"scale": 0.5, "last_activation": False, "width": WIDTH, "mean": [0.1, 0.2, 0.3]}
    path = public(tmp_path / "m.pt", zipped=zipped, **facts)
    info = weights.read_info(path)
    assert (info.scale, info.last_activation, info.width, info.mean) == (0.5, False, WIDTH, (0.1, 0.2, 0.3))
    assert torch.equal(frame(weights.load(path)[0]), frame(tiny(levels=1, fusion="paper")))


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"scale": 3}, r"the metadata are wrong, scale: got 3\.0, allowed: 1, 1/2"),
        ({"scale": "half"}, r"beside the state dicts are wrong .*half"),
        ({"mean": 5}, r"beside the state dicts are wrong"),
        ({"mean": ["a", "b", "c"]}, r"beside the state dicts are wrong"),
        ({"last_activation": "no"}, r"last_activation: got 'no', allowed: True or False"),
        ({"width": 32}, r"say width 32, the tensors 2: the file is damaged"),
    ],
)
def test_checkpoint_says_nonsense(tmp_path, facts, text):
    with pytest.raises(WeightsError, match=text):
        weights.read_info(public(tmp_path / "m.pt", **facts))


def test_a_checkpoint_may_end_like_ours(tmp_path):
    """torch.load would read the path, not the file."""
    assert weights.load(public(tmp_path / "m.safetensors"))[1].width == WIDTH


def test_convert(tmp_path):
    path = public(tmp_path / "m.pt")
    target = tmp_path / "out.safetensors"
    info = weights.convert(path, target, name="other", scale=0.5, last_activation=False, licence="MIT")
    assert info == ModelInfo(name="other", licence="MIT", width=WIDTH, scale=0.5, last_activation=False, path=target)
    assert not weights.load(target)[0].interp_net.last_activation
    again = weights.convert(target, target, version="2")  # in place
    assert again == replace(info, version="2")
    with pytest.raises(ArgumentError, match=r"overrides: got \['width'\]"):
        weights.convert(path, target, width=8)
    with pytest.raises(WeightsError, match=r"nowhere.*cannot be written: No such file or directory"):
        weights.convert(path, tmp_path / "nowhere" / "m.safetensors")


def test_bundled_is_the_bootstrap_model():
    source = shared_path("weights", "bootstrap.pt")
    ours, theirs = weights.load("bundled"), weights.load(source)
    if ours[1].name != "bootstrap":
        pytest.skip("a better model is bundled")
    assert ours[0].state_dict().keys() == theirs[0].state_dict().keys()
    assert all(torch.equal(t, theirs[0].state_dict()[k]) for k, t in ours[0].state_dict().items())


def test_bundled():
    info = weights.read_info("bundled")
    assert info.path == weights.BUNDLED
    assert info.key == "bundled"
    assert info.licence == "MIT"
    assert json.loads(info.training)


# --- what is refused --------------------------------------------------------------------------------------


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def spoil(path, change):
    """Rewrite one of our files with `change(tensors, metadata)` applied."""
    from safetensors import safe_open

    with safe_open(saved(path), framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    change(tensors, metadata)
    save_file(tensors, path, metadata)
    return path


def spoil_public(path, change):
    content = nets(tiny())
    change(content)
    torch.save(content, path)
    return path


def text_file(content):
    return lambda path: path.write_text(content)


def page(path):
    path.write_text("\ufeff\n<!DOCTYPE html>\n<html><title>Google Drive - Virus scan warning</title></html>")


def zip_archive(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no model")


def torchscript(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", "")
        archive.writestr("m/constants.pkl", "")


NAN = float("nan")
REFUSED = {
    "web page": (page, "is a web page, not a model: .* download the file itself"),
    "bare web page": (text_file("  <html><body>404</body>"), "is a web page"),
    "empty": (text_file(""), "is empty: download it again"),
    "text": (text_file("not a model at all"), r"is neither a safetensors file nor a torch checkpoint"),
    "LFS pointer": (
        text_file("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
        "is a Git LFS pointer",
    ),
    "zip": (zip_archive, "is a zip archive, but not a torch checkpoint"),
    "TorchScript": (torchscript, "is a TorchScript program, which would run"),
    "safetensors, cut": (lambda p: cut(saved(p), 0.7), "is truncated or damaged .*: download it again"),
    "safetensors, header cut": (lambda p: cut(saved(p), 0.01), "is truncated or damaged"),
    "zip, cut": (lambda p: cut(public(p), 0.7), "is truncated or damaged .*end is missing.*: download it"),
    "zip, head only": (lambda p: cut(public(p), 0.001), "is truncated or damaged"),
    "legacy, cut": (lambda p: cut(public(p, zipped=False), 0.7), "is truncated or damaged"),
    "legacy, pickle cut": (lambda p: cut(public(p, zipped=False), 0.01), "is truncated or damaged"),
    "a pickled number": (lambda p: p.write_bytes(pickle.dumps(5, protocol=2)), "is truncated or damaged, or not"),
    "a pickle of today": (lambda p: p.write_bytes(pickle.dumps({"a": 1}, protocol=5)), "or not a torch"),
    "a tensor": (lambda p: torch.save(torch.ones(3), p), "holds a Tensor, not the state_dictFC and"),
    "another's checkpoint": (
        lambda p: torch.save({"state_dict": {"a": torch.ones(2)}, "epoch": 1}, p),
        "holds state_dict, epoch, not the state_dictFC and state_dictAT of Super SloMo: another",
    ),
    "another's state dict": (
        lambda p: torch.save({f"block{i}.weight": torch.ones(2) for i in range(9)}, p),
        r"holds block0\.weight, .* and 5 more, not the state_dictFC",
    ),
    "another's safetensors": (
        lambda p: save_file({"block0.weight": torch.ones(2)}, p),
        r"holds block0\.weight: another architecture, not Super SloMo",
    ),
    "names that clear the screen": (
        lambda p: save_file({"\x1b[2J\n": torch.ones(2)}, p),
        r"holds '\\x1b\[2J\\n': another architecture",
    ),
    "eight bit floats": (
        lambda p: spoil(p, lambda t, m: t.update({"flow_net.conv3.bias": torch.ones(4).to(torch.float8_e5m2)})),
        r"flow_net\.conv3\.bias is of type .*, not a float",
    ),
    "no metadata": (lambda p: save_file(load_file(saved(p)), p), "not the metadata of a vs_slomo model"),
    "metadata key missing": (lambda p: spoil(p, lambda t, m: m.pop("scale")), "the metadata lack 'scale'"),
    "scale": (
        lambda p: spoil(p, lambda t, m: m.update(scale="1/3")),
        r"the metadata are wrong, scale: got 0\.33.*allowed: 1, 1/2, 1/4 or 1/8",
    ),
    "scale, a word": (lambda p: spoil(p, lambda t, m: m.update(scale="big")), r"metadata are wrong .*'big'"),
    "scale, 1/0": (lambda p: spoil(p, lambda t, m: m.update(scale="1/0")), r"metadata are wrong"),
    "mean": (lambda p: spoil(p, lambda t, m: m.update(mean="[1")), r"metadata are wrong"),
    "mean, a number": (lambda p: spoil(p, lambda t, m: m.update(mean="1")), r"metadata are wrong"),
    "last_activation": (
        lambda p: spoil(p, lambda t, m: m.update(last_activation="maybe")),
        "metadata are wrong",
    ),
    "levels": (lambda p: spoil(p, lambda t, m: m.update(levels="0")), "levels: got 0, allowed: a whole number"),
    "levels, a word": (lambda p: spoil(p, lambda t, m: m.update(levels="two")), "metadata are wrong"),
    "fusion": (lambda p: spoil(p, lambda t, m: m.update(fusion="mean")), "fusion: got 'mean', allowed: 'paper'"),
    "training": (lambda p: spoil(p, lambda t, m: m.update(training="long")), "training: got 'long'"),
    "width": (lambda p: spoil(p, lambda t, m: m.update(width="8")), "say width 8, the tensors 2"),
    "missing key": (
        lambda p: spoil(p, lambda t, m: t.pop("flow_net.up3.conv1.weight")),
        r"lacks flow_net\.up3\.conv1\.weight: not a whole Super SloMo",
    ),
    "one net only": (
        lambda p: spoil(p, lambda t, m: [t.pop(k) for k in list(t) if k.startswith("interp")]),
        r"lacks interp_net\.conv1\.bias, .* and 42 more",
    ),
    "extra key": (
        lambda p: spoil(p, lambda t, m: t.update({"flow_net.up6.conv1.weight": torch.ones(1)})),
        r"holds flow_net\.up6\.conv1\.weight beside Super SloMo: another architecture",
    ),
    "wrong shape": (
        lambda p: spoil(p, lambda t, m: t.update({"flow_net.conv3.bias": torch.ones(5).half()})),
        r"flow_net\.conv3\.bias has shape \(5,\), Super SloMo of width 2 has \(4,\): another",
    ),
    "first shape": (
        lambda p: spoil(p, lambda t, m: t.update({"flow_net.conv1.weight": torch.ones(()).half()})),
        r"flow_net\.conv1\.weight has shape \(\): another architecture",
    ),
    "integers": (
        lambda p: spoil(p, lambda t, m: t.update({"flow_net.conv3.bias": torch.ones(4).int()})),
        r"flow_net\.conv3\.bias is of type .*, not a float",
    ),
    "public: missing key": (
        lambda p: spoil_public(p, lambda c: c["state_dictAT"].pop("conv3.bias")),
        r"lacks interp_net\.conv3\.bias: not a whole",
    ),
    "public: one net": (
        lambda p: spoil_public(p, lambda c: c.pop("state_dictAT")),
        "holds state_dictFC, not the state_dictFC and state_dictAT",
    ),
    "public: wrong shape": (
        lambda p: spoil_public(p, lambda c: c["state_dictFC"].update({"conv3.bias": torch.ones(5)})),
        r"flow_net\.conv3\.bias has shape \(5,\), .* has \(4,\)",
    ),
    "public: nets swapped": (
        lambda p: spoil_public(p, lambda c: c.update(state_dictFC=c["state_dictAT"], state_dictAT=c["state_dictFC"])),
        r"flow_net\.conv1\.weight has shape \(2, 20, 7, 7\), .* has \(2, 6, 7, 7\)",
    ),
    "public: text for a tensor": (
        lambda p: spoil_public(p, lambda c: c["state_dictFC"].update({"conv3.bias": "zero"})),
        r"flow_net\.conv3\.bias is not a dense tensor",
    ),
    "public: a sparse tensor": (
        lambda p: spoil_public(p, lambda c: c["state_dictFC"].update({"conv3.bias": torch.ones(4).to_sparse()})),
        r"flow_net\.conv3\.bias is not a dense tensor|is truncated or damaged, or not",
    ),
    "public: integers": (
        lambda p: spoil_public(p, lambda c: c["state_dictFC"].update({"conv3.bias": torch.ones(4).int()})),
        r"flow_net\.conv3\.bias is of type torch\.int32, not a float",
    ),
}


@pytest.mark.parametrize(("make", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, make, text):
    path = tmp_path / "a model.bin"
    make(path)
    for read in (weights.read_info, weights.load):
        with pytest.raises(WeightsError, match=text) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_not_finite(tmp_path, value):
    ours = spoil(tmp_path / "m", lambda t, m: t["interp_net.conv2.bias"].fill_(value))
    theirs = spoil_public(tmp_path / "p", lambda c: c["state_dictAT"]["conv2.bias"].fill_(value))
    for path in (ours, theirs):
        with pytest.raises(WeightsError, match=r"interp_net\.conv2\.bias holds NaN or infinity"):
            weights.load(path)


def test_a_tensor_without_numbers(tmp_path):
    path = spoil_public(
        tmp_path / "m.pt", lambda c: c["state_dictFC"].update({"conv3.bias": torch.ones(4, device="meta")})
    )
    with pytest.raises(WeightsError, match=r"flow_net\.conv3\.bias is not a dense tensor"):
        weights.load(path)


def test_a_lying_zip_record(tmp_path):
    """A record that is shorter than the pickle says is found when the weights are read."""
    path = tmp_path / "m.pt"
    public(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")  # the directory: double a record's stated size
    for _ in range(3):
        at = content.index(b"PK\x01\x02", at + 1)
    content[at + 20 : at + 28] = b"\xff\0\0\0\xff\0\0\0"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="is truncated or damaged"):
        weights.load(path)


# --- pickles that would run code ---------------------------------------------------------------------------


class Runs:
    """Unpickled without care, it calls what it is given."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(marker):
    touch = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Runs(os.system, f"touch '{marker}'"),
        "exec": Runs(exec, touch),
        "eval": Runs(eval, touch),
        "open": Runs(open, str(marker), "w"),
        "partial": Runs(functools.partial, open, str(marker), "w"),
        "Path.touch": Runs(Path.touch, Path(marker)),
    }


@pytest.mark.parametrize("layout", ["zip", "legacy", "pickle 2", "pickle 4", "pickle 0"])
@pytest.mark.parametrize("attack", attacks(""))
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the file that the attack opens
def test_nothing_runs(tmp_path, layout, attack):
    marker = tmp_path / "marker"
    path = tmp_path / "SuperSloMo.ckpt"
    content = nets(tiny()) | {"loss": [attacks(marker)[attack]]}
    if layout.startswith("pickle"):
        path.write_bytes(pickle.dumps({"loss": content["loss"]}, protocol=int(layout[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")

    # The attack is real: unpickled carelessly, it runs (a partial needs to be called as well).
    if attack != "partial":
        if layout.startswith("pickle"):
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)
        assert marker.exists()
        marker.unlink()

    text = "is neither" if layout == "pickle 0" else "could run code: not loaded|not a torch checkpoint"
    for read in (weights.read_info, weights.load):
        with pytest.raises(WeightsError, match=text):
            read(path)
        assert not marker.exists()


def test_the_error_names_what_would_run(tmp_path):
    for zipped in (True, False):
        torch.save(
            nets(tiny()) | {"x": Runs(os.system, "true")},
            tmp_path / "m.pt",
            _use_new_zipfile_serialization=zipped,
        )
        with pytest.raises(WeightsError, match=r"m\.pt: asks to load (posix|nt)\.system, which could run code"):
            weights.read_info(tmp_path / "m.pt")


def test_an_environment_variable_does_not_make_it_careless(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "marker"
    torch.save({"x": attacks(marker)["exec"]}, tmp_path / "m.pt")
    with pytest.raises(WeightsError, match="could run code"):
        weights.load(tmp_path / "m.pt")
    assert not marker.exists()


def test_harmless_types_are_not_even_made(tmp_path):
    path = public(tmp_path / "m.pt", when=dt.datetime(2018, 9, 1, tzinfo=dt.UTC), size=np.float64(1))
    before = set(torch.serialization.get_safe_globals())
    with files._harmless():
        content = torch.load(path, weights_only=True)
    assert isinstance(content["when"], files._Ignored)
    assert isinstance(content["size"], files._Ignored)
    assert set(torch.serialization.get_safe_globals()) == before


# --- where models are -------------------------------------------------------------------------------------


def test_find(tmp_path, home, monkeypatch):
    path = saved(tmp_path / "mine.safetensors")
    assert weights.find("bundled") == weights.BUNDLED
    assert weights.find(path) == weights.find(str(path)) == path
    home.mkdir(parents=True)
    installed = saved(home / "tiny.safetensors")
    assert weights.find("tiny") == installed
    monkeypatch.chdir(tmp_path)
    assert weights.find("mine.safetensors") == Path("mine.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert weights.find("~/mine.safetensors") == path


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        ("gone", WeightsError, r"model: 'gone' is neither a file nor the name of a model; there are: bundled"),
        ("", WeightsError, r"model: '' is neither"),
        (".", WeightsError, r"model: '\.' is a directory: name the file in it"),
        (None, ArgumentError, r"model: got None, allowed: the name of a model or the path of a file"),
        (5, ArgumentError, r"model: got 5, allowed"),
    ],
)
def test_find_nothing(model, error, text):
    with pytest.raises(error, match=text):
        weights.find(model)


def test_unreadable(tmp_path, monkeypatch):
    path = saved(tmp_path / "m")

    def refuse(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WeightsError, match=r"m: cannot be read: Permission denied"):
        weights.read_info(path)


def test_available(home, caplog):
    assert [info.key for info in weights.available()] == ["bundled"]
    home.mkdir(parents=True)
    saved(home / "tiny-2.safetensors")
    (home / "broken.safetensors").write_text("<html>")
    (home / ".half.part").write_text("x")
    assert [info.key for info in weights.available()] == ["bundled", "tiny-2"]
    assert "broken.safetensors: is a web page" in caplog.text


# --- fetch ------------------------------------------------------------------------------------------------


class Site(http.server.ThreadingHTTPServer):
    """Serves `content`; `plan` says how: cut it off, refuse ranges, answer with a status, change the version."""

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Page)
        self.content = content
        self.plan = {}
        self.asked = []

    def url(self, name="model.ckpt"):
        return f"http://127.0.0.1:{self.server_port}/files/{name}?download=1"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, plan = self.server, self.server.plan
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if status := plan.get("status"):
            self.send_error(status)
            return
        etag = plan.get("etag", '"v1"')
        start = 0
        if asked and not plan.get("no_ranges") and self.headers["If-Range"] == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
            self.send_response(206)
            shown = plan.get("lie", start)
            self.send_header("Content-Range", f"bytes {shown}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        body = server.content[start:]
        if not plan.get("no_length"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: plan.get("cut")])

    def log_message(self, *_arguments):
        pass


@contextmanager
def serving(content):
    with Site(content) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@pytest.fixture
def site(tmp_path):
    with serving(public(tmp_path / "served.ckpt", **trainers_leftovers()).read_bytes()) as site:
        yield site


def leftovers(home):
    return sorted(p.name for p in home.iterdir())


def test_fetch(site, home):
    seen = []
    digest = hashlib.sha256(site.content).hexdigest()
    info = weights.fetch(site.url(), sha256=digest.upper(), progress=lambda *step: seen.append(step))
    assert info == ModelInfo(name="model", width=WIDTH, path=home / "model.safetensors")
    assert info.key == "model"
    assert weights.load("model")[1] == info
    assert leftovers(home) == ["model.safetensors"]
    assert seen[-1] == (len(site.content), len(site.content))


def test_fetch_our_own_format_under_a_name(tmp_path, home):
    content = saved(tmp_path / "m").read_bytes()
    with serving(content) as site:
        info = weights.fetch(site.url("%C3%BC%20x.safetensors"), name="mine")
    assert info == replace(INFO, path=home / "mine.safetensors")
    assert info.path.read_bytes() == content


def test_fetch_goes_on_where_it_stopped(site, home):
    site.plan = {"cut": 1000}
    size = len(site.content)
    with pytest.raises(WeightsError, match=rf"the connection ended after 1000 of {size} bytes\): run the same"):
        weights.fetch(site.url())
    with pytest.raises(WeightsError, match=rf"the connection ended after 2000 of {size} bytes"):
        weights.fetch(site.url())
    assert leftovers(home) == [".model.part", ".model.part.json"]
    assert weights.installed().keys() == {"bundled"}
    site.plan = {}
    digest = hashlib.sha256(site.content).hexdigest()
    assert weights.fetch(site.url(), sha256=digest).width == WIDTH
    assert site.asked == [None, "bytes=1000-", "bytes=2000-"]
    assert leftovers(home) == ["model.safetensors"]


@pytest.mark.parametrize("second", [{"no_ranges": True}, {"etag": '"v2"'}])
def test_fetch_starts_anew_where_it_cannot_go_on(site, second):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = second
    site.content = bytes(site.content)
    assert weights.fetch(site.url(), sha256=hashlib.sha256(site.content).hexdigest()).width == WIDTH
    assert site.asked[1] == "bytes=1000-"


def test_fetch_without_a_version_starts_anew(site):
    site.plan = {"cut": 1000, "etag": 'W/"weak"'}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = {}
    weights.fetch(site.url())
    assert site.asked == [None, None]


def test_fetch_of_another_address_starts_anew(site):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url("a.ckpt"), name="m")
    site.plan = {}
    weights.fetch(site.url("b.ckpt"), name="m")
    assert site.asked == [None, None]


def test_fetch_of_what_was_whole_but_not_checked(site, home):
    home.mkdir(parents=True)
    (home / ".model.part").write_bytes(site.content)
    (home / ".model.part.json").write_text(json.dumps([site.url(), '"v1"']))
    assert weights.fetch(site.url()).width == WIDTH
    assert site.asked == [f"bytes={len(site.content)}-", None]


def test_fetch_with_a_spoilt_note_starts_anew(site, home):
    home.mkdir(parents=True)
    for note in ("", "[1]", "{}", "[1, 2]"):
        (home / ".model.part").write_bytes(b"some")
        (home / ".model.part.json").write_text(note)
        assert weights.fetch(site.url()).width == WIDTH
    assert site.asked == [None] * 4


def test_fetch_with_a_wrong_range(site):
    site.plan = {"cut": 1000}
    with pytest.raises(WeightsError, match="the connection ended"):
        weights.fetch(site.url())
    site.plan = {"lie": 7}
    with pytest.raises(WeightsError, match="asked for bytes from 1000, got bytes 7-"):
        weights.fetch(site.url())


def test_fetch_without_a_length(site):
    site.plan = {"no_length": True}
    seen = []
    weights.fetch(site.url(), progress=lambda *step: seen.append(step))
    assert seen[-1] == (len(site.content), None)


def test_fetch_refuses_the_wrong_hash(site, home):
    with pytest.raises(WeightsError, match=r"model\.ckpt\?download=1: has SHA-256 [0-9a-f]{64}, not 0{64}"):
        weights.fetch(site.url(), sha256="0" * 64)
    assert leftovers(home) == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_fetch_with_an_error_of_the_server(site, home, status):
    site.plan = {"status": status}
    with pytest.raises(WeightsError, match=rf"model\.ckpt.*: the server answered {status} "):
        weights.fetch(site.url())
    assert leftovers(home) == []


def test_fetch_refuses_what_does_not_load(tmp_path, site, home):
    home.mkdir(parents=True)
    saved(home / "model.safetensors")
    old = (home / "model.safetensors").read_bytes()
    page(tmp_path / "page")
    spoiled = spoil(tmp_path / "nan", lambda t, m: t["flow_net.conv3.bias"].fill_(NAN))
    for file, text in ((tmp_path / "page", "is a web page, not a model"), (spoiled, "holds NaN or infinity")):
        site.content = file.read_bytes()
        with pytest.raises(WeightsError, match=rf"^http://127.*{text}") as caught:
            weights.fetch(site.url())
        assert str(home) not in str(caught.value)
    assert leftovers(home) == ["model.safetensors"]
    assert (home / "model.safetensors").read_bytes() == old


def test_fetch_with_nobody_there():
    with serving(b"") as site:
        url = site.url()
    with pytest.raises(WeightsError, match="the download failed"):
        weights.fetch(url)


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("file:///etc/passwd", {}, r"url: got 'file:///etc/passwd', allowed: an http or https address"),
        ("model.pt", {}, r"url: got 'model\.pt'"),
        ("ftp://example.org/model.pt", {}, r"allowed: an http or https address"),
        ("http://127.0.0.1:1/m.pt", {"sha256": "abc"}, r"sha256: got 'abc', allowed: 64 hexadecimal digits"),
        ("http://127.0.0.1:1/", {}, r"name: got '', allowed: letters"),
        ("http://127.0.0.1:1/m.pt", {"name": "../m"}, r"name: got '\.\./m', allowed: letters"),
        ("http://127.0.0.1:1/m.pt", {"name": "bundled"}, r"name: got 'bundled'.* not 'bundled'"),
    ],
)
def test_fetch_refuses_arguments(url, options, text):
    with pytest.raises(ArgumentError, match=text):
        weights.fetch(url, **options)


# --- the command ------------------------------------------------------------------------------------------


def test_command(tmp_path, site, home, capsys):
    assert cli.main(["weights", "fetch", site.url(), "--name", "mine"]) == 0
    out, err = capsys.readouterr()
    assert out == f'{home / "mine.safetensors"}: slomo(clip, model="mine")\n'
    assert "MB" in err

    target = str(tmp_path / "out.safetensors")
    options = ["--scale", "1/2", "--no-last-activation", "--name", "x", "--version", "3", "--licence", "BSD"]
    options += ["--levels", "2", "--fusion", "agreement", "--flow", "dis"]
    assert cli.main(["weights", "convert", "mine", target, *options]) == 0
    assert capsys.readouterr().out == f"{target}: x 3, width 2, scale 0.5\n"
    info = weights.read_info(target)
    assert (info.scale, info.last_activation, info.levels, info.licence) == (0.5, False, 2, "BSD")
    assert (info.fusion, info.flow) == ("agreement", "dis")

    assert cli.main(["weights", "list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("bundled ")
    assert second == "mine             mine unknown, width 2, scale 1, unknown"

    assert cli.main(["weights", "show", target]) == 0
    out = capsys.readouterr().out
    assert "last activation  False\n" in out
    assert f"parameters       {info.parameters:,}\n" in out

    assert cli.main(["weights", "show", "gone"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vs-slomo: model: 'gone' is neither a file")
    assert len(err.splitlines()) == 1
