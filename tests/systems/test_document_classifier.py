"""From a text to numbers."""

import json

import pytest

from jnets.data.vocabulary import UNKNOWN, Vocabulary
from jnets.errors import InputError
from jnets.systems.document_classifier import DocumentSpec
from jnets.systems.table import SYSTEMS, kind_of

SPEC = DocumentSpec(Vocabulary.of([["a", "good", "film", "."]]), 3)


def test_a_text_as_numbers():
    number = SPEC.words.numbers()
    tokens, lengths = SPEC.encode("A BAD film. Good!")
    assert tokens.tolist() == [[number["a"], UNKNOWN, number["film"]]]
    assert lengths.tolist() == [3]
    tokens, lengths = SPEC.inputs(["good", "a film"], 3)
    assert tokens.shape == (2, 3) and lengths.tolist() == [1, 2]


def test_a_text_without_words():
    with pytest.raises(InputError, match="has no words"):
        SPEC.encode(" ")


def test_it_survives_json():
    assert DocumentSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC
    kind = kind_of(SPEC)
    assert kind == "document" and SYSTEMS[kind].answers is None
    for change in ({"longest": 0}, {"words": [1]}, {"words": 1}, {"more": 1}):
        with pytest.raises(InputError):
            DocumentSpec.from_json(SPEC.to_json() | change)
