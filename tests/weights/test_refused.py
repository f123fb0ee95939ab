"""What is refused, and how it is said."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from vs_slomo import weights
from vs_slomo.errors import WeightsError
from vs_slomo.weights import files

from .modelfiles import NAN, cut, page, public, saved, spoil, spoil_public


def text_file(content):
    return lambda path: path.write_text(content)


def zip_archive(path):

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no model")


def torchscript(path):

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", "")
        archive.writestr("m/constants.pkl", "")


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


@pytest.mark.parametrize("layout", ["own", "zip", "legacy"])
def test_a_file_that_is_cut_while_it_is_read(tmp_path, layout, monkeypatch):
    """It is never mapped: a mapped file that shrinks ends the process."""
    path = tmp_path / "m"
    saved(path) if layout == "own" else public(path, zipped=layout == "zip")
    check = files._check_shapes

    def shrink_then_check(*arguments):
        os.truncate(path, path.stat().st_size // 3)
        check(*arguments)

    monkeypatch.setattr(files, "_check_shapes", shrink_then_check)
    with pytest.raises(WeightsError, match="is truncated or damaged"):
        weights.load(path)


def test_more_weights_than_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "DATA", 1000)
    with pytest.raises(WeightsError, match=r"has 0\.0 GB of weights: at most 0\.0"):
        weights.read_info(saved(tmp_path / "m"))


@pytest.mark.parametrize("field", ["fusion", "flow", "name", "scale", "width", "mean", "training", "levels"])
def test_messages_are_short_and_printable(tmp_path, field):
    for value in ("9" * 100_000, "\x1b[2J" * 9, "[" * 100_000):
        path = spoil(tmp_path / "m", lambda t, m, value=value: m.update({field: value}))
        with pytest.raises(WeightsError) as caught:
            weights.load(path)
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()
