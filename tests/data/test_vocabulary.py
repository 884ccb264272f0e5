"""Symbols by number and back; rows of different lengths in one array."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.vocabulary import (
    END,
    MARKS,
    START,
    UNKNOWN,
    Vocabulary,
    fields_of,
    padded,
)
from jnets.errors import InputError

words = st.text(min_size=1).filter(lambda word: word not in MARKS)
texts = st.lists(st.lists(words))


@given(texts)
def test_known_symbols_come_back(sequences):
    vocabulary = Vocabulary.of(sequences)
    for ends in (False, True):
        rows = vocabulary.encode(sequences, ends=ends)
        assert [vocabulary.decode(row) for row in rows] == sequences
    assert vocabulary == Vocabulary.from_json(vocabulary.to_json())
    assert vocabulary.size == len(set().union(*map(set, sequences))) + 4


def test_frequent_symbols_come_first():
    sequences = ["abca", "abd", ["<pad>", "<pad>"]]
    assert Vocabulary.of(sequences, least=2).symbols == (*MARKS, "a", "b")
    assert Vocabulary.of(sequences, most=6).symbols == (*MARKS, "a", "b")
    assert Vocabulary.of([["x", "<unk>", "<end>"]]).symbols == (*MARKS, "x")


def test_ends_and_unknown_symbols():
    vocabulary = Vocabulary.of(["ab"])
    assert vocabulary.encode(["bz"], ends=True) == [[START, 5, UNKNOWN, END]]
    assert vocabulary.decode([START, 5, 0, UNKNOWN, END, 4]) == ["b", "<unk>"]


@given(st.lists(st.lists(st.integers(0, 9), max_size=6)), st.integers(0, 7))
def test_rows_are_cut_and_filled(rows, steps):
    for given_steps in (None, steps):
        tokens, lengths = padded(rows, given_steps, fill=-1)
        limit = max(map(len, rows), default=0) if given_steps is None else steps
        assert tokens.shape == (len(rows), limit) and tokens.dtype == "int32"
        for row, line, length in zip(rows, tokens, lengths, strict=True):
            assert line[:length].tolist() == row[:limit]
            assert (line[length:] == -1).all()


@pytest.mark.parametrize("raw", [None, "ab", [1], ["a", "a"], ["<pad>"], {"a": 1}])
def test_what_is_no_vocabulary(raw):
    with pytest.raises(InputError, match="vocabulary"):
        Vocabulary.from_json(raw)


def test_fields():
    fields_of({"a": 1, "b": "x"}, {"a": int, "b": str}, "thing")
    for raw in ({"a": 1}, {"a": 1, "b": 2}, {"a": True, "b": "x"}):
        with pytest.raises(InputError, match="thing: fields .*expected a: int, b: str"):
            fields_of(raw, {"a": int, "b": str}, "thing")
