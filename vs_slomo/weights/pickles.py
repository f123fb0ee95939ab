"""A reader of the pickles in torch checkpoints that cannot run anything.

It imports nothing, calls nothing and builds no object of a class that the file names. It follows the opcodes that torch
writes and returns plain values, tensors that are still in their file (`SavedTensor`), and `Opaque` for everything else.
Names that are not on an allow-list are refused all the same: a checkpoint has no use for them.

Time and memory are bounded: bytes and steps are counted, and nested values are never compared, hashed or printed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pickletools import opcodes
from typing import Any

from .stored import plain

MOST_STEPS = 1_000_000
LONGEST_NAME = 256
MOST_ARGUMENTS = 16
MOST_DIMENSIONS = 64
LARGEST = 1 << 48
"""Of sizes, strides and offsets."""

STORAGES = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16),
    "QInt32Storage": ("qint32", 4),
    "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1),
    "UntypedStorage": ("uint8", 1),
}
"""torch's storage classes: the numbers' type, and bytes a number."""

REBUILD = "torch._utils._rebuild_tensor_v2"
ALLOWED = frozenset(
    f"{module}.{name}"
    for module, names in {
        "torch": (*STORAGES, "Size", "Tensor", "device", "strided", "sparse_coo", "sparse_csr"),
        "torch.storage": ("TypedStorage", "UntypedStorage"),
        "torch.nn.parameter": ("Parameter",),
        "torch.serialization": ("_get_layout",),
        "torch._tensor": ("_rebuild_from_type_v2",),
        "torch._utils": (
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_qtensor",
            "_rebuild_sparse_tensor",
            "_rebuild_nested_tensor",
            "_rebuild_meta_tensor_no_storage",
            "_rebuild_device_tensor_from_numpy",
            "_rebuild_device_tensor_from_cpu_tensor",
        ),
        "collections": ("OrderedDict", "Counter"),
        "_codecs": ("encode",),
        "builtins": ("bytearray", "set", "complex"),
        # What trainers save beside tensors and plain values.
        "argparse": ("Namespace",),
        "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
        "numpy": ("dtype", "ndarray"),
        "numpy.core.multiarray": ("_reconstruct", "scalar"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "pathlib": ("PosixPath", "WindowsPath"),
        "pathlib._local": ("PosixPath", "WindowsPath"),  # as Python 3.13 calls them
    }.items()
    for name in names
) | frozenset(
    f"torch.{name}"
    for name in (
        *("float64", "float32", "float16", "bfloat16", "complex64", "complex128", "bool"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz", "float8_e4m3fnuz", "float8_e8m0fnu"),
        *("qint8", "quint8", "qint32", "per_tensor_affine", "per_channel_affine"),
    )
)
"""All that a checkpoint may name. Nothing of it is imported or called."""
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules of Python 2, whose names pickles of protocol 2 have."""


class PickleError(ValueError):
    """A pickle that breaks the format, or holds what torch never writes."""


class RefusedError(ValueError):
    """A pickle that names what is not on the allow-list."""


class Opaque:
    """Stands for any value that nobody needs."""


@dataclass(frozen=True, eq=False)
class Name:
    """A class or a function that the pickle names."""

    name: str


@dataclass(frozen=True, eq=False)
class SavedStorage:
    """A storage that the pickle refers to. key: names it in the file. count: of numbers."""

    key: str
    dtype: str
    size: int
    count: int


@dataclass(frozen=True, eq=False)
class SavedTensor:
    """A view of a storage: see `stored.StoredTensor`."""

    storage: SavedStorage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


OPAQUE = Opaque()
_OPCODES = {opcode.code: opcode.name for opcode in opcodes}
_MARK = object()


