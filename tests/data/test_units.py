"""Words, characters and pieces: there and back, and what is not known."""

import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.data.units import KINDS, Units
from jnets.data.vocabulary import END, MARKS, PADDING, START, UNKNOWN
from jnets.errors import InputError

TEXTS = [
    "Ein Mann, der lacht.",
    "Zwei Männer lachen laut!",
    "Don't (you) laugh?",
    "A well-known man laughs at 3.5 men.",
] * 3


def test_words_by_hand():
    units = Units.of(["A b-c, don't!", "b-c a"], "words")
    assert units.vocabulary.symbols == (*MARKS, "b-c", "!", ",", "A", "a", "don't")
    assert units.encode(["b-c x !"]) == [[4, UNKNOWN, 5]]
    row = [START, 7, 4, 6, 9, 5, END, PADDING, 4]
    assert units.decode([row]) == ["A b-c, don't!"]


def test_characters_and_case():
    units = Units.of(["Ab", "b"], "characters", lower=True)
    assert units.vocabulary.symbols == (*MARKS, "b", "a")
    assert units.encode(["BA", ""]) == [[4, 5], []]
    assert units.decode([[5, 4, END, 4]]) == ["ab"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_comes_back(kind):
    units = Units.of(TEXTS, kind, most=120)
    assert units.vocabulary.symbols[: len(MARKS)] == MARKS
    assert units.size <= 120
    assert units.decode(units.encode(TEXTS)) == TEXTS
    numbers = units.vocabulary.numbers()
    for text, row in zip(TEXTS, units.encode(TEXTS), strict=True):
        assert [numbers[s] for s in units.split(text)] == row


@pytest.mark.parametrize("kind", KINDS)
def test_json_has_all_of_it(kind):
    units = Units.of(TEXTS, kind, most=60, lower=True)
    again = Units.from_json(json.loads(json.dumps(units.to_json())))
    assert again == units and again.encode(TEXTS) == units.encode(TEXTS)


@functools.cache
def pieces():
    return Units.of(TEXTS, "pieces", most=60)


@settings(max_examples=50)
@given(st.text(alphabet="Manderlcht ", max_size=30))
def test_pieces_lose_no_letter_they_know(text):
    units = pieces()
    (row,) = units.encode([text])
    assert UNKNOWN not in row
    assert units.decode([row])[0].split() == text.split()


def test_the_least_and_the_most():
    assert Units.of(["a a b"], "words", least=2).size == 5
    assert Units.of(["a a b"], "words", most=5).vocabulary.symbols[4:] == ("a",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "words"},
        {"kind": "syllables", "lower": False, "symbols": [], "model": ""},
        {"kind": "pieces", "lower": False, "symbols": [], "model": "{}"},
        {"kind": "words", "lower": False, "symbols": ["a", "a"], "model": ""},
    ],
)
def test_what_is_no_units_is_refused(wrong):
    with pytest.raises(InputError):
        Units.from_json(wrong)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="syllables"):
        Units.of(TEXTS, "syllables")
