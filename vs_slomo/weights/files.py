"""Model files: find, read the header, load, save, convert, fetch.

A model is a safetensors file with the tensors ``flow_net.*`` and ``interp_net.*``, and what `ModelInfo` holds
as its metadata; or the public checkpoint of Super SloMo, a torch file with ``state_dictFC`` and
``state_dictAT``, which is only ever unpickled with ``weights_only=True``. Nothing that a file holds is run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from vs_slomo.errors import ArgumentError, WeightsError
from vs_slomo.model import flow as flows
from vs_slomo.model import fusion as fusions
from vs_slomo.model.flow import FLOWS
from vs_slomo.model.fusion import FUSIONS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vs_slomo.model.superslomo import SuperSloMo

    from .download import Progress

log = logging.getLogger("vs_slomo")

BUNDLED = Path(__file__).parents[1] / "models" / "bundled.safetensors"
SCALES = (1.0, 0.5, 0.25, 0.125)
WIDTHS = range(1, 129)
"""Channels at full resolution that are believed; a file that says more is damaged."""
LEVELS = range(1, 5)
NETS = {"state_dictFC": "flow_net", "state_dictAT": "interp_net"}
"""The public checkpoint's name of each network, and ours."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says of itself.

    width: channels of both U-Nets at full resolution. scale: the networks' native resolution, 1, 1/2, 1/4 or
    1/8 of the picture's. mean: subtracted from RGB in [0, 1]. last_activation: see `unet.UNet`. levels: see
    `model.SuperSloMo`. fusion: how two warped frames become one, a name in `model.fusion.FUSIONS`. flow: the
    default flow stage, a name in `model.flow.FLOWS`.
    training: a JSON object. dtype: the stored numbers'. path: the file it was read from.
    """

    name: str
    version: str = "unknown"
    licence: str = "unknown"
    width: int = 32
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.429, 0.431, 0.397)
    last_activation: bool = True
    levels: int = 1
    fusion: str = fusions.DEFAULT
    flow: str = flows.DEFAULT
    training: str = "{}"
    dtype: str = "float16"
    path: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no model can be."""
        for field in ("name", "version", "licence"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise ArgumentError(field, value, "a line of text that is not empty")
        if self.width not in WIDTHS:
            raise ArgumentError("width", self.width, f"a whole number from {WIDTHS[0]} to {WIDTHS[-1]}")
        if self.scale not in SCALES:
            raise ArgumentError("scale", self.scale, "1, 1/2, 1/4 or 1/8")
        if len(self.mean) != 3 or not all(0 <= m <= 1 for m in self.mean):
            raise ArgumentError("mean", self.mean, "three numbers from 0 to 1")
        if not isinstance(self.last_activation, bool):
            raise ArgumentError("last_activation", self.last_activation, "True or False")
        if self.levels not in LEVELS:
            raise ArgumentError("levels", self.levels, f"a whole number from {LEVELS[0]} to {LEVELS[-1]}")
        for field, known in (("fusion", FUSIONS), ("flow", FLOWS)):
            if getattr(self, field) not in known:
                raise ArgumentError(field, getattr(self, field), " or ".join(map(repr, known)))
        try:
            summary = json.loads(self.training)
        except (TypeError, ValueError):
            summary = None
        if not isinstance(summary, dict):
            raise ArgumentError("training", self.training, "a JSON object")

    @property
    def key(self) -> str:
        """What to give as `model` to get it again: "bundled", an installed model's name, or the file."""
        if self.path == BUNDLED:
            return "bundled"
        return self.path.stem if self.path and self.path.parent == models_dir() else str(self.path)

    @property
    def parameters(self) -> int:
        """How many numbers both networks hold."""
        return sum(math.prod(shape) for shape in shapes(self.width).values())


# --- where models are -------------------------------------------------------------------------------------


def models_dir() -> Path:
    """Return the per-user directory: ``$VS_SLOMO_HOME/models``, else the platform's place for user data."""
    from platformdirs import user_data_dir

    return Path(os.environ.get("VS_SLOMO_HOME") or user_data_dir("vs_slomo", appauthor=False)) / "models"


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
    path = Path(model).expanduser()
    if str(model) and path.is_dir():
        raise WeightsError(f"model: {str(model)!r} is a directory: name the file in it")
    if not str(model) or not path.exists():
        raise WeightsError(
            f"model: {str(model)!r} is neither a file nor the name of a model; "
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
    """Read and check a model's header: metadata, tensor names and shapes. No weights, no device.

    Raises WeightsError: what was found, and what to do.
    """
    return _read(find(model), data=False)[0]


def load(model: str | os.PathLike[str], dtype: torch.dtype | None = None) -> tuple[SuperSloMo, ModelInfo]:
    """Load a model to the CPU, in evaluation mode, without gradients.

    dtype: the parameters', float32 by default. Raises WeightsError as `read_info`, and where a weight is
    not finite.
    """
    import torch

    from vs_slomo.model.superslomo import SuperSloMo

    info, tensors = _read(find(model), data=True)
    # Built without memory, so that nothing is drawn from the global random generator for weights that are
    # replaced at once.
    with torch.device("meta"):
        net = SuperSloMo(info.width, last_activation=info.last_activation, levels=info.levels, fusion=info.fusion)
    dtype = dtype or torch.float32
    # Copied in any case: safetensors maps the file, which may be replaced or cut while the model is in use.
    net.load_state_dict({name: t.detach().to(dtype, copy=True) for name, t in tensors.items()}, assign=True)
    net.mean = torch.tensor(info.mean, dtype=dtype).view(1, 3, 1, 1)
    return net.requires_grad_(requires_grad=False).eval(), info


@cache
def shapes(width: int) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes of the parameters of a `SuperSloMo` of this width."""
    import torch

    from vs_slomo.model.superslomo import SuperSloMo

    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in SuperSloMo(width).state_dict().items()}


def _read(path: Path, *, data: bool) -> tuple[ModelInfo, dict[str, Tensor]]:
    """Info and parameters under our names, checked; without `data`, tensors may be on the meta device."""
    match _kind(path):
        case "safetensors":
            facts, tensors = _read_safetensors(path, data=data)
        case kind:
            facts, tensors = _read_checkpoint(path, kind, data=data)
    first = tensors["flow_net.conv1.weight"].shape
    if not first or first[0] not in WIDTHS:
        raise WeightsError(f"{path}: flow_net.conv1.weight has shape {tuple(first)}: another architecture")
    if facts.setdefault("width", first[0]) != first[0]:
        raise WeightsError(
            f"{path}: the metadata say width {facts['width']}, the tensors {first[0]}: the file is damaged"
        )
    try:
        info = ModelInfo(**facts, dtype=str(tensors["flow_net.conv1.weight"].dtype).removeprefix("torch."), path=path)
    except ArgumentError as error:
        raise WeightsError(f"{path}: the metadata are wrong, {error}") from error
    _check_tensors(path, tensors, info.width, data=data)
    return info, tensors


def _kind(path: Path) -> Literal["safetensors", "zip", "pickle"]:
    """Tell the layout by the first bytes; the file's name says nothing sure."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
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


def _read_safetensors(path: Path, *, data: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    import torch
    from safetensors import SafetensorError, safe_open

    stored = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118  # not a mapping
                if data:
                    tensors[name] = file.get_tensor(name)
                else:
                    header = file.get_slice(name)
                    dtype = stored.get(header.get_dtype(), torch.uint8)
                    tensors[name] = torch.empty(header.get_shape(), dtype=dtype, device="meta")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: is truncated or damaged ({error}): download it again") from error
    _check_names(path, tensors)
    if metadata.get("format") != "vs_slomo":
        raise WeightsError(
            f"{path}: has the tensors but not the metadata of a vs_slomo model: "
            "make it with `vs-slomo weights convert` from the original"
        )
    try:
        return _decode(metadata), tensors
    except KeyError as error:
        raise WeightsError(f"{path}: the metadata lack {error}: download it again") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(f"{path}: the metadata are wrong ({error}): download it again") from error


def _decode(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Safetensors metadata, strings all, to the arguments of `ModelInfo`."""
    texts = {key: metadata[key] for key in ("name", "version", "licence", "flow", "training")}
    return texts | {
        "width": int(metadata["width"]),
        "scale": float(Fraction(metadata["scale"])),
        "mean": _floats(json.loads(metadata["mean"])),
        "last_activation": json.loads(metadata["last_activation"]),
        # Files from before these were thought of are as the paper has it.
        "levels": int(metadata.get("levels", 1)),
        "fusion": metadata.get("fusion", fusions.DEFAULT),
    }


def _floats(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _encode(info: ModelInfo) -> dict[str, str]:
    """Reverse `_decode`."""
    return {
        "format": "vs_slomo",
        "name": info.name,
        "version": info.version,
        "licence": info.licence,
        "width": str(info.width),
        "scale": str(info.scale),
        "mean": json.dumps(info.mean),
        "last_activation": json.dumps(info.last_activation),
        "levels": str(info.levels),
        "fusion": info.fusion,
        "flow": info.flow,
        "training": info.training,
    }


# --- the public checkpoint --------------------------------------------------------------------------------


class _Ignored:
    """Stands in for a type whose value nobody needs: it takes anything and does nothing."""

    def __new__(cls, *_arguments: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


IGNORED = tuple(
    type(name, (_Ignored,), {"__module__": module})
    for module, names in {
        "argparse": ("Namespace",),
        "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
        "numpy": ("dtype", "ndarray"),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "pathlib": ("PosixPath", "WindowsPath"),
    }.items()
    for name in names
)
"""What trainers leave in a checkpoint beside tensors and plain values. Not even these types are made: torch's
unpickler finds a class by its name, and is given one that does nothing."""

_unpickling = threading.Lock()
"""torch's list of safe types and the warnings' filters belong to the whole process."""


@contextmanager
def _harmless() -> Iterator[None]:
    import torch

    with _unpickling, torch.serialization.safe_globals(list(IGNORED)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice to load with weights_only=False
        yield


def _read_checkpoint(
    path: Path, kind: Literal["zip", "pickle"], *, data: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    import torch

    if kind == "zip":
        _check_zip(path)
    # A legacy file cannot be read without its weights.
    device = "cpu" if data or kind == "pickle" else "meta"
    try:
        # An open file, for torch reads a path as safetensors if it ends so; not mapped, for a mapped file's
        # records are not checked against their sizes.
        with path.open("rb") as file, _harmless():
            content = torch.load(file, map_location=device, weights_only=True, mmap=False)
    except Exception as error:  # torch lets all kinds through, IndexError and struct.error among them
        raise WeightsError(_why_not(path, error)) from error
    if not isinstance(content, Mapping) or not all(isinstance(content.get(key), Mapping) for key in NETS):
        raise WeightsError(
            f"{path}: holds {_describe(content)}, not the state_dictFC and state_dictAT of Super SloMo: "
            "another architecture"
        )
    tensors = {
        f"{net}.{str(name).removeprefix('module.')}": tensor
        for key, net in NETS.items()
        for name, tensor in content[key].items()
    }
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor) or (tensor.layout, tensor.device.type) != (torch.strided, device):
            raise WeightsError(f"{path}: {name} is not a dense tensor: another architecture")
    _check_names(path, tensors)
    kinds: dict[str, Callable[[Any], Any]] = {
        "scale": float,
        "last_activation": lambda value: value,
        "width": int,
        "mean": _floats,
    }
    try:
        facts = {key: kind(content[key]) for key, kind in kinds.items() if key in content}
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: the values beside the state dicts are wrong ({error})") from error
    return {"name": path.stem} | facts, tensors


def _check_zip(path: Path) -> None:
    """Refuse a zip archive that is not whole or not a checkpoint."""
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path}: is truncated or damaged (its end is missing): download it again")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is truncated or damaged ({error}): download it again") from error
    if "constants.pkl" in names:
        raise WeightsError(f"{path}: is a TorchScript program, which would run: ask for its state dicts")
    if "data.pkl" not in names:
        raise WeightsError(f"{path}: is a zip archive, but not a torch checkpoint: unpack it first")


def _why_not(path: Path, error: Exception) -> str:
    """Say in a sentence what torch's unpickler says in a page."""
    if blocked := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"{path}: asks to load {_plain(blocked[1])}, which could run code: not loaded. "
            "Get the file from its author, saved with tensors and plain values only"
        )
    reason = str(error).partition("WeightsUnpickler error: ")[2].strip() or str(error)
    reason = _plain(reason.strip().partition("\n")[0][:200]) or type(error).__name__
    return f"{path}: is truncated or damaged, or not a torch checkpoint ({reason}): download it again"


def _plain(text: str) -> str:
    """Keep what a file says from writing to the terminal what it likes."""
    return text if text.isprintable() else ascii(text)


def _describe(content: object) -> str:
    """Name what a file holds in a few words."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    names = [_plain(str(name)) for name in content]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "nothing"


# --- checks -----------------------------------------------------------------------------------------------


def _check_names(path: Path, tensors: Mapping[str, object]) -> None:
    expected = shapes(8).keys()
    if not expected & tensors.keys():
        raise WeightsError(f"{path}: holds {_describe(tensors)}: another architecture, not Super SloMo")
    if missing := sorted(expected - tensors.keys()):
        raise WeightsError(f"{path}: lacks {_describe(dict.fromkeys(missing))}: not a whole Super SloMo")
    if extra := sorted(tensors.keys() - expected):
        raise WeightsError(f"{path}: holds {_describe(dict.fromkeys(extra))} beside Super SloMo: another architecture")


def _check_tensors(path: Path, tensors: Mapping[str, Tensor], width: int, *, data: bool) -> None:
    import torch

    for name, shape in shapes(width).items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, Super SloMo of width {width} has {shape}: "
                "another architecture"
            )
        if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise WeightsError(f"{path}: {name} is of type {tensor.dtype}, not a float: another architecture")
        if data and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds NaN or infinity: the training failed, or the file is damaged")


# --- writing ----------------------------------------------------------------------------------------------


def save(model: SuperSloMo, info: ModelInfo, path: str | os.PathLike[str]) -> None:
    """Write a model in half precision; a file of that name is replaced once the new one is whole.

    Raises ArgumentError where `info` describes another model, WeightsError where a weight is not finite.
    """
    own = {
        "width": model.flow_net.conv1.out_channels,
        "last_activation": model.flow_net.last_activation,
        "levels": model.levels,
        "fusion": model.fusion,
        # The buffer's precision may be half.
        "mean": tuple(round(m, 3) for m in model.mean.flatten().tolist()),
    }
    said = {**vars(info), "mean": tuple(round(m, 3) for m in info.mean)}
    for field, value in own.items():
        if said[field] != value:
            raise ArgumentError(f"info.{field}", said[field], f"the model's own, {value!r}")
    _write(Path(path), info, {name: tensor.cpu() for name, tensor in model.state_dict().items()})


def _write(path: Path, info: ModelInfo, tensors: Mapping[str, Tensor]) -> None:
    import torch
    from safetensors.torch import save as serialized

    halves = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in tensors.items()}
    _check_tensors(path, halves, info.width, data=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(serialized(halves, _encode(info)))
        part.replace(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], **overrides: Any) -> ModelInfo:
    """Write any model that loads as our own format in half precision, and return what the new file says.

    overrides: fields of `ModelInfo` in place of what the source says; all but width, dtype and path.
    """
    if unknown := overrides.keys() - (ModelInfo.__dataclass_fields__.keys() - {"width", "dtype", "path"}):
        raise ArgumentError("overrides", sorted(unknown), "fields of ModelInfo that the tensors do not settle")
    info, tensors = _read(find(source), data=True)
    _write(Path(target), replace(info, **overrides), tensors)
    return read_info(Path(target))


# --- fetching ---------------------------------------------------------------------------------------------


def fetch(
    url: str,
    *,
    name: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> ModelInfo:
    """Download a model into the per-user directory, where `find` knows it by name.

    Only what loads is kept; a public checkpoint is converted.

    name: by default the file's in the address. sha256: of the file, 64 hexadecimal digits.
    Raises ArgumentError, or WeightsError: what went wrong on the way, or is wrong with the file.
    """
    from .download import discard, download

    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ArgumentError("sha256", sha256, "64 hexadecimal digits")
    if name is None:
        name = PurePosixPath(unquote(urlsplit(url).path)).stem
    if not re.fullmatch(r"\w[\w.+-]*", name) or name == "bundled":
        raise ArgumentError("name", name, "letters, digits and _ . + -, and not 'bundled'")
    target = models_dir() / f"{name}.safetensors"
    part = target.with_name(f".{name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(f"{target.parent}: cannot be made: {error.strerror}") from error

    download(url, part, progress)
    try:
        if sha256 is not None:
            _check_hash(part, sha256.lower())
        if _kind(part) == "safetensors":
            load(part)
            part.replace(target)
        else:
            convert(part, target, name=name)
    except WeightsError as error:
        raise WeightsError(str(error).replace(str(part), url)) from error
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        discard(part)
    return read_info(target)


def _check_hash(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise WeightsError(f"{path}: has SHA-256 {found}, not {expected}: not the file you expect")
