"""MNIST's four files under all their names, and each way they can disagree."""

import gzip
import hashlib
import re

import numpy as np
import pytest

from jnets.data import mnist
from jnets.data.fetch import RemoteFile
from jnets.data.idx import write_idx
from jnets.errors import InputError

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def arrays(train=50, test=20, side=28):
    generator = np.random.default_rng(0)
    return [
        generator.integers(0, high, shape, np.uint8)
        for count in (train, test)
        for high, shape in ((256, (count, side, side)), (10, count))
    ]


def write(folder, change=None, names=STEMS):
    contents = arrays()
    if change:
        index, array = change
        contents[index] = array
    for name, array in zip(names, contents, strict=True):
        write_idx(folder / name, array)
    return contents


def message(folder):
    with pytest.raises(InputError) as caught:
        mnist.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        STEMS,
        [f"{stem}.gz" for stem in STEMS],
        [stem.replace("-idx", ".idx") for stem in STEMS],
        [stem.replace("-idx", ".idx") + ".gz" for stem in STEMS],
        [STEMS[0], f"{STEMS[1]}.gz", STEMS[2].replace("-idx", ".idx"), STEMS[3]],
    ],
)
def test_loads_files_under_their_usual_names(tmp_path, names):
    contents = write(tmp_path, names=names)
    for data, images, labels in zip(
        mnist.load(tmp_path), contents[::2], contents[1::2], strict=True
    ):
        np.testing.assert_array_equal(data.inputs[0], images, strict=True)
        np.testing.assert_array_equal(data.labels, labels.astype(np.int32), strict=True)
        assert data.classes == tuple("0123456789")


def test_other_sizes_load(tmp_path):
    for stem, array in zip(STEMS, arrays(3, 1, 16), strict=True):
        write_idx(tmp_path / stem, array)
    assert mnist.load(tmp_path)[0].inputs[0].shape == (3, 16, 16)


def test_gzip_under_a_plain_name(tmp_path):
    write(tmp_path)
    path = tmp_path / STEMS[0]
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert mnist.load(tmp_path)[0].size == 50


@pytest.mark.parametrize("missing", STEMS)
def test_missing_file_is_named(tmp_path, missing):
    write(tmp_path)
    (tmp_path / missing).unlink()
    assert message(tmp_path) == (
        f"data directory {tmp_path}: no {missing}(.gz); expected the four MNIST "
        "files, or pass --fetch / fetch=True to download them"
    )


def test_missing_directory(tmp_path):
    assert "no train-images-idx3-ubyte(.gz)" in message(tmp_path / "none")


@pytest.mark.parametrize(
    ("index", "array", "expected"),
    [
        (0, np.zeros((50, 784), np.uint8), "expected uint8 [N, height, width]"),
        (0, np.zeros((50, 28, 28), np.int16), "found int16 [50, 28, 28]"),
        (0, np.zeros((0, 28, 28), np.uint8), "found uint8 [0, 28, 28]"),
        (1, np.zeros((50, 1), np.uint8), "expected uint8 [N]"),
        (1, np.zeros(49, np.uint8), "50 images, but 49 labels in"),
        (2, np.zeros((20, 8, 8), np.uint8), "(28, 28), test images (8, 8)"),
        (3, np.array([9] * 19 + [10], np.uint8), "label 10 at position 19"),
    ],
)
def test_contents_that_disagree(tmp_path, index, array, expected):
    write(tmp_path, (index, array))
    found = message(tmp_path)
    assert expected in found
    assert STEMS[index] in found or "data directory" in found


def test_damaged_file_is_named(tmp_path):
    write(tmp_path)
    path = tmp_path / STEMS[2]
    path.write_bytes(path.read_bytes()[:-1])
    assert message(tmp_path).startswith(f"{path}: truncated data")


def test_fetch_downloads_what_is_missing(tmp_path, mirror, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    contents = write(source, names=[f"{stem}.gz" for stem in STEMS])
    for stem in STEMS:
        mirror.files[f"{stem}.gz"] = (source / f"{stem}.gz").read_bytes()
    files = tuple(
        RemoteFile(
            name,
            (mirror.url("plain", name),),
            hashlib.sha256(body).hexdigest(),
            len(body),
        )
        for name, body in mirror.files.items()
    )
    monkeypatch.setattr(mnist, "FILES", files)
    own = np.full(50, 7, np.uint8)
    write_idx(target / STEMS[1], own)
    train, test = mnist.load(target, fetch=True)
    np.testing.assert_array_equal(train.labels, own)  # a file that is there stays
    np.testing.assert_array_equal(test.inputs[0], contents[2])
    assert len(mirror.requests) == 3


def test_table_of_files():
    assert [file.name for file in mnist.FILES] == [f"{stem}.gz" for stem in STEMS]
    for file in mnist.FILES:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert len(file.urls) == 2
        assert all(url.startswith("https://") for url in file.urls)
        assert all(url.endswith("/" + file.name) for url in file.urls)
