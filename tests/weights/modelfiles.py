"""Small model files of every layout, and ways to spoil them."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vs_slomo import weights
from vs_slomo.model.superslomo import SuperSloMo
from vs_slomo.weights import ModelInfo

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


NAN = float("nan")


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


def page(path):
    path.write_text("\ufeff\n<!DOCTYPE html>\n<html><title>Google Drive - Virus scan warning</title></html>")