class _Machine:
    """A pickle is a program for a machine with a stack and a memory. Each opcode has a method here."""

    def __init__(self, data: bytes | bytearray) -> None:
        self.data, self.at, self.steps = data, 0, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, SavedStorage] = {}

    # --- bytes ---

    def take(self, count: int) -> bytes:
        found = self.data[self.at : self.at + count]
        if len(found) != count:
            raise PickleError("it ends too early")
        self.at += count
        return bytes(found)

    def integer(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def line(self) -> str:
        end = self.data.find(b"\n", self.at, self.at + LONGEST_NAME)
        if end < 0:
            raise PickleError("it has a name that does not end")
        line = self.take(end - self.at)
        self.at += 1
        return line.decode()

    # --- the stack ---

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleError("a mark stands where a value should")
        return value

    def pop_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def push_tuple(self, count: int) -> None:
        self.stack.append(tuple(reversed([self.pop() for _ in range(count)])))

    def top(self) -> Any:
        return self.stack[-1]

    # --- opcodes ---

    def push_name(self) -> None:
        module, name = self.line(), self.line()
        full = f"{RENAMED.get(module, module)}.{name}"
        if full not in ALLOWED:
            raise RefusedError(plain(full))
        self.stack.append(Name(full))

    def text(self) -> None:
        self.stack.append(self.take(self.integer(4)).decode("utf-8", "surrogatepass"))

    def short_text(self) -> None:
        self.stack.append(self.take(self.integer(1)).decode("latin-1"))

    def put(self, count: int) -> None:
        self.memo[self.integer(count)] = self.top()

    def append(self) -> None:
        self.extend([self.pop()])

    def extend(self, items: list[Any]) -> None:
        if type(self.top()) is not list:
            raise PickleError("it appends to what is not a list")
        self.top().extend(items)

    def set_item(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_all([key, value])

    def set_all(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not dict or len(items) % 2:
            raise PickleError("it sets items of what is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is str:  # nobody looks for other keys, and to hash a nested tuple may take forever
                target[key] = value

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.stack.append(self.called(function, arguments))

    def new(self) -> None:
        arguments, kind = self.pop(), self.pop()
        if type(kind) is not Name or type(arguments) is not tuple:
            raise PickleError("it makes an object of what is not a class")
        self.stack.append({} if kind.name == "collections.OrderedDict" else OPAQUE)

    def build(self) -> None:
        self.pop()  # attributes: nobody needs them
        if type(self.top()) not in (dict, Opaque, SavedTensor):
            raise PickleError("it sets attributes of a plain value")

    def called(self, function: object, arguments: object) -> object:
        """Return what a call of a named function would give, as far as somebody needs it."""
        if type(function) is not Name or type(arguments) is not tuple:
            raise PickleError("it calls what is not a function")
        if len(arguments) > MOST_ARGUMENTS:
            raise PickleError(f"it calls a function with {len(arguments)} arguments")
        match function.name.rpartition(".")[2], arguments:
            case "OrderedDict", ():
                return {}
            case "OrderedDict", (list() as pairs,):  # as Python 2 wrote it
                self.steps += len(pairs)  # the same list may be given many times
                return {pair[0]: pair[1] for pair in pairs if _has_text_key(pair)}
            case "_rebuild_tensor" | "_rebuild_tensor_v2", (SavedStorage() as storage, offset, shape, stride, *_):
                return _tensor(storage, offset, shape, stride)
            case "_rebuild_parameter" | "_rebuild_parameter_with_state", (SavedTensor() as data, *_):
                return data
            case "_rebuild_from_type_v2", (Name() as rebuild, _, tuple() as inner, *_) if rebuild.name == REBUILD:
                return self.called(rebuild, inner)
        return OPAQUE

    def refer(self) -> None:
        """Find the storage that a persistent id names: ("storage", class, key, device, numbers in it, no view)."""
        reference = self.pop()
        if type(reference) is not tuple or len(reference) > MOST_ARGUMENTS:
            raise PickleError("it refers to what is not a storage")
        match reference:
            case ("storage", Name() as kind, str() as key, _, int() as count, *view) if kind.name.rpartition(".")[
                2
            ] in STORAGES and all(v is None for v in view):
                dtype, size = STORAGES[kind.name.rpartition(".")[2]]
            case _:
                raise PickleError("it refers to what is not a storage")
        if not 0 <= count < LARGEST:
            raise PickleError("it refers to a storage of impossible size")
        known = self.storages.setdefault(key, SavedStorage(key, dtype, size, count))
        if (known.dtype, known.count) != (dtype, count):
            raise PickleError("it describes a storage in two ways")
        self.stack.append(known)


def _has_text_key(pair: Any) -> bool:
    return type(pair) in (list, tuple) and len(pair) == 2 and type(pair[0]) is str


def _tensor(storage: SavedStorage, offset: Any, shape: Any, stride: Any) -> SavedTensor:
    if type(shape) is not tuple or type(stride) is not tuple or len(shape) + len(stride) > MOST_DIMENSIONS:
        raise PickleError("it has a tensor without a shape")
    if not all(type(n) is int and 0 <= n < LARGEST for n in (offset, *shape, *stride)):
        raise PickleError("it has a tensor of impossible size")
    return SavedTensor(storage, offset, shape, stride)


def _push(value: object) -> Any:
    def step(machine: _Machine) -> None:
        machine.stack.append(value)

    return step


_STEPS: dict[int, Any] = {
    ord(code): step
    for code, step in {
        "\x80": lambda m: m.take(1),  # PROTO
        "c": _Machine.push_name,
        "N": _push(None),
        "\x88": _push(value=True),
        "\x89": _push(value=False),
        ")": _push(()),
        "]": lambda m: m.stack.append([]),
        "}": lambda m: m.stack.append({}),
        "\x8f": _push(OPAQUE),  # EMPTY_SET
        "J": lambda m: m.stack.append(int.from_bytes(m.take(4), "little", signed=True)),
        "K": lambda m: m.stack.append(m.integer(1)),
        "M": lambda m: m.stack.append(m.integer(2)),
        "\x8a": lambda m: m.stack.append(int.from_bytes(m.take(m.integer(1)), "little", signed=True)),
        "G": lambda m: m.stack.append(struct.unpack(">d", m.take(8))[0]),
        "X": _Machine.text,
        "U": _Machine.short_text,
        "(": lambda m: m.stack.append(_MARK),
        "t": lambda m: m.stack.append(tuple(m.pop_mark())),
        "\x85": lambda m: m.push_tuple(1),
        "\x86": lambda m: m.push_tuple(2),
        "\x87": lambda m: m.push_tuple(3),
        "a": _Machine.append,
        "e": lambda m: m.extend(m.pop_mark()),
        "s": _Machine.set_item,
        "u": lambda m: m.set_all(m.pop_mark()),
        "h": lambda m: m.stack.append(m.memo[m.integer(1)]),
        "j": lambda m: m.stack.append(m.memo[m.integer(4)]),
        "q": lambda m: m.put(1),
        "r": lambda m: m.put(4),
        "R": _Machine.reduce,
        "\x81": _Machine.new,
        "b": _Machine.build,
        "Q": _Machine.refer,
    }.items()
}
"""What each opcode does, of those that torch writes."""


class PickleReader(_Machine):
    """Reads one pickle after the other from bytes. storages: those that the pickles refer to, by key."""

    def load(self) -> Any:
        """Return the value of the pickle that begins here, and go behind it. Raises PickleError and RefusedError."""
        self.stack, self.memo = [], {}
        try:
            while True:
                code = self.take(1)[0]
                self.steps += 1
                if self.steps > MOST_STEPS:
                    raise PickleError(f"it has more than {MOST_STEPS} steps")
                if code == ord("."):
                    return self.pop()
                step = _STEPS.get(code)
                if step is None:
                    raise PickleError(f"torch does not write {_OPCODES.get(chr(code), f'byte {code}')} in a pickle")
                step(self)
        except (IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
            raise PickleError(f"it is not a pickle: {type(error).__name__}") from error
