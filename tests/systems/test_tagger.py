"""From a sentence to numbers and to tags, without a trained model."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jnets.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from jnets.errors import InputError
from jnets.systems.table import SYSTEMS, kind_of
from jnets.systems.tagger import TaggerSpec, answers

SPEC = TaggerSpec(
    Vocabulary.of([["flies", "time", "time"]]),
    Vocabulary.of(["Timeflse"]),
    ("NOUN", "VERB"),
    4,
    "spaces",
)


def spelled(row):
    return "".join(SPEC.letters.symbols[n] for n in row if n != PADDING)


def test_a_sentence_as_numbers():
    words, letters, lengths = SPEC.encode("  Time flies\tTime melts ")
    number = SPEC.words.numbers()
    expected = [number["time"], number["flies"], number["time"], UNKNOWN]
    assert words.tolist() == [expected] and lengths.tolist() == [4]
    assert letters.shape == (1, 4, 4) and words.dtype == letters.dtype == np.int32
    # Capitals are kept in letters; of a long word both ends are read.
    assert [spelled(row) for row in letters[0]] == [
        "Time",
        "fles",
        "Time",
        "me<unk>s",
    ]


def test_sentences_of_different_lengths():
    sentences = [["time"], ["time", "flies"]]
    table = SPEC.table(word for one in sentences for word in one)
    words, letters, lengths = table.inputs(sentences, 3)
    assert words.shape == (2, 3) and lengths.tolist() == [1, 2]
    assert not words[0, 1:].any() and not letters[0, 1:].any()
    assert [x.shape[1] for x in table.inputs(sentences)[:2]] == [2, 2]


def test_it_survives_json():
    fields = json.loads(json.dumps(SPEC.to_json()))
    assert TaggerSpec.from_json(fields) == SPEC
    kind = kind_of(SPEC)
    assert kind == "tagger" and SYSTEMS[kind].answers is answers
    shapes = [x.shape for x in SPEC.example()]
    assert shapes == [x.shape for x in SPEC.encode("time flies")]


@pytest.mark.parametrize(
    "change",
    [{"longest": 1}, {"split": "commas"}, {"longest": "4"}, {"words": ["a", "a"]}],
)
def test_fields_of_no_tagger(change):
    with pytest.raises(InputError, match="tagger|vocabulary"):
        TaggerSpec.from_json(SPEC.to_json() | change)


def test_words_of_python():
    spec = SPEC._replace(split="python")
    assert spec.words_of("x=f('a b')") == ["x", "=", "f", "(", "'a b'", ")"]
    for text in ("", "  "):
        for one in (spec, SPEC):
            with pytest.raises(InputError, match="has no words"):
                one.encode(text)


def test_answers():
    """A model that says NOUN of known words only."""

    class Model:
        def apply(self, variables, words, letters, lengths):
            known = words != UNKNOWN
            return jnp.stack([known, ~known], axis=-1) * variables

    found = answers(Model(), 1.0, SPEC, ["Time melts .", "flies"])  # pyright: ignore
    assert found == ["Time/NOUN melts/VERB ./VERB", "flies/NOUN"]
