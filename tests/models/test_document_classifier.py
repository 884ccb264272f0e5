"""The classifiers of documents against their equations, in NumPy."""

from functools import partial

import jax
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.models import create
from jnets.models.document_classifier import SPREAD
from tests.models.lstm_numpy import both_ways, random_like

TEXTS = [[4, 5, 8, 5], [6], [7, 4]]
FIELDS = {"vocabulary": 9, "classes": 3, "features": 4, "hidden": 5}
BAG = {"vocabulary": 9, "classes": 3}


def inputs(steps=4):
    tokens = np.zeros((3, steps), np.int32)
    for row, text in zip(tokens, TEXTS, strict=True):
        row[: len(text)] = text
    return tokens, np.array(list(map(len, TEXTS)), np.int32)


def model_and_params(name, **fields):
    model = create(name, **fields)
    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs())
    return model, random_like(shapes["params"])


def attended(params, outputs):
    """Yang et al. 2016, equations 5 to 7."""
    u = np.tanh(outputs @ params["attention"]["kernel"] + params["attention"]["bias"])
    e = np.exp(u @ params["query"]["kernel"])
    return np.sum(e / e.sum() * outputs, axis=0)


POOLED = {
    "last": lambda params, outputs, last: last,
    "mean": lambda params, outputs, last: outputs.mean(axis=0),
    "max": lambda params, outputs, last: outputs.max(axis=0),
    "attention": lambda params, outputs, last: attended(params, outputs),
}


@pytest.mark.parametrize("pooling", POOLED)
def test_the_equations(pooling):
    """Padding, also more of it, changes nothing."""
    model, params = model_and_params("document_classifier", **FIELDS, pooling=pooling)
    apply = jax.jit(model.apply)
    found, wide = (apply({"params": params}, *inputs(steps)) for steps in (4, 7))
    assert found.shape == (3, 3)
    np.testing.assert_allclose(wide, found, rtol=1e-5, atol=1e-6)
    for logits, text in zip(found, TEXTS, strict=True):
        outputs, last = both_ways(params["text"], params["word"]["embedding"][text])
        vector = POOLED[pooling](params, outputs, last)
        expected = vector @ params["class"]["kernel"] + params["class"]["bias"]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bidirectional, size", [(True, 10), (False, 5)])
def test_the_last_states_are_of_the_last_layer(bidirectional, size):
    fields = {"num_layers": 2, "cell": "gru", "pooling": "last"}
    model, params = model_and_params(
        "document_classifier", **FIELDS, **fields, bidirectional=bidirectional
    )
    assert params["class"]["kernel"].shape == (size, 3)

    def outputs_of_text(module, method):
        return (module.name, method) == ("text", "__call__")

    watched = partial(model.apply, capture_intermediates=outputs_of_text)
    logits, state = jax.jit(watched)({"params": params}, *inputs())
    outputs, _ = state["intermediates"]["text"]["__call__"][0]
    last = [outputs[i, n - 1, :5] for i, n in enumerate(inputs()[1])]
    if bidirectional:
        pairs = zip(last, outputs[:, 0, 5:], strict=True)
        last = [np.concatenate(pair) for pair in pairs]
    expected = np.array(last) @ params["class"]["kernel"] + params["class"]["bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def test_word_dropout_takes_words_for_unknown_ones():
    model, params = model_and_params(
        "document_classifier", **FIELDS, word_dropout=1 - 1e-7
    )
    tokens, lengths = inputs()
    params = {"params": params}
    training = partial(model.apply, train=True, rngs={"dropout": jax.random.key(1)})
    found = jax.jit(training)(params, tokens, lengths)
    unknown = jax.jit(model.apply)(params, np.ones_like(tokens), lengths)
    np.testing.assert_allclose(found, unknown, rtol=1e-5)


@pytest.mark.parametrize("field", ["cell", "pooling"])
def test_an_unknown_choice(field):
    with pytest.raises(InputError, match=f"{field}='none_such'"):
        model_and_params("document_classifier", **{field: "none_such"})


@pytest.mark.parametrize("pairs", [0, 11])
def test_a_bag_is_the_sum_of_its_items(pairs):
    model, params = model_and_params("bag_of_words", **BAG, pairs=pairs)
    assert set(params) == {"item", "bias"} | ({"pair"} if pairs else set())
    for steps in (4, 7):
        found = jax.jit(model.apply)({"params": params}, *inputs(steps))
        for logits, text in zip(found, TEXTS, strict=True):
            expected = params["bias"] + params["item"][text].sum(axis=0)
            if pairs:
                following = zip(text, text[1:], strict=False)
                boxes = [(a * SPREAD % 2**32 + b) % 2**32 % pairs for a, b in following]
                expected = expected + params["pair"][boxes].sum(axis=0)
            np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_a_bag_knows_no_order_but_its_pairs_do():
    tokens, lengths = np.array([[4, 5, 6], [6, 5, 4]], np.int32), np.array([3, 3])
    for pairs, same in ((0, True), (1000, False)):
        model, params = model_and_params("bag_of_words", **BAG, pairs=pairs)
        one, other = jax.jit(model.apply)({"params": params}, tokens, lengths)
        assert np.allclose(one, other, rtol=1e-5) == same
