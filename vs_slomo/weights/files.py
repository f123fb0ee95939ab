"""Model files: find, read the header, load, save, convert.

A model is a safetensors file with the tensors ``flow_net.*`` and ``interp_net.*`` and a `ModelInfo` as its metadata
(`own`), or a public checkpoint of Super SloMo (`checkpoints`). Nothing that a file holds is run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.outputs import write_bytes
from vs_slomo.paths import models_dir

from . import own
from .info import BUNDLED, WIDTHS, ModelInfo, encode, shapes
from .stored import DATA, ModelFile, StoredTensor, describe, plain

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vs_slomo.model.superslomo import SuperSloMo

log = logging.getLogger("vs_slomo")

FLOATS = ("float16", "bfloat16", "float32", "float64")


# --- where models are -------------------------------------------------------------------------------------


def installed() -> dict[str, Path]:
    """Every name that `find` knows, "bundled" first, and its file."""
    files = sorted(models_dir().glob("[!.]*.safetensors"))
    return {"bundled": BUNDLED} | {file.stem: file for file in files if file.stem != "bundled"}


def find(model: str | os.PathLike[str]) -> Path:
    """Return the file of a model: "bundled", a name in the per-user directory, or a path.

    Raises WeightsError where there is none.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise ArgumentError("model", model, "the name of a model or the path of a file")
    if isinstance(model, str) and (known := installed().get(model)):
        return known
    shown = repr(str(model)[:200])
    try:
        path = Path(model).expanduser()
        if str(model) and path.is_dir():
            raise WeightsError(f"model: {shown} is a directory: name the file in it")
        there = bool(str(model)) and path.exists()
    except (OSError, ValueError, RuntimeError):  # a name that the system does not take, a user that it does not know
        there = False
    if not there:
        raise WeightsError(
            f"model: {shown} is neither a file nor the name of a model; "
            f"there are: {', '.join(installed())} (`vs-slomo weights list`)"
        )
    return path


def available() -> list[ModelInfo]:
    """Return what every model that `find` knows by name says of itself; one that cannot be used is logged."""
    infos = []
    for path in installed().values():
        try:
            infos.append(read_info(path))
        except WeightsError as error:
            log.warning("%s", error)
    return infos


# --- reading ----------------------------------------------------------------------------------------------


def read_info(model: str | os.PathLike[str]) -> ModelInfo:
    """Read and check a model's header: metadata, tensor names, shapes and types. No weights, no device.

    Raises WeightsError: what was found, and what to do.
    """
    return _read(find(model), None)[0]


def load(model: str | os.PathLike[str], dtype: torch.dtype | None = None) -> tuple[SuperSloMo, ModelInfo]:
    """Load a model to the CPU, in evaluation mode, without gradients.

    dtype: the parameters', float32 by default. Raises WeightsError as `read_info` does, and where a weight is
    not finite or too large for `dtype`.
    """
    import torch

    from vs_slomo.model.superslomo import SuperSloMo

    dtype = dtype or torch.float32
    info, tensors = _read(find(model), dtype)
    # Built without memory, so that nothing is drawn from the global random generator for weights that are
    # replaced at once.
    with torch.device("meta"):
        net = SuperSloMo(info.width, last_activation=info.last_activation, levels=info.levels, fusion=info.fusion)
    net.load_state_dict(tensors, assign=True)
    net.mean = torch.tensor(info.mean, dtype=dtype).view(1, 3, 1, 1)
    return net.requires_grad_(requires_grad=False).eval(), info


def _read(path: Path, dtype: torch.dtype | None) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Info, and parameters of this type under our names, all checked; no parameters where dtype is None."""
    with ModelFile(path) as file:
        kind = kind_of(file)
        if kind == "safetensors":
            contents = own.read(file)
        else:
            from . import checkpoints  # slow to load, and rarely needed

            contents = checkpoints.read_zip(file) if kind == "zip" else checkpoints.read_legacy(file)
        stored = _checked_names(path, contents.tensors)
        info = _checked_info(file, contents.facts(), stored)
        _check_shapes(path, stored, info.width)
        return info, dict(_tensors(path, stored, dtype)) if dtype else {}


def kind_of(file: ModelFile) -> Literal["safetensors", "zip", "pickle"]:
    """Tell the layout by the first bytes; the file's name says nothing sure. Raises WeightsError."""
    path, head = file.path, bytes(file.read(0, min(512, file.size)))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        raise WeightsError(f"{path}: is empty: download it again")
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")):
        raise WeightsError(
            f"{path}: is a web page, not a model: the address leads to a page about the file; download the file itself"
        )
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: is a Git LFS pointer, not a model: download the file itself")
    if head[8:9] == b"{":
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x80"):
        return "pickle"
    raise WeightsError(f"{path}: is neither a safetensors file nor a torch checkpoint (it starts with {head[:8]!r})")


