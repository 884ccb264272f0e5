"""Texts and their classes, from lines and from folders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.documents import (
    FOLDS,
    TASKS,
    documents,
    fold,
    read_folder,
    read_labelled,
    read_task,
    split,
    words,
)
from jnets.errors import InputError


@pytest.mark.parametrize(
    "text, expected",
    [
        ("It isn't Bob's.", "it is n't bob 's ."),
        ("is n't Bob 's", "is n't bob 's"),
        ("a_1 (x+2)!?\n", "a_1 ( x + 2 ) ! ?"),
        ("isn'tx Ünï", "isn 'tx ünï"),
        ("  ", ""),
    ],
)
def test_words(text, expected):
    assert words(text) == expected.split()


def test_lines(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes("1 a b\n\n0\tcaf\xe9 \tx \n".encode("latin-1"))
    found = read_labelled(path, encoding="latin-1")
    assert found == [("1", "a b"), ("0", "café \tx")]
    data = documents(found)
    assert data.texts == ("a b", "café \tx") and data.classes == ("0", "1")
    assert data.labels.tolist() == [1, 0] and data.labels.dtype == np.int32
    assert documents(found, ("no", "yes")).classes == ("no", "yes")


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 a\n2\n", "line 2: '2' has no text"),
        ("1 a\n\n2 \t\n", "line 3: '2' has no text"),
        ("\n\n", "no texts"),
        (b"1 a\n1 \xe9\n", "line 2 is not utf-8"),
    ],
)
def test_bad_lines(tmp_path, text, message):
    path = tmp_path / "lines"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)


def test_folders(tmp_path):
    for name in ("b/2.txt", "b/1", "a/x", "a/.hidden", ".c/x"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text {name}")
    assert read_folder(tmp_path) == [
        ("a", "text a/x"),
        ("b", "text b/1"),
        ("b", "text b/2.txt"),
    ]


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        read_folder(tmp_path / "none")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("...")
    with pytest.raises(InputError, match="1 folders; expected"):
        read_folder(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(InputError, match="b: no files"):
        read_folder(tmp_path)
    (tmp_path / "b" / "x").write_text(" \n")
    with pytest.raises(InputError, match="x: no words"):
        read_folder(tmp_path)


def test_labels_that_make_no_classes():
    with pytest.raises(InputError, match="at least two classes"):
        documents([("a", "x"), ("a", "y")])
    with pytest.raises(InputError, match="label '2'; expected one of"):
        documents([("0", "x"), ("2", "y")], ("no", "yes"))


def test_tasks(tmp_path):
    for name, task in TASKS.items():
        (tmp_path / task.train).write_text("0 a\n1 b\n")
        if task.test:
            (tmp_path / task.test).write_text("1 c\n")
        train, test = read_task(tmp_path, name)
        assert train.classes == task.names and train.labels.tolist() == [0, 1]
        assert (test is None) == (task.test is None)
        if test is not None:
            assert test.classes == task.names and test.labels.tolist() == [1]
    with pytest.raises(InputError, match="task='IMDB' is unknown"):
        read_task(tmp_path, "IMDB")


def numbered(labels):
    return documents([(str(label), f"text {i}") for i, label in enumerate(labels)])


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=FOLDS), st.integers(0, 3))
def test_each_text_is_tested_in_one_fold(labels, seed):
    data = numbered([0, 1, *labels])
    tested = []
    for number in range(FOLDS):
        train, test = fold(data, number, seed)
        assert sorted(train.texts + test.texts) == sorted(data.texts)
        assert abs(len(test.texts) - len(data.texts) / FOLDS) < 1
        tested += test.texts
    assert sorted(tested) == sorted(data.texts)


def test_a_split_is_of_each_class():
    data = numbered([0] * 10 + [1] * 5)
    train, test = split(data, 0.2, seed=3)
    assert test.labels.tolist() == [0, 0, 1] and len(train.texts) == 12
    assert sorted(train.texts + test.texts) == sorted(data.texts)
    again, other = split(data, 0.2, seed=3)[1], split(data, 0.2, seed=4)[1]
    assert again.texts == test.texts != other.texts
    with pytest.raises(InputError, match="class 1: 1 texts cannot be split"):
        split(numbered([0, 0, 0, 1]), 0.4, seed=0)
