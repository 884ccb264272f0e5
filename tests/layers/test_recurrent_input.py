"""What recurrent layers refuse: one line that names the argument."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, RNN, RecurrentState
from jnets.ops.cells import derived

B, T, F, H = 3, 5, 2, 4
X = jnp.zeros((B, T, F))


def refused(message, layer, x=X, **given):
    with pytest.raises(InputError, match=message) as caught:
        jax.eval_shape(lambda key: layer.init(key, x, **given), jax.random.key(0))
    assert "\n" not in str(caught.value)


FIELDS = [
    (LSTM(0), r"^hidden=0 .* at least 1"),
    (RNN(H, num_layers=0), r"^num_layers=0 .* at least 1"),
    (LSTM(H, projection=0), r"^projection=0 .* at least 1"),
    (GRU(H, window=0), r"^window=0 .* at least 1"),
    (GRU(H, unroll=-1), r"^unroll=-1 .* at least 1"),
    (GRU(H, dropout=1.0), r"^dropout=1.0 .*0 <= rate < 1"),
    (GRU(H, recurrent_dropout=-0.1), r"^recurrent_dropout=-0.1 .*0 <= rate < 1"),
    (GRU(H, bidirectional=True, reverse=True), r"^reverse=True with bidirectional"),
    (GRU(H, residual=True, highway=True), r"^residual=True with highway=True"),
    (GRU(H, save="all"), r"^save='all' is unknown; .*'gates', 'states', 'sqrt'"),
    (GRU(H, save=0), r"^save=0 .*number of steps"),
    (RNN(H, activation="gelu"), r"^activation='gelu' is unknown; .*'tanh'"),
]


def three_states(zx, before, p, dot):
    a, b, c = before
    return jnp.tanh(zx + dot(0, a)), a, b + c


FIELDS.append((RNN(H, own=derived(three_states, 1, 3)), "^own has 3 states; expected"))


@pytest.mark.parametrize(("layer", "message"), FIELDS, ids=[m for _, m in FIELDS])
def test_fields(layer, message):
    refused(message, layer)


ONES = jnp.ones((B, T), bool)
ARGUMENTS = [
    ({"x": jnp.zeros((T, F))}, r"^x has shape \(5, 2\); expected \[batch, steps, f"),
    ({"x": jnp.zeros((B, T, F), int)}, r"^x has dtype int32; expected floating"),
    ({"lengths": np.zeros(B + 1, int)}, r"^lengths has shape \(4,\).*\(3,\)"),
    ({"lengths": np.zeros((B, 1), int)}, r"^lengths has shape \(3, 1\).*\(3,\)"),
    ({"lengths": np.ones(B)}, r"^lengths has .*dtype float(32|64); expected integers"),
    ({"mask": ONES.T}, r"^mask has shape \(5, 3\).*bool \(3, 5\)"),
    ({"mask": ONES.astype(int)}, r"^mask .*dtype int32; expected bool \(3, 5\)"),
    ({"resets": ONES[:, :4]}, r"^resets has shape \(3, 4\).*bool \(3, 5\)"),
    ({"resets": ONES.astype(float)}, r"^resets .*dtype float32; expected bool"),
    ({"lengths": np.ones(B, int), "mask": ONES}, r"^lengths and mask are both given"),
]


@pytest.mark.parametrize(("given", "message"), ARGUMENTS, ids=[m for _, m in ARGUMENTS])
def test_arguments(given, message):
    refused(message, GRU(H), **given)


@pytest.mark.parametrize("lengths", [[5, 6, 1], [-1, 5, 2]])
def test_lengths_that_x_does_not_have(lengths):
    """Said where their values are known, compiled or not."""
    layer, message = GRU(H), r"^lengths go from -?1 to [56]; expected 0 to 5, the steps"
    variables = layer.init(jax.random.key(0), X)
    for given in (lengths, np.array(lengths), jnp.array(lengths)):
        with pytest.raises(InputError, match=message):
            layer.apply(variables, X, lengths=given)
        with pytest.raises(InputError, match=message):
            jax.jit(lambda x, n=given: layer.apply(variables, x, lengths=n))(X)


def test_resets_and_masks_may_be_lists():
    layer, rows = GRU(H), [[True] * T] * B
    variables = layer.init(jax.random.key(0), X)
    x = X + 1
    for name in ("mask", "resets"):
        found = layer.apply(variables, x, **{name: rows})
        wanted = layer.apply(variables, x, **{name: ONES})
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


def state(*shapes, dtype=jnp.float32):
    return RecurrentState(*(jnp.zeros(shape, dtype) for shape in shapes))


STATES = [
    (GRU(H), state((1, B, 5)), r"\[\(1, 3, 5\)\]; expected \[\(1, 3, 4\)\]"),
    (GRU(H), state((B, H)), r"\[\(3, 4\)\]; expected \[\(1, 3, 4\)\]"),
    (GRU(H, num_layers=2), state((1, B, H)), r"expected \[\(2, 3, 4\)\]"),
    (GRU(H, bidirectional=True), state((1, B, H)), r"expected \[\(2, 3, 4\)\]"),
    (GRU(H), state((1, 4, H)), r"expected \[\(1, 3, 4\)\]"),
    (GRU(H), state((1, B, H), (1, B, H)), r"expected \[\(1, 3, 4\)\]"),
    (LSTM(H), state((1, B, H)), r"expected \[\(1, 3, 4\), \(1, 3, 4\)\]"),
    (
        LSTM(H, projection=2),
        state((1, B, H), (1, B, H)),
        r"expected \[\(1, 3, 2\), \(1, 3, 4\)\]",
    ),
]


@pytest.mark.parametrize(("layer", "given", "message"), STATES, ids=range(len(STATES)))
def test_states_of_a_wrong_size(layer, given, message):
    refused(f"^initial_state has shapes .*{message}", layer, initial_state=given)


def test_states_of_a_wrong_dtype():
    given = state((1, B, H), (1, B, H), dtype=jnp.bfloat16)
    message = r"^initial_state.h is bfloat16; expected float32"
    refused(message, LSTM(H), initial_state=given)
