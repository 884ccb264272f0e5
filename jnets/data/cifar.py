"""CIFAR-10 and CIFAR-100 in the forms in which they are handed out, or as .npz.

Krizhevsky, "Learning multiple layers of features from tiny images" (2009): 50,000
training and 10,000 test pictures, 32x32, RGB; 10 classes, or 100 ("fine") ones.
The Python form is a pickle, which could run any code: it is read here by an
unpickler that builds arrays, strings, numbers, lists and dicts and nothing else.
"""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jnets.data.dataset import Dataset
from jnets.errors import InputError

CIFAR10 = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
CIFAR100 = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock
    cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest
    fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
    otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum
    rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail
    snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf
    woman worm""".split()
)

_PIXELS = 32 * 32 * 3
_MAX_BYTES = 1 << 28  # of one file; the largest there is has 154 MB


class _Form(NamedTuple):
    """Names of the files of one form; `key` is of the labels in a pickle, otherwise
    each record has `labels` bytes, the last of them the label, before its pixels."""

    train: tuple[str, ...]
    test: str
    classes: tuple[str, ...]
    key: bytes | None = None
    labels: int = 1


_FORMS = (
    _Form(
        tuple(f"data_batch_{n}" for n in range(1, 6)),
        "test_batch",
        CIFAR10,
        b"labels",
    ),
    _Form(tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin", CIFAR10),
    _Form(("train",), "test", CIFAR100, b"fine_labels"),
    _Form(("train.bin",), "test.bin", CIFAR100, labels=2),
)
_FOLDERS = (
    "cifar-10-batches-py",
    "cifar-10-batches-bin",
    "cifar-100-python",
    "cifar-100-binary",
)
_KINDS = (".npz", ".tar.gz", ".tgz", ".tar")


def load(path: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    """The training and the test set: uint8 pictures [N, 32, 32, 3], int32 labels.

    `path` is a .tar.gz as handed out (Python or binary form), the folder that it
    unpacks to, an .npz with x_train, y_train, x_test and y_test (pictures [N, 32, 32,
    3], labels [N] or [N, 1]; CIFAR-10 if no label is above 9), or a folder that holds
    exactly one of these. Classes are the data set's names, those of CIFAR-100 the fine
    ones. No code in a file is run. Raises InputError for a path that is none of these,
    and for a file that is missing, damaged, truncated, or not what its form says.
    """
    path = _locate(Path(path))
    try:
        if path.suffix == ".npz":
            return _read_npz(path)
        files = _read_folder(path) if path.is_dir() else _read_tar(path)
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged archive ({reason})") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error})"
        ) from None
    form = _form(files)
    if form is None:
        raise InputError(f"{path}: no CIFAR files in it; expected data_batch_1, ...")
    missing = [name for name in (*form.train, form.test) if name not in files]
    if missing:
        raise InputError(
            f"{path}: {missing[0]} is missing; expected {form.train[0]}, "
            f"..., {form.test}"
        )
    return _join(path, files, form.train, form), _join(path, files, (form.test,), form)


def _locate(path: Path) -> Path:
    """The archive or the folder of files that `path` means."""
    if path.is_file() and path.name.endswith(_KINDS):
        return path
    if not path.is_dir():
        state = "expected .npz or .tar.gz" if path.exists() else "no such file"
        raise InputError(f"data {path}: {state}; expected CIFAR's folder or archive")
    if _form(dict.fromkeys(os.listdir(path), b"")) is not None:
        return path
    inside = [path / name for name in _FOLDERS if (path / name).is_dir()]
    inside += [each for each in sorted(path.iterdir()) if each.name.endswith(_KINDS)]
    if len(inside) == 1:
        return inside[0]
    found = ", ".join(each.name for each in inside) or "none"
    raise InputError(
        f"data {path}: expected one CIFAR folder or archive in it, found {found}"
    )


def _form(files: Mapping[str, bytes]) -> _Form | None:
    for form in _FORMS:
        if any(name in files for name in form.train):
            return form
    return None


def _names() -> set[str]:
    return {name for form in _FORMS for name in (*form.train, form.test)}


def _read_folder(path: Path) -> dict[str, bytes]:
    files = {}
    for name in _names():
        if (path / name).is_file():
            with open(path / name, "rb") as stream:
                files[name] = stream.read(_MAX_BYTES)
    return files


def _read_tar(path: Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = os.path.basename(member.name)
            if name in _names() and member.isfile() and member.size <= _MAX_BYTES:
                stream = archive.extractfile(member)
                files[name] = stream.read() if stream else b""
    return files


def _join(
    path: Path, files: Mapping[str, bytes], names: tuple[str, ...], form: _Form
) -> Dataset:
    parts = [_read_batch(path / name, files[name], form) for name in names]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Dataset((np.ascontiguousarray(images),), labels, form.classes)


def _read_batch(
    path: Path, content: bytes, form: _Form
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3072], channel after channel, and int32 [N]."""
    if form.key is None:
        length = form.labels + _PIXELS
        if not content or len(content) % length:
            raise InputError(
                f"{path}: {len(content)} bytes; expected a multiple of {length}"
            )
        records = np.frombuffer(content, np.uint8).reshape(-1, length)
        images, labels = records[:, form.labels :], records[:, form.labels - 1]
    else:
        images, labels = _unpickle(path, content, form.key)
    return images, _checked_labels(path, labels, len(images), len(form.classes))


