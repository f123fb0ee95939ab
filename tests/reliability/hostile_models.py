"""Makes hostile model files, and reads each in a process of its own that is watched.

    python tests/reliability/hostile_models.py --count 3000

A file is made from a number, so that one that did harm can be made again: `--first N --count 1`. One process imports
torch and forks a child for every file; the child reads the header, then the weights. What is right is a model or a
WeightsError from both, within `SECONDS` and `MEGABYTES`. Everything else is printed, with its number.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import random
import re
import signal
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

SECONDS, MEGABYTES = 10, 1000
"""Of the processor, so that a busy machine does not decide."""
WAIT = 120
"""Seconds by the clock in which nothing was done: for what waits, and not for a machine that is busy."""
KILL = 2500
"""Megabytes at which a child is ended, so that the machine does not suffer."""

Rng = random.Random


# --- what files are made of ---------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """Return the opcode of a text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def whole(value: int) -> bytes:
    """Return the opcode of an integer."""
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def name(full: str) -> bytes:
    """Return the opcode of a name, "module name"."""
    module, _, own = full.rpartition(" ")
    return f"c{module}\n{own}\n".encode()


def tuple_of(*parts: bytes) -> bytes:
    """Return the opcodes of a tuple."""
    return b"(" + b"".join(parts) + b"t"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    """Return the opcodes of a storage of the file, in a zip archive; `legacy` adds what the older layout has."""
    return tuple_of(text("storage"), name(f"torch {kind}"), text(key), text("cpu"), whole(count)) + b"Q"


