"""What is handed to cuDNN, by JAX's own reference of it, which runs anywhere."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from jnets.errors import InputError
from jnets.layers import GRU, LSTM
from jnets.ops import cudnn
from jnets.ops.cells import gru
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import ALIKE, Form, Steps

B, T, F, H = 3, 7, 4, 5
X = jnp.asarray(np.random.default_rng(0).normal(size=(B, T, F)), jnp.float32)
LENGTHS = jnp.array([7, 3, 0])


def reference(x, h, c, weights, lengths, *static):
    """cuDNN's function, unpacked as JAX documents its layout."""
    assert x.dtype == weights.dtype == jnp.float32 and lengths.dtype == jnp.int32
    assert isinstance(lengths, jax.core.Tracer) or lengths.min() >= 1
    inputs, hidden, layers, dropout, both = static
    unpacked = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, both)
    return rnn.lstm_ref(x, h, c, *unpacked, lengths, *static)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(cudnn.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(rnn, "lstm", reference)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize(
    "fields",
    [
        {"num_layers": 2, "bidirectional": True},
        {"reverse": True},
        {"use_bias": False, "learned_start": True},
    ],
)
def test_numbers_and_gradients_are_those_of_the_scan(gpu, caplog, fields, lengths):
    caplog.set_level(logging.INFO, "jnets.recurrent")
    layer = LSTM(H, **fields)
    variables = layer.init(jax.random.key(1), X)

    def value(variables, x, implementation):
        chosen = layer.clone(implementation=implementation)
        hs, final = chosen.apply(variables, x, lengths=lengths)
        weights = jnp.arange(hs.size).reshape(hs.shape) % 7 - 3.0
        total = (hs * weights).sum() + final.h.sum() - 2 * final.c.sum()
        return total, (hs, final)

    by = {
        name: jax.value_and_grad(value, (0, 1), has_aux=True)(variables, X, name)
        for name in ("scan", "cudnn", "auto")
    }
    for name in ("cudnn", "auto"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            by[name],
            by["scan"],
        )
    said = {record.getMessage().split(" runs by ")[1] for record in caplog.records}
    assert said == {"scan", "cudnn"}


def test_what_stands_in_the_way(gpu):
    x, mask = jnp.zeros((T, B, F)), jnp.ones((T, B), bool)
    plain = Form(lstm())
    cases = [
        (plain, x, ALIKE, None, None),
        (plain._replace(reverse=True), x, Steps(valid=mask), LENGTHS, None),
        (Form(gru()), x, ALIKE, None, "plain LSTM"),
        (Form(lstm(forget=False)), x, ALIKE, None, "plain LSTM"),
        (plain._replace(window=3), x, ALIKE, None, "no truncation"),
        (plain._replace(compute="bfloat16"), x, ALIKE, None, "no other compute dtype"),
        (plain, x.astype(jnp.bfloat16), ALIKE, None, "x is bfloat16, not float32"),
        (plain, x, Steps(resets=mask), None, "no resets"),
        (plain, x, Steps(drop=jnp.ones((B, H))), None, "no dropout of h"),
        (plain, x, Steps(valid=mask), None, "takes lengths, not a mask"),
        (plain, x[:0], ALIKE, None, "no steps"),
    ]
    for form, x, steps, lengths, expected in cases:
        found = cudnn.obstacle(form, x, steps, lengths)
        assert (found is None) == (expected is None), (found, expected)
        assert expected is None or expected in found


def test_without_a_gpu(caplog):
    caplog.set_level(logging.INFO, "jnets.recurrent")
    with pytest.raises(
        InputError, match="^implementation='cudnn' cannot run layer0: th"
    ):
        LSTM(H, implementation="cudnn").init(jax.random.key(0), X)
    GRU(H).init(jax.random.key(0), X)
    (record,) = caplog.records
    assert record.getMessage() == (
        "layer0 runs by scan (the backend is cpu, not an NVIDIA GPU)"
    )
