"""The readers of sequences are a layer and a matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, RNN
from jnets.models import create
from jnets.models.sequence_reader import CELLS

LAYERS = {
    "elman": RNN(4),
    "irnn": RNN(4, activation="relu"),
    "lstm_1997": LSTM(4, forget=False),
    "lstm": LSTM(4),
    "gru": GRU(4),
}


@pytest.mark.parametrize("cell", CELLS)
def test_it_reads_the_last_state(cell):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 3, 5)), jnp.float32)
    model = create("sequence_reader", cell=cell, hidden=4, outputs=2)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    layer, readout = (variables["params"][name] for name in ("layer", "readout"))
    outputs, _ = LAYERS[cell].apply({"params": layer}, x)
    expected = outputs[:, -1] @ readout["kernel"] + readout["bias"][None]
    np.testing.assert_allclose(model.apply(variables, x), expected, rtol=1e-5)
    kernel = layer["layer0"]["recurrent_kernel"]
    assert np.array_equal(kernel, np.eye(4)) == (cell == "irnn")


def test_fields():
    x = jnp.ones((1, 2, 3))
    with pytest.raises(InputError, match="cell='none' is unknown"):
        jax.eval_shape(
            create("sequence_reader", cell="none").init, jax.random.key(0), x
        )
    model = create("sequence_reader", cell="irnn", hidden=4, scheme="uniform_0.01")
    kernel = model.init(jax.random.key(0), x)["params"]["layer"]["layer0"]["kernel"]
    assert 0 < np.abs(kernel).max() <= 0.01
