"""The public layouts: what they hold, and what they say of themselves."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from vs_slomo import weights
from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model.superslomo import MEAN
from vs_slomo.weights import ModelInfo

from .modelfiles import WIDTH, frame, nets, public, tiny, trainers_leftovers


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
    with pytest.raises(ArgumentError, match=r"target: got '.*nowhere.*', allowed: a file in a folder that exists"):
        weights.convert(path, tmp_path / "nowhere" / "m.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_convert_writes_to_regular_files_only(tmp_path, kind):
    """With a pipe, never with a device: what is not refused here would be replaced."""
    path, target = public(tmp_path / "m.pt"), tmp_path / "target"
    other = tmp_path / "other"
    other.write_bytes(b"somebody's")
    match kind:
        case "pipe":
            os.mkfifo(target)
        case "link":
            target.symlink_to(other)
        case "folder":
            target.mkdir()
    before = target.lstat()
    with pytest.raises(ArgumentError, match=r"target: .* allowed: a regular file; what is there is something else"):
        weights.convert(path, target)
    assert (target.lstat().st_mode, target.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert other.read_bytes() == b"somebody's"
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == ["m.pt", "other", "target"]


@pytest.mark.parametrize("zipped", [True, False])
def test_numbers_may_be_tensors(tmp_path, zipped):
    """As trainers save them that do not call `item`. The header and the weights are read alike."""
    facts = {
        "scale": torch.tensor(0.5),
        "last_activation": torch.tensor(data=False),
        "mean": torch.tensor([0.1, 0.2, 0.3]),
    }
    path = public(tmp_path / "m.pt", zipped=zipped, **facts, width=torch.tensor(WIDTH))
    info = weights.read_info(path)
    assert weights.load(path)[1] == info
    assert (info.scale, info.last_activation, info.width) == (0.5, False, WIDTH)
    assert info.mean == pytest.approx((0.1, 0.2, 0.3))


@pytest.mark.parametrize("zipped", [True, False])
def test_parameters_and_shared_storages(tmp_path, zipped):
    """A module's own parameters, and views of one long tensor, are tensors too."""
    content = nets(tiny())
    expected = {name: value.clone() for name, value in content["state_dictFC"].items()}
    whole = torch.cat([value.flatten() for value in expected.values()])
    at = 0
    for name, value in expected.items():
        view = whole[at : at + value.numel()].view(value.shape)
        at += value.numel()
        content["state_dictFC"][name] = torch.nn.Parameter(view) if "bias" in name else view
    torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    model, _ = weights.load(tmp_path / "m.pt")
    assert all(torch.equal(value, expected[name]) for name, value in model.flow_net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_types(tmp_path, dtype):
    model = tiny().to(dtype)
    torch.save(nets(model), tmp_path / "m.pt")
    loaded, info = weights.load(tmp_path / "m.pt")
    assert info.dtype == str(dtype).removeprefix("torch.")
    assert torch.equal(loaded.flow_net.conv1.weight, model.flow_net.conv1.weight.float())


def test_what_overflows_in_the_cast(tmp_path):
    content = nets(tiny())
    content["state_dictFC"]["conv3.bias"] = torch.full((4,), 1e5)
    torch.save(content, tmp_path / "m.pt")
    weights.load(tmp_path / "m.pt")
    text = r"flow_net\.conv3\.bias holds numbers that are too large for torch\.float16"
    for act in (
        lambda: weights.load(tmp_path / "m.pt", torch.float16),
        lambda: weights.convert(tmp_path / "m.pt", "x"),
    ):
        with pytest.raises(WeightsError, match=text):
            act()
