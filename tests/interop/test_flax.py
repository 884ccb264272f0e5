"""Flax's recurrent cells, run live beside the layers that have their weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.flax import recurrent_to_cells, recurrent_to_variables
from jnets.layers import GRU, LSTM, RNN
from jnets.ops.cells import elman
from tests.interop.recurrent_runs import ODD, close, random_variables, run, same_bits

B, T, F, H = 3, 6, 2, 4
CELLS = {
    "tanh": (nn.SimpleCell(H), RNN(H)),
    "relu": (nn.SimpleCell(H, activation_fn=jax.nn.relu), RNN(H, activation="relu")),
    "identity": (
        nn.SimpleCell(H, activation_fn=lambda z: z),
        RNN(H, activation="identity"),
    ),
    "lstm": (nn.LSTMCell(H), LSTM(H)),
    "lstm_optimized": (nn.OptimizedLSTMCell(H), LSTM(H)),
    "gru": (nn.GRUCell(H), GRU(H)),
}


def flax_layers(cell, directions, layers):
    """run(cells, x, lengths) -> (y, carries of each cell) with Flax's own RNN."""

    def run(cells, x, lengths):
        carries, parameters = [], iter(cells)
        for _ in range(layers):
            outputs = []
            for reverse in range(directions):
                layer = nn.RNN(
                    cell, return_carry=True, reverse=bool(reverse), keep_order=True
                )
                variables = {"params": {"cell": next(parameters)}}
                carry, y = layer.apply(variables, x, seq_lengths=lengths)
                carries.append(carry)
                outputs.append(y)
            x = jnp.concatenate(outputs, axis=-1)
        return x, carries

    return run


def initialised(cell, directions, layers):
    """The parameters of every cell as Flax makes them, biases moved off zero."""
    cells = []
    for k in range(layers * directions):
        x = jnp.zeros((1, 1, F if k < directions else directions * H))
        params = nn.RNN(cell).init(jax.random.key(k), x)["params"]["cell"]
        rng = np.random.default_rng(k)
        cells.append(
            jax.tree.map(
                lambda a, rng=rng: a + rng.standard_normal(a.shape).astype("float32"),
                params,
            )
        )
    return cells


# Compiling is what takes time.
FORMS = {"tanh": (1, 2), "lstm": (2, 2), "gru": (2, 1)}


@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients(name):
    (cell, layer), (directions, layers) = CELLS[name], FORMS.get(name, (1, 1))
    layer = layer.clone(num_layers=layers, bidirectional=directions == 2)
    cells = initialised(cell, directions, layers)
    theirs = flax_layers(cell, directions, layers)
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.standard_normal((B, T, F)).astype("float32"))
    dy = rng.standard_normal((B, T, directions * H)).astype("float32")
    lengths = jnp.array([6, 1, 4])
    # Flax leaves what it computes at padding in the outputs.
    valid = jnp.arange(T)[None, :, None] < lengths[:, None, None]

    @jax.jit
    def expectation(cells, x):
        def loss(cells, x):
            y, carries = theirs(cells, x, lengths)
            y = jnp.where(valid, y, 0)
            return jnp.vdot(y, dy), (y, carries)

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(cells, x)

    (d_cells, dx), (y, carries) = expectation(cells, x)
    variables = recurrent_to_variables(cells, layer)
    outputs, d_variables, ours_dx = run(layer, variables, x, {"y": dy}, lengths=lengths)
    expected = {"y": y, "h": jnp.stack(carries) if "lstm" not in name else None}
    if "lstm" in name:
        expected["c"], expected["h"] = map(jnp.stack, zip(*carries, strict=True))
    close(outputs, expected)
    close({"x": ours_dx}, {"x": dx})
    found = recurrent_to_cells(d_variables, layer)
    assert jax.tree.structure(found) == jax.tree.structure(d_cells)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(d_cells), strict=True):
        close({"d": one}, {"d": two})


@pytest.mark.parametrize("name", CELLS)
def test_round_trips(name):
    """Both ways, to the bit: no two numbers of one become one of the other."""
    cell, layer = CELLS[name]
    layer = layer.clone(num_layers=2, bidirectional=True)
    cells = initialised(cell, 2, 2)
    same_bits(recurrent_to_cells(recurrent_to_variables(cells, layer), layer), cells)
    variables = jax.tree.map(
        lambda a: np.where(a > 0, a, -0.0).astype(jnp.bfloat16),
        random_variables(layer, F),
    )
    back = recurrent_to_variables(recurrent_to_cells(variables, layer), layer)
    same_bits(back, variables)


def test_a_layer_run_backwards():
    """`reverse` is not in the weights."""
    cell, layer = CELLS["gru"]
    (params,) = initialised(cell, 1, 1)
    x = jax.random.normal(jax.random.key(3), (B, T, F))
    flax = nn.RNN(cell, reverse=True, keep_order=True)
    expected = flax.apply({"params": {"cell": params}}, x)
    layer = layer.clone(reverse=True)
    variables = jax.tree.map(jnp.asarray, recurrent_to_variables([params], layer))
    y, _ = layer.apply(variables, x)
    close({"y": y}, {"y": expected})


def refused(cells, layer, *words):
    with pytest.raises(InputError) as caught:
        recurrent_to_variables(cells, layer)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message


def test_wrong_cells():
    layer = LSTM(H, num_layers=2)
    one, two = initialised(nn.LSTMCell(H), 1, 2)
    start = "cells is not of LSTM(hidden=4, num_layers=2): "
    less = {k: v for k, v in two.items() if k != "hf"}
    refused(
        [one, less], layer, start, "2 missing (cells[1]/hf/kernel, cells[1]/hf/bias)"
    )
    more = {**one, "ii": {**one["ii"], "bias": np.ones(4)}}
    refused([more, two], layer, start + "1 unknown (cells[0]/ii/bias)")
    wrong = {**two, "io": {"kernel": np.ones((3, 4))}}
    refused([one, wrong], layer, "cells[1]/io/kernel is (3, 4), expected (4, 4)")
    refused([one], layer, "12 missing (cells[1]/ii/kernel")
    refused([one, two, two], layer, "12 unknown (cells[2]/hf/bias")
    refused([{"cell": one}, two], layer, "12 unknown (cells[0]/cell/hf/bias")
    refused(one, LSTM(H), "cells is one dict; expected a list")
    refused([one, two], LSTM(5, num_layers=2), "is (2, 4), expected (2, 5)")
    refused([one], GRU(H), "12 unknown", "10 missing (cells[0]/ir/kernel")


def test_layers_that_flax_does_not_have():
    odd = [
        *ODD,
        (RNN(3, own=elman()), "own=a Cell"),
        (RNN(3, use_bias=False), "use_bias=False"),
        (GRU(3, reset_after=False), "reset_after=False"),
        (LSTM(3, projection=2), "projection=2"),
    ]
    for layer, words in odd:
        text = f"{words} has no counterpart in Flax's cells; expected "
        refused([], layer, text)
        with pytest.raises(InputError, match=words):
            recurrent_to_cells({"params": {}}, layer)


def test_variables_of_another_layer():
    with pytest.raises(InputError, match="not those of GRU.*1 missing.*recurrent_bias"):
        variables = random_variables(GRU(H), F)
        del variables["params"]["layer0"]["recurrent_bias"]
        recurrent_to_cells(variables, GRU(H))
