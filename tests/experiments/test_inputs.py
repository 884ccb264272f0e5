"""Data from a directory: used where it is whole, refused where it is not."""

import gzip
import json

import numpy as np
import pytest

from experiments import gradient_descent, harness, surname_classifier
from jnets.data.idx import write_idx

STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture
def digits(tmp_path):
    """A directory of 40 and 12 images in MNIST's format."""
    directory, generator = tmp_path / "digits", np.random.default_rng(0)
    directory.mkdir()
    for stem, count in zip(STEMS, (40, 40, 12, 12), strict=True):
        shape = (count, 28, 28) if "images" in stem else (count,)
        high = 256 if "images" in stem else 10
        write_idx(directory / stem, generator.integers(0, high, shape, np.uint8))
    return directory


@pytest.fixture
def surnames(tmp_path):
    """A folder of two classes."""
    directory = tmp_path / "surnames"
    directory.mkdir()
    (directory / "First.txt").write_text("Abbot\nAdams\nAllen\nArthur\n")
    (directory / "Second.txt").write_text("Zeller\nZweig\nZorn\nZimmer\n")
    return directory


@pytest.fixture
def succeed(monkeypatch, capsys, tmp_path):
    """succeed(module, *flags): config.json and the rows of a run that ends well."""

    def call(module, *flags):
        name = module.__name__.rpartition(".")[2]
        run = tmp_path / "run"
        monkeypatch.setattr("sys.argv", [name, "--out", str(run), *map(str, flags)])
        status = harness.main(name, module.Config(), module.run)
        out, err = capsys.readouterr()
        assert status == 0, err
        assert out.startswith("result: ") and out.count("\n") == 1
        return json.loads((run / "config.json").read_text())

    return call


def test_mnist_files_are_used(succeed, digits):
    flags = ("--data-dir", digits, "--epochs", 1, "--hidden", 4)
    described = succeed(gradient_descent, *flags)
    assert described["input"]["native"] == [28, 28]
    assert described["config"]["data_dir"] == str(digits)


def test_a_folder_of_names_is_used(succeed, surnames):
    flags = ("--data-dir", surnames, "--updates", 1000, "--held-out", 0.25)
    described = succeed(surname_classifier, *flags)
    assert described["classes"] == ["First", "Second"]
    assert described["model"]["fields"]["classes"] == 2


def test_no_such_directory(refused, tmp_path):
    for experiment in ("lenet5", "gradient_descent", "surname_classifier"):
        message = refused(experiment, "--data-dir", tmp_path / "none")
        assert str(tmp_path / "none") in message


def test_a_directory_without_files(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    for experiment in ("lenet5", "gradient_descent", "surname_classifier"):
        message = refused(experiment, "--data-dir", tmp_path / "empty")
        assert str(tmp_path / "empty") in message and "expected" in message


@pytest.mark.parametrize("stem", STEMS)
def test_a_missing_file(refused, digits, stem):
    (digits / stem).unlink()
    message = refused("lenet5", "--data-dir", digits)
    assert stem in message and "--fetch" in message


def test_a_truncated_file(refused, digits):
    path = digits / STEMS[2]
    path.write_bytes(path.read_bytes()[:-100])
    message = refused("lenet5", "--data-dir", digits)
    assert str(path) in message and "truncated" in message


def test_a_damaged_gzip(refused, digits):
    path = digits / STEMS[0]
    packed = bytearray(gzip.compress(path.read_bytes()))
    packed[len(packed) // 2] ^= 0xFF
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed)
    message = refused("gradient_descent", "--data-dir", digits)
    assert f"{path}.gz" in message and "damaged" in message


def test_an_empty_class(refused, surnames):
    (surnames / "Third.txt").write_text(" \n\n")
    message = refused("surname_classifier", "--data-dir", surnames)
    assert str(surnames / "Third.txt") in message and "no names" in message


def test_a_folder_without_classes(refused, surnames):
    for path in surnames.iterdir():
        path.rename(path.with_suffix(".csv"))
    message = refused("surname_classifier", "--data-dir", surnames)
    assert str(surnames) in message and "0 .txt files" in message


def test_a_file_that_is_not_utf_8(refused, surnames):
    path = surnames / "First.txt"
    path.write_bytes("Abbot\nMüller\n".encode("latin-1"))
    message = refused("surname_classifier", "--data-dir", surnames)
    assert f"{path}, line 2" in message and "UTF-8" in message


def test_a_class_that_cannot_be_split(refused, surnames):
    (surnames / "Third.txt").write_text("Only\n")
    message = refused("surname_classifier", "--data-dir", surnames)
    assert "Third" in message and "split" in message


def test_a_file_in_place_of_a_directory(refused, surnames, digits):
    path = surnames / "First.txt"
    for experiment in ("lenet5", "surname_classifier"):
        assert str(path) in refused(experiment, "--data-dir", path)
