"""CIFAR's files in every form, made by hand, and every way they can be damaged."""

import io
import pickle
import struct
import tarfile

import numpy as np
import pytest

from jnets.data.cifar import CIFAR10, CIFAR100, load
from jnets.errors import InputError

BATCHES = [f"data_batch_{n}" for n in range(1, 6)]


def python_2_pickle(images, labels, key="labels"):
    """The bytes that Python 2 and its NumPy wrote (protocol 2), opcode by opcode."""

    def short(text):
        return b"U" + bytes([len(text)]) + text

    def number(value):
        return b"J" + struct.pack("<i", value)

    shape = number(images.shape[0]) + number(images.shape[1]) + b"\x86"
    dtype = (
        b"cnumpy\ndtype\n" + short(b"u1") + number(0) + number(1) + b"\x87R"
        b"("
        + number(3)
        + short(b"|")
        + b"NNN"
        + number(-1)
        + number(-1)
        + number(0)
        + b"tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0)
        + b"\x85"
        + short(b"b")
        + b"\x87R"
        b"(" + number(1) + shape + dtype + b"\x89"
        b"T" + struct.pack("<i", images.nbytes) + images.tobytes() + b"tb"
    )
    return (
        b"\x80\x02}("
        + short(b"data")
        + array
        + short(key.encode())
        + b"]("
        + b"".join(number(int(label)) for label in labels)
        + b"e"
        + short(b"batch_label")
        + short(b"training batch 1 of 5")
        + b"u."
    )


@pytest.fixture(scope="module")
def examples():
    """Six rows of pixels, channel after channel, and labels."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (6, 3072), np.uint8)
    return rows, np.array([3, 0, 9, 9, 1, 7])


def parts(examples):
    """Each file's own rows and labels."""
    rows, labels = examples
    for place, name in enumerate([*BATCHES, "test_batch"]):
        yield name, rows[place : place + 1], labels[place : place + 1]


def python_folder(path, examples, dump=python_2_pickle):
    path.mkdir(parents=True)
    for name, rows, labels in parts(examples):
        (path / name).write_bytes(dump(rows, labels))
    (path / "batches.meta").write_bytes(b"not looked at")
    return path


def binary_folder(path, examples):
    path.mkdir(parents=True)
    for name, rows, labels in parts(examples):
        content = bytes([labels[0]]) + rows.tobytes()
        (path / f"{name}.bin").write_bytes(content)
    return path


def npz_file(path, examples, **change):
    rows, labels = examples
    images = as_images(rows)
    fields = {
        "x_train": images[:5],
        "y_train": labels[:5, None].astype(np.uint8),
        "x_test": images[5:],
        "y_test": labels[5:],
    }
    np.savez(path, **{k: v for k, v in (fields | change).items() if v is not None})
    return path


def as_images(rows):
    """Red, green and blue planes to pixels, one value at a time."""
    images = np.zeros((len(rows), 32, 32, 3), np.uint8)
    for channel in range(3):
        for y in range(32):
            start = channel * 1024 + y * 32
            images[:, y, :, channel] = rows[:, start : start + 32]
    return images


def check(found, examples, classes=CIFAR10):
    rows, labels = examples
    train, test = found
    assert train.classes == test.classes == classes
    images = as_images(rows)
    for part, place in ((train, slice(0, 5)), (test, slice(5, 6))):
        (pixels,) = part.inputs
        np.testing.assert_array_equal(pixels, images[place], strict=True)
        assert pixels.flags.c_contiguous
        expected = labels[place].astype(np.int32)
        np.testing.assert_array_equal(part.labels, expected, strict=True)


