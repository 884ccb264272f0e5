"""Files of torch.save made opcode by opcode: no PyTorch, and no code under test."""

import io
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

EMPTY = b"ccollections\nOrderedDict\n)R"
KINDS = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


class Raw(NamedTuple):
    """Opcodes as they are."""

    code: bytes


class Stored(NamedTuple):
    """A tensor as the pickle describes it: all of its numbers are in elements."""

    key: str
    kind: str
    numel: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    view: tuple[str, int, int] | None = None
    legacy: bool = False
    parameter: bool = False
    function: str = "_rebuild_tensor_v2"


def code(value: Any) -> bytes:
    """The opcodes that push `value`: text, whole numbers, None, and what holds them."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Stored):
        return tensor(value)
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        text = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(text)]) + text
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(map(code, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(code, value)) + b"e"
    items = b"".join(code(k) + code(v) for k, v in value.items())
    return b"}(" + items + b"u"


def tensor(t: Stored) -> bytes:
    storage = (
        "storage",
        Raw(f"ctorch\n{t.kind}\n".encode()),
        t.key,
        "cuda:0",  # where it was does not matter
        t.numel,
        *([t.view] if t.legacy else []),
    )
    arguments = [Raw(code(storage) + b"Q"), t.offset, t.size, t.stride]
    if t.function == "_rebuild_tensor_v2":
        arguments += [False, Raw(EMPTY)]
    built = f"ctorch._utils\n{t.function}\n".encode() + code(tuple(arguments)) + b"R"
    if t.parameter:
        rest = (Raw(built), True, Raw(EMPTY))
        built = b"ctorch._utils\n_rebuild_parameter\n" + code(rest) + b"R"
    return built


def program(value: Any) -> bytes:
    return b"\x80\x02" + code(value) + b"."


def ordered(items: dict[str, Any], attributes: bool = True) -> Raw:
    """An OrderedDict, with the attribute that a module's state dict has."""
    pairs = b"".join(code(k) + code(v) for k, v in items.items())
    extra = code({"_metadata": {"": {"version": 1}}}) + b"b" if attributes else b""
    return Raw(EMPTY + b"(" + pairs + b"u" + extra)


def contiguous(key: str, array: np.ndarray, **options: Any) -> Stored:
    strides = tuple(s // array.itemsize for s in array.strides)
    kind = KINDS[array.dtype.str[1:]]
    return Stored(key, kind, array.size, 0, array.shape, strides, **options)


def archive(
    value: Any,
    storages: dict[str, bytes],
    *,
    root: str = "archive",
    order: str | None = "little",
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The form since 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as members:
        members.writestr(f"{root}/data.pkl", program(value))
        if order is not None:
            members.writestr(f"{root}/byteorder", order)
        for key, data in storages.items():
            members.writestr(f"{root}/data/{key}", data)
        members.writestr(f"{root}/version", "3\n")
    return file.getvalue()


def stream(
    value: Any,
    storages: dict[str, tuple[int, bytes]],
    *,
    magic: int = 0x1950A86A20F9469CFC6C,
    protocol: int = 1001,
    little: bool = True,
) -> bytes:
    """The form before: `storages` has (numel, bytes) by key."""
    system = {"protocol_version": protocol, "little_endian": little}
    head = (magic, protocol, system, value, list(storages))
    data = [struct.pack("<q", n) + raw for n, raw in storages.values()]
    return b"".join(map(program, head)) + b"".join(data)
