"""Keras's weights in and out; its numbers, stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.keras import recurrent_to_variables, recurrent_to_weights
from jnets.layers import GRU, LSTM, RNN
from jnets.ops.cells import elman
from tests.interop.recurrent_runs import (
    ODD,
    close,
    random_variables,
    run,
    same_bits,
    stored,
)

WHOLE = dict(num_layers=2, bidirectional=True)
LAYERS = {
    "keras_rnn": RNN(3, activation="relu", **WHOLE),
    "keras_lstm": LSTM(3, **WHOLE),
    "keras_gru": GRU(3, **WHOLE),
    "keras_gru_before": GRU(3, reset_after=False, **WHOLE),
    "keras_gru_biasless": GRU(3, use_bias=False, **WHOLE),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(name):
    """float32 against Keras in float64."""
    case, layer = stored(name), LAYERS[name]
    variables = recurrent_to_variables(list(case.weights.values()), layer)
    outputs, d_variables, dx = run(layer, variables, case.x, case.cotangents)
    close(outputs, case.outputs)
    weights = recurrent_to_weights(d_variables, layer)
    if name == "keras_gru":
        for d in weights[2::3]:
            d[1, :6] = d[0, :6]  # of both biases' sum it is that of each of them
    close({"x": dx, **{str(k): d for k, d in enumerate(weights)}}, case.gradients)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_round_trips(name, use_bias):
    """To the bit: -0.0 too."""
    layer = LAYERS[name].clone(use_bias=use_bias)
    variables = random_variables(layer, 4)
    if use_bias:
        variables = jax.tree.map(
            lambda a: np.where(a > 0, a, -np.float32(0)), variables
        )
    variables = jax.tree.map(lambda a: a.astype(jnp.bfloat16), variables)
    weights = recurrent_to_weights(variables, layer)
    assert len(weights) == (12 if use_bias else 8)
    same_bits(recurrent_to_variables(weights, layer), variables)


@pytest.mark.parametrize("name", ["keras_rnn", "keras_lstm", "keras_gru_before"])
def test_the_other_way_round(name):
    """Where Keras has one bias."""
    weights = list(stored(name).weights.values())
    variables = recurrent_to_variables(weights, LAYERS[name])
    same_bits(recurrent_to_weights(variables, LAYERS[name]), weights)


def test_the_order_of_gates():
    """z, r, h there, r, z, n here; of two biases the sum, but for h."""
    weights = list(stored("keras_gru").weights.values())
    cell = recurrent_to_variables(weights, LAYERS["keras_gru"])["params"][
        "layer0_reverse"
    ]
    kernel, recurrent, bias = weights[3:6]
    assert cell["kernel"][1].tolist() == kernel[1, [3, 4, 5, 0, 1, 2, 6, 7, 8]].tolist()
    assert cell["recurrent_kernel"][2, 4] == recurrent[2, 1]
    assert cell["bias"][5] == bias[0, 2] + bias[1, 2]
    assert cell["bias"][6:].tolist() == bias[0, 6:].tolist()
    assert cell["recurrent_bias"].tolist() == bias[1, 6:].tolist()


def refused(weights, layer, *words):
    with pytest.raises(InputError) as caught:
        recurrent_to_variables(weights, layer)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message


def test_wrong_weights():
    weights = list(stored("keras_gru").weights.values())
    start = "weights is not of GRU(hidden=3, num_layers=2, bidirectional=True): "
    layer = LAYERS["keras_gru"]
    refused(weights[:-1], layer, "1 missing (weights[11], the bias of layer1_reverse)")
    refused(weights[:6], layer, start + "6 missing (weights[6], the kernel of layer1,")
    refused([*weights, np.ones(3)], layer, start + "1 unknown (weights[12])")
    refused(weights, GRU(3, bidirectional=True), "6 unknown (weights[10], weights[11]")
    wrong = [*weights[:2], np.ones(9), *weights[3:]]
    text = "weights[2], the bias of layer0 is (9,), expected (2, 9)"
    refused(wrong, layer, start + text)
    # `reset_after` shows in the bias alone.
    refused(weights, LAYERS["keras_gru_before"], "reset_after=False", "expected (9,)")
    refused([], layer, "12 missing (weights[0], the kernel of layer0, ")
    refused(
        weights, LSTM(3, **WHOLE), "the kernel of layer0 is (2, 9), expected (2, 12)"
    )


def test_layers_that_keras_does_not_have():
    odd = [*ODD, (RNN(3, own=elman()), "own=a Cell"), (LSTM(3, projection=2), "projec")]
    for layer, words in odd:
        refused([], layer, words, "has no counterpart in Keras; expected ")
        with pytest.raises(InputError, match=words):
            recurrent_to_weights({"params": {}}, layer)
    refused([], LSTM(3, num_layers=0), "num_layers=0 is not usable")


def test_variables_of_another_layer():
    with pytest.raises(InputError, match="3 unknown .params/layer1/bias"):
        recurrent_to_weights(random_variables(LSTM(3, num_layers=2), 2), LSTM(3))