def archived(path, folder, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path


def python_3_dump(protocol):
    def dump(rows, labels):
        fields = {"data": rows, "labels": [int(x) for x in labels], "extra": b"\xff"}
        return pickle.dumps(fields, protocol)

    return dump


def test_python_batches_of_python_2(tmp_path, examples):
    folder = python_folder(tmp_path / "cifar-10-batches-py", examples)
    check(load(folder), examples)
    check(load(tmp_path), examples)  # the only one in there
    check(load(archived(tmp_path / "cifar-10-python.tar.gz", folder)), examples)


@pytest.mark.parametrize("protocol", range(6))
def test_python_batches_of_python_3(tmp_path, examples, protocol):
    folder = python_folder(tmp_path / "x", examples, python_3_dump(protocol))
    check(load(folder), examples)


def test_binary_batches(tmp_path, examples):
    folder = binary_folder(tmp_path / "cifar-10-batches-bin", examples)
    check(load(folder), examples)
    check(load(archived(tmp_path / "x.tar", folder, "w")), examples)


def test_npz(tmp_path, examples):
    path = npz_file(tmp_path / "cifar10.npz", examples)
    check(load(path), examples)
    check(load(tmp_path), examples)


def test_cifar_100(tmp_path, examples):
    rows, labels = examples[0], examples[1] * 11
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, place in (("train", slice(0, 5)), ("test", slice(5, 6))):
        content = python_2_pickle(rows[place], labels[place], "fine_labels")
        (folder / name).write_bytes(content)
    check(load(folder), (rows, labels), CIFAR100)
    binary = tmp_path / "binary"
    binary.mkdir()
    for name, place in (("train", slice(0, 5)), ("test", slice(5, 6))):
        records = zip(rows[place], labels[place], strict=True)
        content = b"".join(bytes([17, n]) + row.tobytes() for row, n in records)
        (binary / f"{name}.bin").write_bytes(content)
    check(load(binary), (rows, labels), CIFAR100)
    path = npz_file(tmp_path / "x.npz", (rows, labels))
    check(load(path), (rows, labels), CIFAR100)
    assert (len(CIFAR100), CIFAR100[99], CIFAR100[33]) == (100, "worm", "forest")
    assert list(CIFAR100) == sorted(set(CIFAR100)) and CIFAR10[9] == "truck"


def fails(path, *parts):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def test_no_code_is_run(tmp_path, examples):
    folder = python_folder(tmp_path / "x", examples)
    proof = tmp_path / "proof"
    for call in (exec, eval):
        evil = Evil(call, f"open({str(proof)!r}, 'w').close()")
        for content in (pickle.dumps(evil), pickle.dumps({b"data": evil})):
            (folder / "data_batch_3").write_bytes(content)
            fails(
                folder, "data_batch_3", f"builtins.{call.__name__}, which is not data"
            )
    import numpy._core.multiarray as multiarray

    huge = Evil(multiarray._reconstruct, np.ndarray, (1 << 40,), b"b")
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": huge}))
    fails(folder, "data_batch_3", "not the beginning of an array")
    assert not proof.exists()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], "no data and labels"),
        ({"data": [1]}, "no data and labels"),
        ({"data": np.zeros((1, 3072), np.uint8)}, "no data and labels"),
        ({"data": np.zeros((1, 3072)), "labels": [1]}, "data float64 [1, 3072]"),
        ({"data": np.zeros((1, 9), np.uint8), "labels": [1]}, "data uint8 [1, 9]"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": []}, "expected 1 whole"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, "label 10, expected"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [-1]}, "label -1, expected"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "labels <U3"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [[1], 2]}, "not a list of"),
        ({"data": np.array([[None]]), "labels": [1]}, "data object [1, 1]"),
    ],
)
def test_pickles_that_are_no_batches(tmp_path, examples, fields, expected):
    folder = python_folder(tmp_path / "x", examples)
    (folder / "test_batch").write_bytes(pickle.dumps(fields))
    fails(folder, "test_batch", expected)


def test_any_truncation_is_told(tmp_path, examples):
    for dump in (python_2_pickle, python_3_dump(4)):
        folder = python_folder(tmp_path / dump.__name__, examples, dump)
        content = (folder / "data_batch_2").read_bytes()
        for part in np.linspace(0, 0.99, 12):
            (folder / "data_batch_2").write_bytes(content[: int(part * len(content))])
            fails(folder, "data_batch_2")
    binary = binary_folder(tmp_path / "binary", examples)
    (binary / "test_batch.bin").write_bytes(bytes(3072))
    fails(binary, "test_batch.bin", "3072 bytes; expected a multiple of 3073")
    for path in (
        archived(tmp_path / "x.tar.gz", binary_folder(tmp_path / "y", examples)),
        npz_file(tmp_path / "x.npz", examples),
    ):
        content = path.read_bytes()
        for part in np.linspace(0, 0.95, 12):
            path.write_bytes(content[: int(part * len(content))])
            fails(path)


def test_damaged_bytes_are_told_or_harmless(tmp_path, examples):
    folder = python_folder(tmp_path / "x", examples)
    content = python_2_pickle(examples[0][:1], examples[1][:1])
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(content[:200])
        damaged[rng.integers(200)] = rng.integers(256)
        (folder / "data_batch_1").write_bytes(bytes(damaged) + content[200:])
        try:
            load(folder)
        except InputError as error:
            assert "data_batch_1" in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x_test": None}, "no x_test in it"),
        (
            {"x_train": np.zeros((5, 3, 32, 32), np.uint8)},
            "x_train uint8 [5, 3, 32, 32]",
        ),
        ({"x_test": np.zeros((1, 32, 32, 3))}, "x_test float64"),
        ({"y_test": np.array([0.5])}, "labels float64 [1]"),
        ({"y_test": np.array([[1, 2]])}, "labels int64 [2]"),
        ({"y_train": np.array([0, 1, 2, 3, 100])}, "label 100, expected 0 to 99"),
        ({"y_train": np.array([None])}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_files_that_do_not_fit(tmp_path, examples, change, expected):
    fails(npz_file(tmp_path / "x.npz", examples, **change), expected)


def test_paths_that_hold_no_cifar(tmp_path, examples):
    fails(tmp_path / "none", "no such file")
    (tmp_path / "x.txt").write_text("a cat")
    fails(tmp_path / "x.txt", "expected .npz or .tar.gz")
    fails(tmp_path, "expected one CIFAR folder or archive in it, found none")
    python_folder(tmp_path / "cifar-10-batches-py", examples)
    npz_file(tmp_path / "cifar10.npz", examples)
    fails(tmp_path, "found cifar-10-batches-py, cifar10.npz")
    (tmp_path / "cifar-10-batches-py/data_batch_4").unlink()
    fails(tmp_path / "cifar-10-batches-py", "data_batch_4 is missing")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    fails(tmp_path / "x.tar.gz", "no CIFAR files in it")
