"""The public layouts: torch files with `state_dictFC` and `state_dictAT`, zip archives or as older torch wrote them.

`pickles` reads them: nothing that a file holds is run, and torch's own unpickler is not used.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from functools import partial
from typing import Any

from vs_slomo.errors import WeightsError

from .info import floats
from .pickles import PickleError, PickleReader, RefusedError, SavedStorage, SavedTensor
from .stored import HEADER, Contents, ModelFile, Storage, StoredTensor, describe, plain

NETS = {"state_dictFC": "flow_net", "state_dictAT": "interp_net"}
"""The public checkpoint's name of each network, and ours."""
DIRECTORY = 2 << 20
"""The most bytes of a zip archive's list of records: a checkpoint's has about 70 a record."""
CHUNK = 1 << 20
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What older torch writes first."""

Storages = dict[str, Storage]


def read_zip(file: ModelFile) -> Contents:
    """Return what a zip checkpoint holds; of the tensors nothing is read yet. Raises WeightsError."""
    try:
        archive = zipfile.ZipFile(_Bounded(file.file))
    except Exception as error:
        missing = "its end is missing" if "not a zip file" in str(error) else error
        raise file.damaged(missing) from error
    names = {name.rpartition("/")[2]: name for name in archive.namelist()}
    if "constants.pkl" in names:
        raise WeightsError(f"{file.path}: is a TorchScript program, which would run: ask for its state dicts")
    if "data.pkl" not in names:
        raise WeightsError(f"{file.path}: is a zip archive, but not a torch checkpoint: unpack it first")
    folder = names["data.pkl"].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist():
        order = _record(file, archive, f"{folder}byteorder", most=16)
        _check_order(file, little=order == b"little")
    reader = PickleReader(_record(file, archive, names["data.pkl"], most=HEADER))
    content = _guarded(file, reader)

    def storage(saved: SavedStorage) -> Storage:
        name, nbytes = f"{folder}data/{saved.key}", saved.count * saved.size
        if nbytes > _size(file, archive, name):
            raise file.damaged(f"the record {name} is shorter than it should be")
        return Storage(saved.dtype, saved.size, nbytes, partial(_record, file, archive, name, nbytes=nbytes))

    # A storage without numbers may have no record.
    return _contents(file, content, {k: storage(s) for k, s in reader.storages.items() if s.count})


def read_legacy(file: ModelFile) -> Contents:
    """Return what a checkpoint of torch before 1.6 holds; of the tensors nothing is read yet. Raises WeightsError.

    Five pickles (a magic number, a version, the machine, the content, the storages' keys), and for each key the count
    of its numbers and the numbers.
    """
    reader = PickleReader(file.read(0, min(file.size, HEADER)))
    if _guarded(file, reader) != MAGIC or _guarded(file, reader) != PROTOCOL:
        raise _not_a_checkpoint(file, "its first numbers are wrong")
    machine = _guarded(file, reader)
    if not isinstance(machine, dict):
        raise _not_a_checkpoint(file, "it does not describe its machine")
    _check_order(file, little=machine.get("little_endian") is True)
    content, keys = _guarded(file, reader), _guarded(file, reader)
    if type(keys) is not list or len(keys) != len(reader.storages):
        raise _not_a_checkpoint(file, "its list of storages is wrong")
    storages: Storages = {}
    at = reader.at
    for key in keys:
        saved = reader.storages.get(key) if type(key) is str else None
        if saved is None:
            raise _not_a_checkpoint(file, "its list of storages is wrong")
        if int.from_bytes(file.read(at, 8), "little") != saved.count:
            raise file.damaged(f"storage {saved.key} has another size than the pickle says")
        nbytes = saved.count * saved.size
        storages[saved.key] = Storage(saved.dtype, saved.size, nbytes, partial(file.read, at + 8, nbytes))
        at += 8 + nbytes
    if at > file.size:
        raise file.damaged(f"it claims {at} bytes and has {file.size}")
    return _contents(file, content, storages)


def _contents(file: ModelFile, content: object, storages: Storages) -> Contents:
    """Return the tensors of both networks under our names, and what the file says beside them."""
    if not isinstance(content, Mapping) or not all(isinstance(content.get(key), Mapping) for key in NETS):
        what = "a Tensor" if isinstance(content, SavedTensor) else describe(content)
        raise WeightsError(
            f"{file.path}: holds {what}, not the state_dictFC and state_dictAT of Super SloMo: another architecture"
        )

    def stored(value: object) -> object:
        if not isinstance(value, SavedTensor) or value.storage.key not in storages:
            return value
        return StoredTensor(storages[value.storage.key], value.shape, value.stride, value.offset)

    tensors = {
        f"{net}.{name.removeprefix('module.')}": stored(value)
        for key, net in NETS.items()
        for name, value in content[key].items()
    }
    beside = {key: stored(value) for key, value in content.items() if key not in NETS}
    return Contents(partial(_facts, file, beside), tensors)


def _facts(file: ModelFile, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `ModelInfo` that a checkpoint gives."""
    kinds = {
        "scale": lambda value: float(_plain_value(value)),
        "last_activation": _plain_value,
        "width": lambda value: int(_plain_value(value)),
        "mean": lambda value: floats(_plain_values(value)),
    }
    facts: dict[str, Any] = {"name": plain(file.path.stem)}
    for key, kind in kinds.items():
        if key in content:
            try:
                facts[key] = kind(content[key])  # type: ignore[no-untyped-call]
            except (TypeError, ValueError, OverflowError) as error:
                raise WeightsError(
                    f"{file.path}: the values beside the state dicts are wrong ({key}: {plain(str(error))})"
                ) from error
    return facts


def _plain_value(value: object) -> Any:
    """Return a number, a text or True and False; also from a tensor with one element."""
    if isinstance(value, StoredTensor):
        (value,) = _plain_values(value)
    if isinstance(value, str) and len(value) > 60:
        raise ValueError(f"a text of {len(value)} characters")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} in place of a number")


