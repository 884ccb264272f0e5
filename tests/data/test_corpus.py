"""Running text: where it comes from, its symbols, and the windows it is read in."""

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.corpus import (
    counted_costs,
    read_corpus,
    standard_library,
    symbols,
    windows,
    written,
)
from jnets.errors import InputError

WIKI = " \n = Robert <unk> = \n \n He is . \n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_file_is_divided_in_its_order(tmp_path):
    folder = write(tmp_path, text="0123456789")
    assert read_corpus(folder / "text") == ("012345678", "9", None)
    assert read_corpus(folder / "text", held_out=0.25)[1] == "89"


def test_a_folder_is_one_text_in_the_order_of_its_paths(tmp_path):
    write(tmp_path, b_txt="cd", a_txt="ab", c__x_py="ef", _hidden="no", c___git__x="no")
    assert "".join(read_corpus(tmp_path, held_out=0.5)[:2]) == "abcdef"
    assert "".join(read_corpus(tmp_path, held_out=0.5, pattern="*.txt")[:2]) == "abcd"


@pytest.mark.parametrize("name", ["valid", "val", "dev", "validation"])
def test_a_folder_may_come_divided(tmp_path, name):
    """As WikiText does, in zip files."""
    for part, text in (("train", "a"), (name, "b"), ("test", "c")):
        with zipfile.ZipFile(tmp_path / f"wiki.{part}.tokens.zip", "w") as archive:
            archive.writestr(f"folder/{part}.txt", text)
    assert read_corpus(tmp_path) == ("a", "b", "c")
    tmp_path.joinpath("wiki.test.tokens.zip").unlink()
    assert read_corpus(tmp_path) == ("a", "b", None)


def test_a_folder_of_many_trains_is_not_divided(tmp_path):
    write(tmp_path, train_py="ab", valid_py="cd", train__x_py="ef")
    tmp_path.joinpath("train.md").write_text("gh")
    assert len("".join(read_corpus(tmp_path)[:2])) == 8


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, r"no file that fits '\*'"),
        ({"a": ""}, "0 characters"),
        ({"a": "x"}, "1 characters"),
        ({"train": "x", "valid": ""}, "valid is empty"),
    ],
)
def test_a_folder_without_text(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as caught:
        read_corpus(write(tmp_path, **files))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_text_of_another_encoding(tmp_path):
    tmp_path.joinpath("a").write_bytes(b"ab\nc\xe9")
    with pytest.raises(InputError, match="line 2 is not utf-8"):
        read_corpus(tmp_path)
    assert read_corpus(tmp_path, encoding="latin-1") == ("ab\nc", "é", None)


def test_the_library_is_whole_modules_and_no_more():
    text = standard_library(200_000)
    assert 50_000 < len(text) <= 200_000
    assert standard_library(300_000).startswith(text)
    assert "def " in text and text.endswith("\n")


def test_words_of_wikitext():
    words = ["<eos>", "=", "Robert", "<unk>", "=", "<eos>", "<eos>", "He", "is", "."]
    assert [*symbols(WIKI, "words")] == [*words, "<eos>"]
    assert written(words, "words") == "\n= Robert <unk> =\n\nHe is ."
    assert [*symbols("no line end", "words")] == ["no", "line", "end"]


@given(st.text(alphabet="ab \n", max_size=30))
def test_symbols_are_the_text(text):
    assert written(symbols(text, "characters"), "characters") == text
    words = [*symbols(text, "words")]
    assert [*symbols(written(words, "words"), "words")] == words
    assert words.count("<eos>") == text.count("\n")


def test_windows_by_hand():
    """0 ... 10 in two rows of five: 0 to 4 and 5 to 9, in windows of 3 and 2."""
    found = windows(np.arange(11), rows=2, steps=3)
    assert found.tokens.tolist() == [[0, 1, 2], [5, 6, 7], [3, 4, 0], [8, 9, 0]]
    assert found.labels.tolist() == [[1, 2, 3], [6, 7, 8], [4, 5, -1], [9, 10, -1]]
    assert found.starts.tolist() == [True, True, False, False]
    assert found.order.tolist() == [[0, 1], [2, 3]]


@given(st.integers(1, 7), st.integers(1, 9), st.data())
def test_every_symbol_but_the_first_is_a_label_once(rows, steps, data):
    size = data.draw(st.integers(2 * rows, 80))
    numbers = np.arange(10, 10 + size)
    found = windows(numbers, rows, steps)
    known = found.labels >= 0
    assert sorted(found.labels[known]) == [*numbers[1:]]
    assert np.array_equal(found.tokens[known] + 1, found.labels[known])
    assert found.tokens.shape[1] <= steps and found.labels.dtype == np.int32
    # A row goes on in each window where it ended in the one before.
    by_row = found.labels.reshape(-1, rows, found.labels.shape[1]).swapaxes(0, 1)
    together = [row[row >= 0] for row in by_row.reshape(rows, -1)]
    assert all(np.all(np.diff(row) == 1) for row in together)
    assert [*np.concatenate(together)] == [*numbers[1:]]
    assert found.starts.sum() == rows and found.starts[:rows].all()


def test_windows_are_as_equal_as_can_be():
    assert windows(np.arange(102), 1, 50).labels.shape == (3, 34)
    assert windows(np.arange(101), 1, 50).labels.shape == (2, 50)


def test_too_short_a_text_for_its_rows():
    with pytest.raises(InputError, match="7 symbols is too short for 4 rows.* 8"):
        windows(np.arange(7), 4, 3)


def test_counts_by_hand():
    """a b a of {a, b, c}: p(a) = 3/6, p(b) = 2/6; after a, b came once of once."""
    single, pair = counted_costs(np.array([0, 1, 0]), np.array([0, 1, 2]), 3)
    assert single == pytest.approx(-(math.log(2 / 6) + math.log(1 / 6)) / 2)
    b_after_a, c_after_b = (1 + 2 / 6) / (1 + 1), (0 + 1 / 6) / (1 + 1)
    assert pair == pytest.approx(-(math.log(b_after_a) + math.log(c_after_b)) / 2)


def test_counts_are_probabilities():
    """Over all that may come next they sum to one."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 5, 40)
    for before in range(6):
        p = [
            math.exp(-counted_costs(train, np.array([before, after]), 6)[1])
            for after in range(6)
        ]
        assert sum(p) == pytest.approx(1)