def tensor(key: str, count: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """Return the opcodes of a tensor."""
    arguments = tuple_of(
        storage(key, count),
        whole(offset),
        tuple_of(*map(whole, shape)),
        tuple_of(*map(whole, stride)),
        b"\x89",
        name("collections OrderedDict") + b")R",
    )
    return name("torch._utils _rebuild_tensor_v2") + arguments + b"R"


def zipped(records: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive of records under "archive/"."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind, compresslevel=1) as archive:
        for own, data in records.items():
            archive.writestr(f"archive/{own}", data)
    return file.getvalue()


def legacy(content: bytes, keys: bytes = b"]", data: bytes = b"") -> bytes:
    """Return a file as torch wrote it before its zip archives. content, keys: opcodes."""
    content = content.replace(b"tQ", b"NtQ")  # a reference to a storage says of what other one it is a view
    machine = (
        b"}(" + text("little_endian") + b"\x88" + text("protocol_version") + whole(1001) + text("type_sizes") + b"}u"
    )
    parts = [whole(0x1950A86A20F9469CFC6C), whole(1001), machine, content, keys]
    return b"".join(b"\x80\x02" + part + b"." for part in parts) + data


def either(content: bytes) -> Callable[[Rng], bytes]:
    """Return a maker of a checkpoint of either layout with this content."""

    def make(rng: Rng) -> bytes:
        if rng.random() < 0.5:
            return zipped({"data.pkl": b"\x80\x02" + content + b".", "data/0": b"\0" * 64})
        return legacy(content, b"]" + text("0") + b"a", (16).to_bytes(8, "little") + b"\0" * 64)

    return make


def checkpoint(first: bytes, beside: bytes = b"") -> bytes:
    """Return opcodes of both state dicts, with `first` as the first entry of each; beside: of further items."""
    return b"}(" + b"".join(text(key) + b"}" + first for key in ("state_dictFC", "state_dictAT")) + beside + b"u"


HUGE = (0, 1, 2**31 - 1, 2**32, 2**40, 2**48, 2**62, 2**63 - 1, 2**63, 2**64, 10**18, 10**40, -1, -(2**63))
NUMBERS = ("1e99999999", "-1e99999999", "9" * 5000, "1/0", "0/0", "1e-99999999", "nan", "inf", "1/3", "٣", "0x10", "")
NUMBERS += ("1" + "0" * 39, "1/" + "9" * 3000, "2" * 100_000, "[" * 50_000, "[" * 50_000 + "]" * 50_000, "null", "{}")


class Valid:
    """Small files that load, to start from; made once."""

    def __init__(self) -> None:
        import torch
        from safetensors.torch import save

        from vs_slomo.model.superslomo import SuperSloMo

        torch.manual_seed(0)
        self.model = SuperSloMo(1)
        self.metadata = {
            "format": "vs_slomo",
            "name": "x",
            "version": "1",
            "licence": "MIT",
            "flow": "unet",
            "training": "{}",
            "width": "1",
            "scale": "1.0",
            "mean": "[0.4, 0.4, 0.4]",
            "last_activation": "true",
            "levels": "1",
        }
        self.tensors = {key: value.half() for key, value in self.model.state_dict().items()}
        self.own = save(self.tensors, self.metadata)
        self.zip, self.legacy = (self.saved(self.nets(), zipped=z) for z in (True, False))

    def nets(self) -> dict[str, object]:
        """Return the public checkpoint's content."""
        nets = {"state_dictFC": self.model.flow_net, "state_dictAT": self.model.interp_net}
        return {key: dict(net.state_dict()) for key, net in nets.items()}

    @staticmethod
    def saved(content: object, *, zipped: bool) -> bytes:
        """Return what torch writes."""
        import torch

        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        return file.getvalue()

    def header(self) -> tuple[dict[str, object], bytes]:
        """Return the header of our own format, and the data."""
        length = int.from_bytes(self.own[:8], "little")
        return json.loads(self.own[8 : 8 + length]), self.own[8 + length :]


# --- kinds of harm ------------------------------------------------------------------------------------------------


def with_header(header: object, data: bytes, claim: int | None = None) -> bytes:
    """Return a safetensors file."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(encoded) if claim is None else claim).to_bytes(8, "little", signed=False) + encoded + data


def own_claims(rng: Rng, valid: Valid) -> bytes:
    """A header whose sizes, types or offsets are not what the file has."""
    header, data = valid.header()
    entry = header[rng.choice([key for key in header if key != "__metadata__"])]
    match rng.randrange(7):
        case 0:
            entry["data_offsets"] = [rng.choice(HUGE), rng.choice(HUGE)]
        case 1:
            entry["shape"] = [rng.choice(HUGE) for _ in range(rng.choice((0, 1, 4, 9, 100_000)))]
        case 2:
            entry["dtype"] = rng.choice(["F64", "F8_E5M2", "C64", "", "x" * 100_000, 5, None, ["F16"]])
        case 3:
            entry["shape"] = rng.choice([None, "4", {"a": 1}, [[4]], [4.0], [True], 4])
        case 4:
            return with_header(header, data, rng.choice([n for n in HUGE if 0 <= n < 2**64]))
        case 5:
            return with_header(header, data[: rng.randrange(len(data))])
        case 6:
            header = {**header, **{f"x{i}": entry for i in range(rng.choice((1, 20_000)))}}
    return with_header(header, data)


def own_metadata(rng: Rng, valid: Valid) -> bytes:
    """Metadata with numbers that take forever, or text that does harm when it is shown."""
    header, data = valid.header()
    metadata = header["__metadata__"]
    field = rng.choice(
        ["width", "scale", "scale", "scale", "mean", "last_activation", "levels", "training", "name", "fusion", "flow"]
    )
    values = (*NUMBERS, "\x1b[2J", "x" * 1_000_000, "\u2028", " ", '{"a":' * 20_000, "[1e999, 1, 1]", "[[1], 2, 3]")
    metadata[field] = rng.choice(values)
    if rng.random() < 0.1:
        header["__metadata__"] = rng.choice([5, [], {"a": 1}, {"width": ["1"]}, None, "x"])
    return with_header(header, data)


def own_json(rng: Rng, valid: Valid) -> bytes:
    """A header that is JSON of the worst kind, or none."""
    _, data = valid.header()
    deep = rng.choice((100, 10_000, 1_000_000))
    kind = rng.choice(
        [b"[" * deep, b'{"a":' * deep, b"{" + b" " * deep, b'{"a":' + b"9" * deep + b"}", b"{" + b"\xff" * 9]
    )
    return with_header(b'{"x":' + kind if not kind.startswith(b"{") else kind, data)


def packed(byte: bytes, megabytes: int) -> bytes:
    """Return so many megabytes of one byte as a deflated stream."""
    packer = zlib.compressobj(wbits=-15)
    piece = packer.compress(byte * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * megabytes + packer.flush(zlib.Z_FINISH)


def bomb(rng: Rng, valid: Valid) -> bytes:
    """A zip archive whose packed records are a thousand times larger than the file."""
    size = rng.choice((100, 3000))
    with zipfile.ZipFile(io.BytesIO(valid.zip)) as archive:
        records = {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}
    which = rng.choice(["data.pkl", rng.choice([*records])])
    data = packed(rng.choice([b"\0", b"N", b"]"]), size)
    records[which] = data
    content = bytearray(zipped(records))
    # Say that the record is packed, in its own header and in the list: method, and sizes before and after.
    for head, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        found = 0
        while (found := content.find(head, found + 1)) >= 0:
            names_at = found + (30 if at == 8 else 46)
            if content[names_at : names_at + len(which) + 8] == f"archive/{which}".encode():
                content[found + at : found + at + 2] = b"\x08\0"
                content[found + at + 14 : found + at + 18] = struct.pack("<I", size << 20)
    return bytes(content)


def zip_directory(rng: Rng, valid: Valid) -> bytes:
    """A list of records that lies: sizes, places, names, flags, a claim of billions of records."""
    content = bytearray(valid.zip)
    places = [found.start() for found in re.finditer(b"PK\x01\x02|PK\x05\x06|PK\x06\x06|PK\x06\x07", content)]
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice(places) + 4 + rng.randrange(42)
        value = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", rng.randbytes(4)])
        content[at : at + 4] = value
    if rng.random() < 0.2:
        end = content.rindex(b"PK\x05\x06")
        content[end:end] = rng.randbytes(rng.choice((10, 5_000_000)))
    return bytes(content)


def many_records(rng: Rng, _valid: Valid) -> bytes:
    """A zip archive of very many records."""
    count = rng.choice((1000, 20_000))
    return zipped({"data.pkl": b"\x80\x02}.", **{f"data/{i}": b"" for i in range(count)}})


def large_storages(rng: Rng, _valid: Valid) -> bytes:
    """A few bytes that claim gigabytes."""
    count = rng.choice([n for n in HUGE if n >= 0])
    kind = rng.choice(("FloatStorage", "DoubleStorage", "UntypedStorage", "ByteStorage", "HalfStorage"))
    content = checkpoint(text("conv1.weight") + storage("0", count, kind) + b"s")
    keys = b"]" + text("0") + b"a"
    if rng.random() < 0.5:
        return legacy(content, keys, (count % 2**64).to_bytes(8, "little") + b"\0" * rng.choice((0, 64)))
    return zipped({"data.pkl": b"\x80\x02" + content + b".", "data/0": b"\0" * 64})


def expanded(rng: Rng, _valid: Valid) -> bytes:
    """Tensors of billions of elements over one number, or that reach beyond their storage."""
    dimensions = rng.choice((1, 4, 64, 5000))
    shape = tuple(rng.choice((1, 2, 1000, 10**9, *HUGE)) for _ in range(dimensions))
    stride = tuple(rng.choice((0, 0, 0, 1, *HUGE)) for _ in range(dimensions if rng.random() < 0.9 else 1))
    made = tensor("0", 16, shape, stride, rng.choice((0, 0, 15, 16, *HUGE)))
    return either(checkpoint(text(rng.choice(("conv1.weight", "module.conv1.weight"))) + made + b"s"))(rng)


def all_expanded(rng: Rng, valid: Valid) -> bytes:
    """Every tensor right in name and shape, over one number."""
    import torch

    number = torch.full((1,), rng.choice((0.0, 1.0, 1e30, 1e300)), dtype=torch.float64)
    content = {
        key: {own: number.expand(value.shape) for own, value in net.items()} for key, net in valid.nets().items()
    }
    return valid.saved(content, zipped=rng.random() < 0.5)


def nested(rng: Rng, _valid: Valid) -> bytes:
    """Values nested so deeply, or so often, that to hash, compare or show them never ends."""
    deep = rng.choice((5000, 300_000))
    value = rng.choice(
        [
            b")" + b"\x85" * deep,  # ((((...))))
            b")" + b"q\x00h\x00\x86" * deep,  # twice the one before, each time
            b"]" * deep + b"a" * (deep - 1),
            b"}" + (text("a") + b"}") * deep + b"s" * deep,
            b"]q\x00h\x00a",  # itself
        ]
    )
    use = rng.choice((0, 0, 1, 1, 2, 3))
    if use == 0:
        content = b"}" + value + b"Ns"
    elif use == 1:
        content = checkpoint(value + b"Ns")
    elif use == 2:
        fields = ("scale", "mean", "last_activation", "width")
        content = checkpoint(b"", text(rng.choice(fields)) + value)
    else:
        content = name(rng.choice(("torch Size", "builtins set", "collections Counter"))) + tuple_of(value) + b"R"
    return either(content)(rng)


def repeated(rng: Rng, _valid: Valid) -> bytes:
    """A long value used very often: what walks it each time never ends."""
    count = rng.choice((1000, 100_000))
    wide = b"(" + b"N" * count + b"tq\x00"
    again = rng.choice(
        [
            name("collections OrderedDict") + b"h\x00R0",
            name("torch._utils _rebuild_tensor_v2") + b"h\x00R0",
            name("builtins set") + b"h\x00\x85R0",
            b"h\x00Q0",
            b"]h\x00e0",
            name("torch Size") + b"h\x00\x85R",
        ]
    )
    pairs = b"](" + (text("k") + b"N\x86") * count + b"eq\x01"
    if rng.random() < 0.4:
        return either(wide + pairs + (name("collections OrderedDict") + b"h\x01\x85R") * count)(rng)
    return either(wide + again * rng.choice((10, 50_000)) + b"N")(rng)


def opcodes(rng: Rng, _valid: Valid) -> bytes:
    """A program of random opcodes, most of them with arguments that fit."""
    steps = [
        b"N",
        b"\x88",
        b")",
        b"]",
        b"}",
        b"(",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"\x81",
    ]
    steps += [b"b", b"Q", b"h\x00", b"q\x00", b"q\x01", b"h\x01", b"K\x05", b"j\0\0\0\0", b"0", b"2", b"\x8f", b"\x94"]
    steps += [text("state_dictFC"), text("storage"), text("0"), whole(rng.choice(HUGE) % 2**63), whole(3)]
    steps += [
        storage("0", 16),
        tensor("0", 16, (4,), (1,)),
        name("collections OrderedDict"),
        name("torch FloatStorage"),
    ]
    steps += [
        name(full) for full in ("torch Size", "torch.nn.parameter Parameter", "builtins bytearray", "torch Tensor")
    ]
    steps += [
        name("torch._utils _rebuild_sparse_tensor"),
        name("torch._utils _rebuild_nested_tensor"),
        b"G" + b"\x7f" * 8,
    ]
    program = b"".join(rng.choice(steps) for _ in range(rng.choice((5, 50, 2000))))
    return either(program)(rng)


def allowed_calls(rng: Rng, _valid: Valid) -> bytes:
    """Calls of harmless names with arguments that make them harmful: a gigabyte of zeros, a nested tensor."""
    size = rng.choice((10**9, 10**12, 2**62))
    content = rng.choice(
        [
            name("builtins bytearray") + tuple_of(whole(size)) + b"R",
            name("_codecs encode") + tuple_of(text("x" * 1_000_000), text("utf-32")) + b"R",
            name("builtins complex") + tuple_of(text("9" * 1_000_000)) + b"R",
            name("torch FloatStorage") + tuple_of(whole(size)) + b"R",
            name("torch Tensor") + tuple_of(whole(size)) + b"R",
            name("torch.nn.parameter Parameter") + tuple_of(whole(size)) + b"\x81",
            name("numpy ndarray") + tuple_of(tuple_of(whole(size))) + b"R",
            name("torch._utils _rebuild_meta_tensor_no_storage") + tuple_of(b"N", whole(size), b"N", b"\x89") + b"R",
            name("torch._utils _rebuild_nested_tensor") + tuple_of(tensor("0", 16, (4,), (1,)), *[b"N"] * 3) + b"R",
            name("collections Counter") + tuple_of(text("x" * 1_000_000)) + b"R",
        ]
    )
    return either(checkpoint(text("conv1.weight") + content + b"s", text("scale") + content))(rng)


def facts(rng: Rng, valid: Valid) -> bytes:
    """A whole checkpoint with nonsense where numbers should be."""
    import torch

    values = [
        torch.tensor(0.5),
        torch.tensor([0.1, 0.2, 0.3]),
        torch.ones(3, 3),
        torch.tensor(float("nan")),
        "x" * 100_000,
    ]
    values += [
        torch.ones(1).expand(10**6),
        torch.ones(0),
        torch.tensor([1], dtype=torch.int8),
        {"a": 1},
        [0.1] * 100_000,
    ]
    values += [2**2000, float("inf"), None, [[0.1], 0.2, 0.3], "0.5", True, torch.ones(2).to_sparse(), "1e99999999", ()]
    beside = {key: rng.choice(values) for key in rng.sample(["scale", "mean", "width", "last_activation"], 2)}
    return valid.saved(valid.nets() | beside, zipped=rng.random() < 0.5)


def overflow(rng: Rng, valid: Valid) -> bytes:
    """Weights that do not fit in the type they are cast to."""
    import torch

    content = valid.nets()
    net = content[rng.choice(list(content))]
    key = rng.choice(list(net))
    net[key] = torch.full(
        net[key].shape, rng.choice((1e300, -1e300, 1e39, 3.4e38, 65520.0, float("nan"))), dtype=torch.float64
    )
    return valid.saved(content, zipped=rng.random() < 0.5)


def other_tensors(rng: Rng, valid: Valid) -> bytes:
    """Tensors of kinds that are no weights."""
    import torch

    content = valid.nets()
    net = content[rng.choice(list(content))]
    key = rng.choice(list(net))
    value = net[key]
    kinds = [value.int(), value.to_sparse(), value.to(torch.complex64), value.to("meta"), value.to(torch.float8_e5m2)]
    kinds += [torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), value.unsqueeze(0), value.flatten(), "x", None]
    kinds += [torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])]
    net[key] = rng.choice(kinds)
    return valid.saved(content, zipped=rng.random() < 0.5)


def mutated(rng: Rng, valid: Valid) -> bytes:
    """A file that loads, with bytes changed, cut, doubled or mixed with another."""
    content = bytearray(rng.choice((valid.own, valid.zip, valid.legacy)))
    for _ in range(rng.choice((1, 3, 30))):
        reach = rng.choice((512, 8192, len(content)))
        at = rng.randrange(min(reach, len(content)))
        match rng.randrange(5):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at : at + 4] = rng.randbytes(4)
            case 2:
                content[at : at + rng.choice((1, 8, 100))] = b""
            case 3:
                content[at:at] = content[at : at + rng.choice((1, 50, 3000))]
            case 4:
                other = rng.choice((valid.own, valid.zip, valid.legacy))
                content[at : at + 64] = other[at : at + 64]
        if not content:
            break
    return bytes(content[: rng.randrange(len(content))] if rng.random() < 0.1 else content)


def noise(rng: Rng, _valid: Valid) -> bytes:
    """Random bytes behind the first ones of each layout."""
    heads = (b"\x80\x02", b"PK\x03\x04", b"\x20\0\0\0\0\0\0\0{", b"\xff" * 8 + b"{", b"<html", b"", b"\x80\x05\x95")
    return rng.choice(heads) + rng.randbytes(rng.choice((0, 10, 1000, 100_000)))


BYTES = (
    own_claims,
    own_metadata,
    own_json,
    bomb,
    zip_directory,
    many_records,
    large_storages,
    expanded,
    all_expanded,
    nested,
    repeated,
    opcodes,
    allowed_calls,
    facts,
    overflow,
    other_tensors,
    mutated,
    mutated,
    noise,
)
"""Makers of a file's bytes."""


def sparse(rng: Rng, valid: Valid, path: Path) -> None:
    """A file of huge size that takes no room on the disk."""
    size = rng.choice((2**31, 2**36, 2**40))
    content = rng.choice([valid.own, valid.zip, valid.legacy, b"", b"\x80\x02"])
    if rng.random() < 0.5:
        header, _ = valid.header()
        shape = [2**29] if rng.random() < 0.5 else [size // 4]
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * shape[0]]}
        every = {key: entry for key in header if key != "__metadata__"} | {"__metadata__": header["__metadata__"]}
        content = with_header(every, b"") if rng.random() < 0.7 else with_header(b"{", b"", size - 9)
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(size)
        if content == valid.zip and rng.random() < 0.5:
            file.seek(size - len(content))
            file.write(content)


def special(rng: Rng, valid: Valid, path: Path) -> None:
    """What is not a regular file, never a device: a pipe, a folder, a link to one or to itself."""
    match rng.randrange(5):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(path.name)
        case 3:
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to("pipe")
        case 4:
            path.with_name("real").write_bytes(valid.own)
            path.symlink_to("real")


def make(number: int, valid: Valid, path: Path) -> str:
    """Make the hostile file of this number; return its kind."""
    rng = Rng(number)
    kind = rng.randrange(len(BYTES) + 2)
    if kind < len(BYTES):
        path.write_bytes(BYTES[kind](rng, valid))
        return BYTES[kind].__name__
    maker = (sparse, special)[kind - len(BYTES)]
    maker(rng, valid, path)
    return maker.__name__


# --- the watch ----------------------------------------------------------------------------------------------------


def read(path: Path) -> str:
    """Return what came of reading a file: "loaded", "refused", or what is wrong."""
    from vs_slomo import weights
    from vs_slomo.errors import WeightsError

    results = []
    for function in (weights.read_info, weights.load):
        try:
            found = function(path)
            results.append(found[0 if function is weights.read_info else 1] if isinstance(found, tuple) else found)
        except WeightsError as error:
            message = str(error)
            if len(message) > 2000 or not message.isprintable():
                return f"a message of {len(message)} characters, or that controls the terminal"
            results.append(None)
        except BaseException as error:  # noqa: BLE001  # this is what is looked for
            return f"{function.__name__}: {type(error).__name__}: {str(error)[:100]!r}"
    header, loaded = results
    if loaded is None:
        return "refused"
    return "loaded" if header == loaded else f"read_info says {header}, load {loaded}"


def watched(path: Path) -> tuple[str, float, float]:
    """Read a file in a child; return what came of it, its seconds, and its megabytes at most."""
    parent, child = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the parent's peak
        os.write(child, read(path).encode()[:4000])
        os._exit(0)
    os.close(child)
    most, ended, worked = 0.0, "", 0.0
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        most = max(most, memory(pid))
        if used(pid) > worked:
            worked, began = used(pid), time.monotonic()
        if used(pid) > SECONDS or time.monotonic() - began > WAIT or most > KILL:
            ended = f"ended after {used(pid):.0f} s, {time.monotonic() - began:.0f} waiting, at {most:.0f} MB"
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            break
        time.sleep(0.005)
    seconds, most = used(pid), max(most, memory(pid))
    _, status = os.waitpid(pid, 0)
    result = os.read(parent, 4096).decode()
    os.close(parent)
    if not ended and status:
        ended = f"died of signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit status {status}"
    if not ended and most > MEGABYTES:
        ended = f"took {most:.0f} MB"
    return ended or result, seconds, most


def used(pid: int) -> float:
    """Return the seconds of the processor that a process has had, one that has ended but was not waited for too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Return the most memory that a process has had, in megabytes; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1000 if found else 0.0


def tried(first: int, count: int) -> Iterator[tuple[int, str, str, float, float]]:
    """Yield number, kind, result, seconds and megabytes of each hostile file."""
    import warnings

    import torch

    from vs_slomo import weights

    warnings.simplefilter("ignore")  # some kinds of tensors are on their way out
    torch.set_num_threads(1)
    weights.load("bundled")  # imports all that a child needs
    valid = Valid()
    for number in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.pt"
            kind = make(number, valid, path)
            yield number, kind, *watched(path)


def main() -> int:
    """Try files, and print what did harm and a count of the rest."""
    parser = argparse.ArgumentParser(description="hostile model files, each read in a process of its own")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    longest = largest = 0.0
    for number, kind, result, seconds, megabytes in tried(arguments.first, arguments.count):
        right = result in ("loaded", "refused")
        counts[kind][result if right else "wrong"] += 1
        longest, largest = max(longest, seconds), max(largest, megabytes)
        if not right:
            print(f"{number} ({kind}): {result}", flush=True)  # noqa: T201
    for kind, found in sorted(counts.items()):
        print(f"{kind:16} {dict(found)}")  # noqa: T201
    total = sum(counts.values(), collections.Counter())
    print(f"{dict(total)}, at most {longest:.1f} s and {largest:.0f} MB")  # noqa: T201
    return int(bool(total["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
