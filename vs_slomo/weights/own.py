"""Our own layout: a safetensors file whose metadata are a `ModelInfo`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

from vs_slomo.errors import WeightsError

from .info import decode
from .stored import HEADER, Contents, ModelFile, Storage, StoredTensor, contiguous, plain

DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
"""The format's names: torch's, and bytes a number."""
OTHER = 1
"""Bytes a number of a type that we do not know, and refuse later."""
MOST_TENSORS = 10_000
MOST_DIMENSIONS = 8


def read(file: ModelFile) -> Contents:
    """Return what a safetensors file holds; of the data nothing is read yet.

    The file is an eight-byte length, a JSON header of that length, and the data. Raises WeightsError.
    """
    length = int.from_bytes(file.read(0, 8), "little")
    if length > min(HEADER, file.size - 8):
        raise file.damaged(f"its header claims {length} bytes, the file has {file.size}")
    try:
        header = json.loads(file.read(8, length))
    except (ValueError, RecursionError) as error:
        raise file.damaged(f"its header is not JSON: {error}") from error
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise file.damaged("its header is not a list of tensors")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise file.damaged("its metadata are not text")
    tensors = {name: _tensor(file, name, entry, 8 + length) for name, entry in header.items()}
    return Contents(partial(_facts, file, metadata), tensors)


def _facts(file: ModelFile, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `ModelInfo` that the metadata give. Raises WeightsError."""
    if metadata.get("format") != "vs_slomo":
        raise WeightsError(
            f"{file.path}: has the tensors but not the metadata of a vs_slomo model: "
            "make it with `vs-slomo weights convert` from the original"
        )
    try:
        return decode(metadata)
    except KeyError as error:
        raise WeightsError(f"{file.path}: the metadata lack {error}: download it again") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(f"{file.path}: the metadata are wrong ({plain(str(error))}): download it again") from error


def _tensor(file: ModelFile, name: str, entry: object, start: int) -> StoredTensor:
    match entry:
        case {"dtype": str(code), "shape": [*sizes], "data_offsets": [int(begin), int(end)]} if len(
            sizes
        ) <= MOST_DIMENSIONS and all(type(n) is int and n >= 0 for n in sizes):
            pass
        case _:
            raise file.damaged(f"the entry {name!r} of its header is wrong")
    dtype, size = DTYPES.get(code, (code, OTHER))
    shape = tuple(sizes)
    if not 0 <= begin <= end <= file.size - start or (code in DTYPES and end - begin != prod(shape) * size):
        raise file.damaged(f"{name!r} claims bytes {begin} to {end} of {file.size - start}")
    storage = Storage(dtype, size, end - begin, partial(file.read, start + begin, end - begin))
    return StoredTensor(storage, shape, contiguous(shape))
