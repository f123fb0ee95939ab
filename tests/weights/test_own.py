"""Our own format: what is written comes back, and what cannot be written is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import shared_path
from safetensors.torch import load_file

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model.superslomo import MEAN, SuperSloMo
from vs_slomo.weights import ModelInfo

from .modelfiles import INFO, frame, saved, spoil, tiny


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
        ({"width": 0}, r"width: got 0, allowed: a whole number from 1 to 64"),
        ({"name": " "}, r"name: got ' ', allowed: a line of text"),
        ({"licence": "MIT\x1b[2J"}, r"licence: got 'MIT\\x1b\[2J', allowed: a line of text"),
        ({"mean": (0.4, 0.4)}, r"mean: got \(0\.4, 0\.4\), allowed: three numbers"),
        ({"last_activation": "no"}, r"last_activation: got 'no', allowed: True or False"),
        ({"levels": 6}, r"levels: got 6, allowed: a whole number from 1 to 5"),
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
