"""The idx format of the MNIST files: an n-dimensional array after a short header.

Header: 00 00, a type byte, a byte with the number of axes, then each axis as a
32-bit integer; the values follow, last axis fastest. All big-endian. Source: LeCun,
Cortes and Burges, "The MNIST database of handwritten digits" (its web page).
"""

import gzip
import math
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from jnets.errors import InputError

_DTYPES = {
    code: np.dtype(name)
    for code, name in {
        0x08: "u1",
        0x09: "i1",
        0x0B: ">i2",
        0x0C: ">i4",
        0x0D: ">f4",
        0x0E: ">f8",
    }.items()
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_AXES = 64  # what a NumPy array can have
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an idx file, plain or gzip (told by content, not by name).

    Returns a writable array in native byte order with the file's type: uint8, int8,
    int16, int32, float32 or float64. Raises InputError for a file that is missing or
    unreadable, is not idx, is cut short, goes on after its data, or is a damaged
    gzip. Never holds more than the header announces, whatever a gzip unpacks to.
    """
    try:
        with _open(path) as stream:
            dtype, shape = _read_header(path, stream)
            values = _read_values(path, stream, dtype.itemsize * math.prod(shape))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: damaged gzip file ({error}); get the file again"
        ) from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error})"
        ) from None
    try:
        array = np.ndarray(shape, dtype, buffer=values)
    except ValueError as error:  # an empty array with axes beyond the address space
        raise InputError(f"{path}: shape {shape} is impossible ({error})") from None
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes `array` as an idx file, gzip if the name ends in .gz.

    The file appears whole or not at all. The type must be one that `read_idx`
    returns; anything else raises InputError.
    """
    path, array = Path(path), np.asarray(array)
    dtype = array.dtype.newbyteorder(">")
    if dtype not in _CODES:
        names = ", ".join(str(each.newbyteorder("=")) for each in _CODES)
        raise InputError(f"array: dtype {array.dtype} has no idx type; use {names}")
    header = bytes((0, 0, _CODES[dtype], array.ndim))
    content = header + struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(dtype).tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    _write_whole(path, content)


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[BufferedIOBase]:
    with open(path, "rb") as raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream
        else:
            yield raw


def _read_header(path, stream: BufferedIOBase) -> tuple[np.dtype, tuple[int, ...]]:
    magic = _read_up_to(stream, 4)
    if magic[:2] != bytes(len(magic[:2])) or not (
        len(magic) < 3 or magic[2] in _DTYPES
    ):
        raise InputError(
            f"{path}: not an idx file: begins with {magic.hex(' ')}, expected 00 00 "
            f"and a type of {', '.join(f'{code:02x}' for code in _DTYPES)}"
        )
    axes = magic[3] if len(magic) == 4 else 0
    if axes > _MAX_AXES:
        raise InputError(f"{path}: {axes} axes, at most {_MAX_AXES} expected")
    sizes = _read_up_to(stream, 4 * axes)
    if len(magic) + len(sizes) < 4 + 4 * axes:
        raise InputError(
            f"{path}: truncated header: {4 + 4 * axes} bytes expected, "
            f"{len(magic) + len(sizes)} found"
        )
    return _DTYPES[magic[2]], struct.unpack(f">{axes}I", sizes)


def _read_values(path, stream: BufferedIOBase, expected: int) -> bytearray:
    # One byte more is asked for, so that a gzip stream runs to its checksum.
    values = _read_up_to(stream, expected + 1)
    if len(values) < expected:
        raise InputError(
            f"{path}: truncated data: {expected} bytes expected, {len(values)} found"
        )
    if len(values) > expected:
        raise InputError(
            f"{path}: trailing bytes after the {expected} data bytes expected"
        )
    return values


def _read_up_to(stream: BufferedIOBase, count: int) -> bytearray:
    """`count` bytes or all there are. In chunks: a header may announce terabytes."""
    found = bytearray()
    while len(found) < count:
        chunk = stream.read(min(count - len(found), _CHUNK))
        if not chunk:
            break
        found += chunk
    return found


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error})"
        ) from None