def _tensors(path: Path, stored: Mapping[str, StoredTensor], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Yield name and tensor, in memory of its own. One storage is held at a time."""
    import torch

    by_storage: dict[int, list[str]] = {}
    for name, tensor in stored.items():
        by_storage.setdefault(id(tensor.storage), []).append(name)
    for names in by_storage.values():
        storage = stored[names[0]].storage
        numbers = torch.frombuffer(storage.read(), dtype=getattr(torch, storage.dtype))
        for name in names:
            view = numbers.as_strided(stored[name].shape, stored[name].stride, stored[name].offset)
            if not torch.isfinite(view).all():
                raise WeightsError(f"{path}: {name} holds NaN or infinity: the training failed, or the file is damaged")
            cast = view.to(dtype, copy=True).contiguous()
            if not torch.isfinite(cast).all():
                raise WeightsError(f"{path}: {name} holds numbers that are too large for {dtype}")
            yield name, cast


# --- checks -----------------------------------------------------------------------------------------------


def _checked_names(path: Path, tensors: Mapping[str, object]) -> dict[str, StoredTensor]:
    """Return the tensors if they are those of a Super SloMo."""
    expected = shapes(8).keys()
    if not expected & tensors.keys():
        raise WeightsError(f"{path}: holds {describe(tensors)}: another architecture, not Super SloMo")
    if missing := sorted(expected - tensors.keys()):
        raise WeightsError(f"{path}: lacks {describe(dict.fromkeys(missing))}: not a whole Super SloMo")
    if extra := sorted(tensors.keys() - expected):
        raise WeightsError(f"{path}: holds {describe(dict.fromkeys(extra))} beside Super SloMo: another architecture")
    found = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, StoredTensor)}
    if other := sorted(tensors.keys() - found.keys()):
        raise WeightsError(f"{path}: {other[0]} is not a dense tensor: another architecture")
    return found


def _checked_info(file: ModelFile, facts: Mapping[str, Any], tensors: Mapping[str, StoredTensor]) -> ModelInfo:
    """Return what the file says of itself, if the tensors agree."""
    first = tensors["flow_net.conv1.weight"]
    width = first.shape[0] if first.shape else 0
    if width not in WIDTHS:
        raise WeightsError(f"{file.path}: flow_net.conv1.weight has shape {first.shape[:8]}: another architecture")
    said = facts.get("width", width)
    if said != width:
        raise WeightsError(f"{file.path}: the metadata say width {said}, the tensors {width}: the file is damaged")
    try:
        return ModelInfo(**{**facts, "width": width}, dtype=first.storage.dtype, path=file.path)
    except ArgumentError as error:
        raise WeightsError(f"{file.path}: the metadata are wrong, {plain(str(error), 400)}") from error


def _check_shapes(path: Path, tensors: Mapping[str, StoredTensor], width: int) -> None:
    """Raise WeightsError where a shape, a type or a size is not that of a Super SloMo of this width."""
    for name, shape in shapes(width).items():
        tensor = tensors[name]
        if tensor.shape != shape:
            raise WeightsError(
                f"{path}: {name} has shape {tensor.shape[:8]}, Super SloMo of width {width} has {shape}: "
                "another architecture"
            )
        if tensor.storage.dtype not in FLOATS:
            raise WeightsError(
                f"{path}: {name} is of type torch.{tensor.storage.dtype[:20]}, not a float: another architecture"
            )
        if not tensor.fits():
            raise WeightsError(f"{path}: is truncated or damaged ({name} is larger than its data): download it again")
    storages = {id(tensor.storage): tensor.storage.nbytes for tensor in tensors.values()}
    if sum(storages.values()) > DATA:
        raise WeightsError(f"{path}: has {sum(storages.values()) / 1e9:.1f} GB of weights: at most {DATA / 1e9:.1f}")


# --- writing ----------------------------------------------------------------------------------------------


def save(model: SuperSloMo, info: ModelInfo, path: str | os.PathLike[str]) -> None:
    """Write a model in half precision; a file of that name is replaced once the new one is whole.

    Raises ArgumentError where `info` describes another model or `path` is no place for a file, WeightsError where a
    weight is not finite.
    """
    its_own = {
        "width": model.flow_net.conv1.out_channels,
        "last_activation": model.flow_net.last_activation,
        "levels": model.levels,
        "fusion": model.fusion,
        # The buffer's precision may be half.
        "mean": tuple(round(m, 3) for m in model.mean.flatten().tolist()),
    }
    said = {**vars(info), "mean": tuple(round(m, 3) for m in info.mean)}
    for field, value in its_own.items():
        if said[field] != value:
            raise ArgumentError(f"info.{field}", said[field], f"the model's own, {value!r}")
    _write(Path(path), info, {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})


def _write(path: Path, info: ModelInfo, tensors: Mapping[str, Tensor]) -> None:
    import torch
    from safetensors.torch import save as serialized

    halves = {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}
    for name, tensor in halves.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity, or numbers that are too large for float16")
    try:
        write_bytes(path, serialized(halves, encode(info)), name="target")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], **overrides: Any) -> ModelInfo:
    """Write any model that loads as our own format in half precision, and return what the new file says.

    overrides: fields of `ModelInfo` in place of what the source says; all but width, dtype and path.
    """
    import torch

    if unknown := overrides.keys() - (ModelInfo.__dataclass_fields__.keys() - {"width", "dtype", "path"}):
        raise ArgumentError("overrides", sorted(unknown), "fields of ModelInfo that the tensors do not settle")
    info, tensors = _read(find(source), torch.float16)
    _write(Path(target), replace(info, **overrides), tensors)
    return read_info(Path(target))
