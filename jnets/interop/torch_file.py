"""Files of tensors as PyTorch writes them, without PyTorch and without running them.

Both forms of `torch.save` are read: the archive (zip, since PyTorch 1.6) and the
stream of pickles before it. A pickle is a program. Here every name that it asks for
becomes a `_Name`, which can only note down what a tensor is made of; a name that is
not part of a table of tensors is refused before anything is called.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jnets.errors import InputError

STORAGES: dict[str, np.dtype] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
# The first pickle of the stream form, and the version of the form in the second.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage(NamedTuple):
    """A run of `numel` numbers under a key; `view` is (first, numel) of a part."""

    key: str
    dtype: np.dtype
    numel: int
    view: tuple[int, int]


class Tensor(NamedTuple):
    """What a tensor is made of, counted in elements of its storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class State(dict):
    """An OrderedDict of the file. What it has besides its items is ignored."""

    def __setstate__(self, state: Any) -> None:
        del state


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(
        type(v) is int and v >= 0 for v in values
    ):
        raise pickle.UnpicklingError("sizes or strides that are not counts")
    return values


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    size, stride, (offset,) = _counts(size), _counts(stride), _counts((offset,))
    if len(size) > 32 or math.prod(size) > 2**48:
        raise pickle.UnpicklingError("a tensor of impossible size")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.view[1]:
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    return Tensor(storage, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


# What a file of tensors may ask for, and what is made of it.
NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): State,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Name:
    """A name of `NAMES` or `STORAGES` as the pickle sees it: cannot be changed."""

    __slots__ = ("_build", "dtype")

    def __init__(self, build: Callable[..., Any] | None, dtype: np.dtype | None):
        self._build, self.dtype = build, dtype

    def __call__(self, *arguments: Any) -> Any:
        if self._build is None:
            raise pickle.UnpicklingError("a storage that is called")
        return self._build(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a name that is changed")


class _Unpickler(pickle._Unpickler):
    """Reads one pickle; `storages` has what its tensors lie in, by key.

    The unpickler in Python, because the one in C keeps its memo in an array, which one
    wrong index in a damaged file makes gigabytes long.
    """

    def __init__(self, file: IO[bytes]):
        # Names in files written by Python 2 are bytes.
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if module == "torch" and name in STORAGES:
            return _Name(None, STORAGES[name])
        if (module, name) in NAMES:
            return _Name(NAMES[module, name], None)
        raise InputError(
            f"holds {module}.{name}, which is not a tensor and is never loaded: "
            f"save the state_dict alone"
        )

    def persistent_load(self, pid: Any, /) -> Storage:
        kind, name, key, _, numel, *rest = pid
        if kind != "storage" or not isinstance(name, _Name) or name.dtype is None:
            raise pickle.UnpicklingError("a reference that is not to a storage")
        key, (numel,) = str(key), _counts((numel,))
        view = (0, numel)
        if rest and rest[0] is not None:  # (key of the part, first, numel)
            view = _counts(rest[0][1:])
            if len(view) != 2 or sum(view) > numel:
                raise pickle.UnpicklingError("a part that reaches beyond its storage")
        storage = Storage(key, name.dtype, numel, view)
        known = self.storages.setdefault(key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise pickle.UnpicklingError("one storage described in two ways")
        return storage


def read_torch(path: Path) -> Any:
    """What `torch.save` put into the file, with its tensors as arrays.

    Tensors become arrays where they stand in a dictionary, or in a dictionary in it.
    The arrays are read-only views of the storages: tensors that share memory in the
    file share it here, and nothing is copied. Errors: InputError, without the path,
    for a file that PyTorch did not write, one that is cut short, one of another byte
    order, and one that holds anything but tensors and plain values.
    """
    try:
        read = _read_archive if zipfile.is_zipfile(path) else _read_stream
        content, data = read(path)
        if not isinstance(content, dict):
            raise InputError(f"holds a {type(content).__name__}, no table of tensors")
        return _arrays(content, data, levels=2)
    except (InputError, OSError):
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"is damaged or no file of torch.save ({why})") from error


def _read_archive(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        members = {m.filename: m for m in archive.infolist()}

        def record(name: str) -> bytes:
            # torch.save never compresses: no small file may swell in memory.
            if name not in members:
                raise InputError(f"is damaged: it lacks its member {name}")
            if members[name].compress_type != zipfile.ZIP_STORED:
                raise InputError(f"has a compressed member {name}: not by torch.save")
            return archive.read(name)

        roots = [n.removesuffix("data.pkl") for n in members if n.endswith("/data.pkl")]
        if len(roots) != 1:
            raise InputError("is an archive, but not one of torch.save")
        (root,) = roots
        if f"{root}byteorder" in members and record(f"{root}byteorder") != b"little":
            raise InputError("is big-endian: save it on a little-endian machine")
        unpickler = _Unpickler(io.BytesIO(record(f"{root}data.pkl")))
        content = unpickler.load()
        data = {
            key: _checked(record(f"{root}data/{key}"), storage)
            for key, storage in unpickler.storages.items()
        }
    return content, data


def _read_stream(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with path.open("rb") as file:
        if _Unpickler(file).load() != MAGIC:
            raise InputError("is not a file of torch.save")
        if _Unpickler(file).load() != PROTOCOL:
            raise InputError("is of an unknown version of torch.save")
        if not _Unpickler(file).load()["little_endian"]:
            raise InputError("is big-endian: save it on a little-endian machine")
        unpickler = _Unpickler(file)
        content = unpickler.load()
        data = {}
        for key in map(str, _Unpickler(file).load()):
            storage = unpickler.storages[key]
            if int.from_bytes(file.read(8), "little") != storage.numel:
                raise InputError(f"is damaged: storage {key} has another length")
            length = storage.numel * storage.dtype.itemsize
            # Against the length of the file first: a wrong one could be any number.
            left = path.stat().st_size - file.tell()
            data[key] = _checked(file.read(min(length, left)), storage)
    return content, data


def _checked(data: bytes, storage: Storage) -> np.ndarray:
    wanted = storage.numel * storage.dtype.itemsize
    if len(data) != wanted:
        raise InputError(f"is cut short: {len(data)} bytes of a tensor's {wanted}")
    return np.frombuffer(data, storage.dtype)


def _arrays(content: dict, data: Mapping[str, np.ndarray], levels: int) -> dict:
    def convert(value: Any) -> Any:
        if isinstance(value, dict) and levels > 1:
            return _arrays(value, data, levels - 1)
        return _array(value, data) if isinstance(value, Tensor) else value

    return {key: convert(value) for key, value in content.items()}


def _array(tensor: Tensor, data: Mapping[str, np.ndarray]) -> np.ndarray:
    first, numel = tensor.storage.view
    run = data[tensor.storage.key][first : first + numel][tensor.offset :]
    strides = tuple(s * run.itemsize for s in tensor.stride)
    return np.lib.stride_tricks.as_strided(run, tensor.size, strides, writeable=False)


def write_torch(file: IO[bytes], tensors: Mapping[str, np.ndarray]) -> None:
    """Write an archive that `torch.load(file, weights_only=True)` reads as a state
    dict: an OrderedDict of tensors on the CPU, each with a storage of its own. The
    dtypes must be among `STORAGES`.
    """
    names = {dtype: name for name, dtype in STORAGES.items()}
    # Opcodes by hand: a Pickler would have to import torch to name its functions.
    empty = b"ccollections\nOrderedDict\n)R"
    program = [b"\x80\x02", empty, b"("]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for key, (name, array) in enumerate(tensors.items()):
            whole = np.zeros(array.shape, np.int8)
            strides = tuple(s // whole.itemsize for s in whole.strides)
            program += [_plain(name), b"ctorch._utils\n_rebuild_tensor_v2\n", b"(("]
            program += [_plain("storage"), f"ctorch\n{names[array.dtype]}\n".encode()]
            program += [_plain(v) for v in (str(key), "cpu", array.size)]
            program += [b"tQ", *map(_plain, (0, array.shape, strides, False))]
            program += [empty, b"tR"]
            archive.writestr(f"archive/data/{key}", array.tobytes())
        program += [b"u."]
        archive.writestr("archive/data.pkl", b"".join(program))
        archive.writestr("archive/byteorder", b"little")
        archive.writestr("archive/version", b"3\n")


def _plain(value: Any) -> bytes:
    """The opcodes that push a string, a number or a tuple of them."""
    return pickle.dumps(value, 2)[2:-1]
