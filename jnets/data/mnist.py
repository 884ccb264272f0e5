"""MNIST, and any data set in its format: 28x28 grey digits in four idx files.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86 (1998): 60,000 training and 10,000 test
images. Sets such as Fashion-MNIST have the same files and load the same way.
"""

import os
from pathlib import Path

import numpy as np

from jnets.data.dataset import Dataset
from jnets.data.fetch import Progress, RemoteFile
from jnets.data.fetch import fetch as fetch_file
from jnets.data.idx import read_idx
from jnets.data.images import ImageSpec
from jnets.errors import InputError

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def _remote(name: str, size: int, sha256: str) -> RemoteFile:
    return RemoteFile(name, tuple(base + name for base in _MIRRORS), sha256, size)


FILES = (
    _remote(
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    _remote(
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    _remote(
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    _remote(
        "t10k-labels-idx1-ubyte.gz",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)

CLASSES = tuple("0123456789")

# The values are LeNet-5's (section III of the paper): a digit fitted into 20x20 and
# centred by mass in 28x28 is padded to 32x32, with background -0.1 and ink 1.175.
# The paper says that mean and variance are then about 0 and 1; over the padded
# training set they are 0.028 and 0.123.
MNIST = ImageSpec(
    native=(28, 28),
    maximum=255,
    resize=28,
    size=32,
    low=-0.1,
    high=1.175,
    box=20,
    centre="mass",
)


def load(
    directory: str | os.PathLike[str],
    *,
    fetch: bool = False,
    progress: Progress | None = None,
) -> tuple[Dataset, Dataset]:
    """The training and the test set: uint8 images [N, h, w], labels 0..9.

    `directory` holds the four files, each plain or gzip, with '-' or '.' before
    'idx'; a plain file goes before a gzip. With `fetch`, files that are missing are
    downloaded into it (files that are there are never replaced), reporting to
    `progress` as `jnets.data.fetch.fetch` does. Raises InputError for a missing or
    damaged file, a wrong type or number of axes, images and labels that differ in
    number, a label above 9, or training and test images of different size.
    """
    directory = Path(directory)
    if fetch:
        for file in FILES:
            if _find(directory, file.name.removesuffix(".gz")) is None:
                fetch_file(file, directory, progress=progress)
    train, test = _read_part(directory, "train"), _read_part(directory, "t10k")
    sizes = [data.inputs[0].shape[1:] for data in (train, test)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"data directory {directory}: training images are {sizes[0]}, "
            f"test images {sizes[1]}; expected one size"
        )
    return train, test


def _find(directory: Path, stem: str) -> Path | None:
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (directory / name, directory / f"{name}.gz"):
            if path.exists():
                return path
    return None


def _require(directory: Path, stem: str) -> Path:
    path = _find(directory, stem)
    if path is None:
        raise InputError(
            f"data directory {directory}: no {stem}(.gz); expected the four MNIST "
            "files, or pass --fetch / fetch=True to download them"
        )
    return path


def _read_part(directory: Path, part: str) -> Dataset:
    images_path = _require(directory, f"{part}-images-idx3-ubyte")
    labels_path = _require(directory, f"{part}-labels-idx1-ubyte")
    images = _read_uint8(images_path, ("N", "height", "width"))
    labels = _read_uint8(labels_path, ("N",))
    if len(images) != len(labels):
        raise InputError(
            f"{images_path}: {len(images)} images, but {len(labels)} labels in "
            f"{labels_path}"
        )
    if labels.max() >= len(CLASSES):
        where = int(np.argmax(labels >= len(CLASSES)))
        raise InputError(
            f"{labels_path}: label {labels[where]} at position {where}, "
            f"expected 0 to {len(CLASSES) - 1}"
        )
    return Dataset((images,), labels.astype(np.int32), CLASSES)


def _read_uint8(path: Path, axes: tuple[str, ...]) -> np.ndarray:
    array = read_idx(path)
    if array.dtype != np.uint8 or array.ndim != len(axes) or array.size == 0:
        raise InputError(
            f"{path}: expected uint8 [{', '.join(axes)}] and not empty, "
            f"found {array.dtype} {list(array.shape)}"
        )
    return array