def _checked_labels(path: Path, labels: Any, count: int, classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise InputError(
            f"{path}: labels {labels.dtype} {list(labels.shape)}, expected {count} "
            "whole numbers"
        )
    if count and not 0 <= labels.min() <= labels.max() < classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(f"{path}: label {wrong}, expected 0 to {classes - 1}")
    return labels.astype(np.int32)


def _unpickle(path: Path, content: bytes, key: bytes) -> tuple[np.ndarray, Any]:
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a CIFAR batch ({reason})") from None
    # Written by Python 2 the keys are bytes, by Python 3 they may be text.
    fields = (
        {k.encode() if isinstance(k, str) else k: v for k, v in batch.items()}
        if isinstance(batch, dict)
        else {}
    )
    images, labels = fields.get(b"data"), fields.get(key)
    if not isinstance(images, np.ndarray) or not isinstance(labels, list):
        raise InputError(
            f"{path}: not a CIFAR batch (no data and {key.decode()} in it)"
        )
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != _PIXELS:
        raise InputError(
            f"{path}: data {images.dtype} {list(images.shape)}, expected uint8 "
            f"[N, {_PIXELS}]"
        )
    try:
        return images, np.array(labels)
    except ValueError:
        raise InputError(f"{path}: {key.decode()}: not a list of numbers") from None


class _Unpickler(pickle.Unpickler):
    """Builds NumPy arrays and plain Python values; refuses every other name."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        known = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("multiarray", "_reconstruct"): _empty_array,
            ("numeric", "_frombuffer"): _from_buffer,
            ("_codecs", "encode"): _from_latin1,
        }
        top, _, last = module_name.rpartition(".")
        module = last if top in ("numpy.core", "numpy._core") else module_name
        try:
            return known[module, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which is not data"
            ) from None


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """How a pickled array begins: always empty, so nothing is allocated on its word."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("not the beginning of an array")
    return np.ndarray((0,), np.int8)


def _from_buffer(
    buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str
) -> np.ndarray:
    return np.frombuffer(buffer, dtype).reshape(
        shape, order="F" if order == "F" else "C"
    )


def _from_latin1(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the older protocols."""
    return text.encode("latin1")


def _read_npz(path: Path) -> tuple[Dataset, Dataset]:
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        # NumPy leaves open a file that turns out to be no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise InputError(
                    f"{path}: no {missing[0]} in it; expected {', '.join(names)}"
                )
            x_train, y_train, x_test, y_test = (archive[name] for name in names)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: damaged or not an .npz ({reason})") from None
    labels = [y.reshape(-1) if y.ndim == 2 else y for y in (y_train, y_test)]
    above = any(y.size and y.dtype.kind in "iu" and y.max() > 9 for y in labels)
    classes = CIFAR100 if above else CIFAR10
    sets = []
    for name, x, y in zip(
        ("x_train", "x_test"), (x_train, x_test), labels, strict=True
    ):
        if x.dtype != np.uint8 or x.shape[1:] != (32, 32, 3) or not len(x):
            raise InputError(
                f"{path}: {name} {x.dtype} {list(x.shape)}, expected uint8 "
                "[N, 32, 32, 3]"
            )
        checked = _checked_labels(path, y, len(x), len(classes))
        sets.append(Dataset((x,), checked, classes))
    return sets[0], sets[1]
