"""Pickles that would run code if they were unpickled."""

from __future__ import annotations

import datetime as dt
import functools
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from vs_slomo import weights
from vs_slomo.errors import WeightsError
from vs_slomo.weights.pickles import PickleError, PickleReader

from .modelfiles import WIDTH, nets, public, tiny


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


def test_torchs_list_of_safe_types_is_left_alone(tmp_path):
    path = public(tmp_path / "m.pt", when=dt.datetime(2018, 9, 1, tzinfo=dt.UTC), size=np.float64(1))
    before = set(torch.serialization.get_safe_globals())
    weights.load(path)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("zipped", [True, False])
def test_paths_by_every_python(tmp_path, zipped):
    """Python 3.13 names the classes of `pathlib` by another module than those before and after."""
    path = public(tmp_path / "m.pt", zipped=zipped, root=Path("data"))
    content = path.read_bytes()
    own, other = b"cpathlib\nPosixPath\n", b"cpathlib._local\nPosixPath\n"
    assert own in content or other in content
    assert weights.load(path)[1].width == WIDTH
    if not zipped:  # a zip archive's records have sizes and check sums
        for new in (own, other):
            path.write_bytes(content.replace(other, own).replace(own, new))
            assert weights.load(path)[1].width == WIDTH


def read(*steps):
    return PickleReader(b"".join(steps)).load()


def test_plain_values():
    value = {"a": [1, -2, 3.5, None, True, "x"], "b": (1, (2, 3), 300, 70000, 1 << 70), "c": {}}
    for protocol in (2, 3):
        assert PickleReader(pickle.dumps(value, protocol)).load() == value


def test_keys_that_are_not_text_are_left_out():
    assert PickleReader(pickle.dumps({1: 2, (1, (2,)): 3, "a": 4}, 2)).load() == {"a": 4}


NESTED = b"\x80\x02)" + b"\x85" * 400_000
DOUBLED = b"\x80\x02)" + b"q\x00h\x00\x86" * 5_000


@pytest.mark.parametrize("key", [NESTED, DOUBLED], ids=["nested", "doubled"])
def test_nested_keys_are_never_hashed(key):
    assert read(key[:2], b"}", key[2:], b"Ns.") == {}


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (b"", "it ends too early"),
        (b"\x80\x02", "it ends too early"),
        (b".", "it is not a pickle: IndexError"),
        (b"t.", "it is not a pickle: IndexError"),
        (b"(.", "a mark stands where a value should"),
        (b"Nt.", "a mark is missing"),
        (b"h\x05.", "it is not a pickle: KeyError"),
        (b"X\xff\xff\xff\x7f", "it ends too early"),
        (b"X\x01\0\0\0\xff.", "it is not a pickle: UnicodeDecodeError"),
        (b"\x8b\xff\xff\xff\x7f", "torch does not write LONG4"),
        (b"\x95", "torch does not write FRAME"),
        (b"\x00", "torch does not write byte 0"),
        (b"c" + b"a" * 300, "a name that does not end"),
        (b"NNR.", "it calls what is not a function"),
        (b"NN\x81.", "makes an object of what is not a class"),
        (b"Na.", "it is not a pickle: IndexError"),
        (b"NNa.", "appends to what is not a list"),
        (b"NNNs.", "sets items of what is not a dictionary"),
        (b"](NNNe(Nu.", "sets items of what is not a dictionary"),
        (b"NNb.", "sets attributes of a plain value"),
        (b"NQ.", "refers to what is not a storage"),
        (b"(X\x06\0\0\0moduleNNNNtQ.", "refers to what is not a storage"),
        (b"]" * 1_000_001, "more than 1000000 steps"),
        (b"ccollections\nOrderedDict\n(" + b"N" * 17 + b"tR.", "a function with 17 arguments"),
    ],
)
def test_what_is_not_a_pickle(steps, text):
    with pytest.raises(PickleError, match=text):
        read(steps)