def _plain_values(value: object) -> list[Any]:
    """Return the few values of a list, a tuple or a tensor."""
    if isinstance(value, StoredTensor):
        import torch

        if not value.fits() or value.storage.nbytes > CHUNK or max(value.shape, default=1) > 3 or len(value.shape) > 1:
            raise ValueError(f"a tensor of shape {value.shape[:4]} in place of numbers")
        kind = getattr(torch, value.storage.dtype)
        numbers = torch.frombuffer(value.storage.read(), dtype=kind)
        return list(numbers.as_strided(value.shape, value.stride, value.offset).reshape(-1).tolist())
    if type(value) not in (list, tuple) or len(value) > 3:  # type: ignore[arg-type]
        raise TypeError(f"a {type(value).__name__} in place of three numbers")
    return [_plain_value(one) for one in value]  # type: ignore[attr-defined]


# --- a zip archive's records -------------------------------------------------------------------------------------


class _Bounded:
    """A file that gives at most `DIRECTORY` bytes at once: `ZipFile` asks for the whole list of records."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.seek, self.tell, self.seekable, self.readable = file.seek, file.tell, file.seekable, file.readable
        self.file = file

    def read(self, size: int = -1) -> bytes:
        """Read as a file does. Raises ValueError for more than any checkpoint has."""
        if size > DIRECTORY:
            raise ValueError(f"its list of records claims {size} bytes")
        return self.file.read(DIRECTORY if size < 0 else size)


def _size(file: ModelFile, archive: zipfile.ZipFile, name: str) -> int:
    """Return a record's size in bytes, checked against the file's. Raises WeightsError."""
    try:
        record = archive.getinfo(name)
    except KeyError as error:
        raise file.damaged(f"the record {name} is missing") from error
    if record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1:
        raise file.damaged(f"the record {name} is packed, and torch packs nothing")
    if record.file_size != record.compress_size or record.header_offset + record.file_size > file.size:
        raise file.damaged(f"the record {name} claims {record.file_size} bytes")
    return record.file_size


def _record(file: ModelFile, archive: zipfile.ZipFile, name: str, *, most: int = 0, nbytes: int = 0) -> bytearray:
    """Return a record, or its first `nbytes`; its check sum is compared where all of it is read."""
    size = _size(file, archive, name)
    if most and size > most:
        raise file.damaged(f"the record {name} has {size} bytes: at most {most} are read")
    nbytes, found, at = nbytes or size, bytearray(nbytes or size), 0
    try:
        with archive.open(name) as record:
            while at < nbytes and (chunk := record.read(min(CHUNK, nbytes - at))):
                found[at : at + len(chunk)] = chunk
                at += len(chunk)
            record.read(0)
    except Exception as error:
        raise file.damaged(error) from error
    if at != nbytes:
        raise file.damaged(f"the record {name} ends too early")
    return found


# --- errors ------------------------------------------------------------------------------------------------------


def _guarded(file: ModelFile, reader: PickleReader) -> Any:
    """Return the next pickle's value. Raises WeightsError."""
    try:
        return reader.load()
    except RefusedError as error:
        raise WeightsError(
            f"{file.path}: asks to load {error}, which could run code: not loaded. "
            "Get the file from its author, saved with tensors and plain values only"
        ) from error
    except PickleError as error:
        raise _not_a_checkpoint(file, error) from error


def _not_a_checkpoint(file: ModelFile, reason: object) -> WeightsError:
    return WeightsError(
        f"{file.path}: is truncated or damaged, or not a torch checkpoint ({plain(str(reason))}): download it again"
    )


def _check_order(file: ModelFile, *, little: bool) -> None:
    if little != (sys.byteorder == "little"):
        raise WeightsError(
            f"{file.path}: was saved on a machine of the other byte order: save it again on one like this"
        )
