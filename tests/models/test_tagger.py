"""The tagger against its equations, word by word and letter by letter in NumPy."""

from functools import partial

import jax
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.models import create
from tests.models.lstm_numpy import both_ways, random_like

FIELDS = {
    "words": 9,
    "letters": 7,
    "tags": 3,
    "word_features": 4,
    "letter_features": 3,
    "letter_hidden": 2,
    "hidden": 5,
}
# Two sentences, of three words and of one, as letters by number.
SPELLED = [[[4, 5], [6], [4, 4, 5]], [[6, 6, 6]]]
WORDS = [[8, 1, 3], [5]]


def inputs(steps=3, letters=3):
    words = np.zeros((2, steps), np.int32)
    spelled = np.zeros((2, steps, letters), np.int32)
    for i, sentence in enumerate(SPELLED):
        words[i, : len(sentence)] = WORDS[i]
        for j, word in enumerate(sentence):
            spelled[i, j, : len(word)] = word
    return words, spelled, np.array([3, 1], np.int32)


def model_and_params(**fields):
    model = create("tagger", **FIELDS, **fields)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs())
    return model, random_like(shapes["params"])


def read(params, words, spelled, use_words):
    """Logits [T, K] of one sentence without padding."""
    features = []
    for number, letters in zip(words, spelled, strict=True):
        _, last = both_ways(params["spelling"], params["letter"]["embedding"][letters])
        known = params["word"]["embedding"][number] if use_words else []
        features.append(np.concatenate([known, last]))
    outputs, _ = both_ways(params["sentence"], np.array(features))
    return outputs @ params["tag"]["kernel"] + params["tag"]["bias"]


@pytest.mark.parametrize("use_words", [True, False])
def test_the_equations(use_words):
    model, params = model_and_params(use_words=use_words)
    assert ("word" in params) == use_words
    logits = np.asarray(jax.jit(model.apply)({"params": params}, *inputs()))
    assert logits.shape == (2, 3, 3)
    for i, (words, spelled) in enumerate(zip(WORDS, SPELLED, strict=True)):
        expected = read(params, words, spelled, use_words)
        np.testing.assert_allclose(logits[i, : len(words)], expected, rtol=1e-4)


def test_padding_changes_nothing():
    """Neither more words nor more letters that are not there."""
    model, params = model_and_params()
    apply = jax.jit(model.apply)
    narrow = apply({"params": params}, *inputs())
    wide = apply({"params": params}, *inputs(steps=5, letters=6))
    for i, length in enumerate((3, 1)):
        np.testing.assert_allclose(
            wide[i, :length], narrow[i, :length], rtol=1e-5, atol=1e-6
        )


def test_word_dropout_takes_words_for_unknown_ones():
    """All of them at a rate near 1; their letters stay."""
    model, params = model_and_params(word_dropout=1 - 1e-7)
    words, *rest = inputs()
    apply, params = jax.jit(model.apply), {"params": params}
    training = partial(model.apply, train=True, rngs={"dropout": jax.random.key(1)})
    found = jax.jit(training)(params, words, *rest)
    unknown = apply(params, np.ones_like(words), *rest)
    np.testing.assert_allclose(found, unknown, rtol=1e-5)
    used = apply(params, words, *rest)
    assert not np.allclose(used, unknown)


@pytest.mark.parametrize("rate", [-0.1, 1])
def test_a_rate_that_is_none(rate):
    with pytest.raises(InputError, match="word_dropout"):
        create("tagger", word_dropout=rate)
