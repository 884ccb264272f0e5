"""What recurrent weights start from: bounds, variances, and block by block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, RNN, RecurrentState

H, F = 64, 9
X = jnp.zeros((1, 1, F))


def start(layer, seed=0):
    return layer.init(jax.random.key(seed), X)["params"]["layer0"]


def is_uniform(a, bound):
    """Within +-bound, near it, and of its variance b^2 / 3 to 5 standard errors."""
    assert np.abs(a).max() <= bound
    assert np.abs(a).max() > 0.9 * bound
    # The variance of u^2 for u uniform on +-b is 4 b^4 / 45.
    assert abs((a**2).mean() - bound**2 / 3) < 5 * bound**2 * (4 / 45 / a.size) ** 0.5


def is_sum_of_two(a, bound):
    """A triangle on +-2 bound, of variance 2 b^2 / 3; E u^4 = 16 b^4 / 15."""
    assert bound < np.abs(a).max() <= 2 * bound
    error = bound**2 * ((16 / 15 - 4 / 9) / a.size) ** 0.5
    assert abs((a**2).mean() - 2 * bound**2 / 3) < 5 * error


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_pytorch_uniform(cell):
    """U(+-1/sqrt(H)) whatever the number of inputs; 1/8 here."""
    params = start(cell(H))
    is_uniform(params["kernel"], 1 / 8)
    is_uniform(params["recurrent_kernel"], 1 / 8)


def test_pytorch_biases_are_sums_of_two_draws():
    """torch.nn.RNN, LSTM and GRU add two biases; a GRU keeps one of n's apart."""
    is_sum_of_two(np.array(start(LSTM(1024))["bias"]), 1 / 32)
    is_sum_of_two(np.array(start(RNN(1024))["bias"]), 1 / 32)
    params = start(GRU(1024))
    bias = np.array(params["bias"])
    is_sum_of_two(bias[:2048], 1 / 32)
    is_uniform(bias[2048:], 1 / 32)
    is_uniform(np.array(params["recurrent_bias"]), 1 / 32)
    is_sum_of_two(np.array(start(GRU(1024, reset_after=False))["bias"]), 1 / 32)


def test_pytorch_uniform_of_what_some_cells_add():
    params = start(LSTM(H, projection=16, peepholes=True))
    is_uniform(params["projection_kernel"], 1 / 8)
    is_uniform(params["recurrent_kernel"], 1 / 8)
    for gate in "ifo":
        assert 0 < np.abs(params[f"peephole_{gate}"]).max() <= 1 / 8


@pytest.mark.parametrize("cell", [RNN, LSTM, GRU])
def test_orthogonal_gate_by_gate(cell):
    params = start(cell(H, recurrent_scheme="orthogonal"))
    gates = params["recurrent_kernel"].shape[1] // H
    blocks = np.split(np.array(params["recurrent_kernel"]), gates, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-5)
    assert len({block.tobytes() for block in blocks}) == gates


def test_orthogonal_of_other_shapes():
    params = start(LSTM(H, projection=16, recurrent_scheme="orthogonal"))
    for block in np.split(np.array(params["recurrent_kernel"]), 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(16), atol=1e-5)
    down = np.array(params["projection_kernel"])
    np.testing.assert_allclose(down.T @ down, np.eye(16), atol=1e-5)
    params = start(GRU(H, reset_after=False, recurrent_scheme="orthogonal"))
    block = np.array(params["candidate_kernel"])
    np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-5)


def test_identity_is_the_irnn():
    """With relu and no inputs the state stays as it is, where it is not negative."""
    layer = RNN(
        H, activation="relu", recurrent_scheme="identity", scheme="normal_0.001"
    )
    params = start(layer)
    np.testing.assert_array_equal(params["recurrent_kernel"], np.eye(H))
    np.testing.assert_array_equal(params["bias"], np.zeros(H))
    assert abs(params["kernel"].std() - 0.001) < 1e-4
    blocks = start(LSTM(H, recurrent_scheme="identity"))["recurrent_kernel"]
    np.testing.assert_array_equal(blocks, np.tile(np.eye(H), 4))


def test_kernels_have_the_fans_of_a_gate():
    """Variance 2 / (F + H), not 2 / (F + 4H)."""
    kernel = start(LSTM(H, scheme="glorot_normal"))["kernel"]
    error = (2 / kernel.size) ** 0.5
    assert abs((kernel**2).mean() * (F + H) / 2 - 1) < 5 * error


def test_forget_bias():
    plain, ready = start(LSTM(H)), start(LSTM(H, forget_bias=1.0))
    difference = np.array(ready["bias"] - plain["bias"])
    np.testing.assert_allclose(difference[H : 2 * H], 1, rtol=1e-6)
    np.testing.assert_array_equal(np.delete(difference, np.s_[H : 2 * H]), 0)
    zero = start(LSTM(H, scheme="lecun_normal", forget_bias=2.0))["bias"]
    np.testing.assert_array_equal(zero, np.repeat([0.0, 2, 0, 0], H))


def test_the_forget_bias_of_a_gru():
    """Of z, its second block: the state is kept longer."""
    plain, ready = start(GRU(H)), start(GRU(H, forget_bias=2.0))
    np.testing.assert_allclose(
        ready["bias"] - plain["bias"], np.repeat([0, 2, 0], H), atol=1e-6
    )
    x, ones = jnp.zeros((1, 6, F)), RecurrentState(jnp.ones((1, 1, H)))
    left = []
    for layer in (GRU(H), GRU(H, forget_bias=2.0)):
        variables = layer.init(jax.random.key(0), x)
        outputs, _ = layer.apply(variables, x, initial_state=ones)
        left.append(float(outputs[0, -1].mean()))
    assert left[0] < 0.3 < left[1]


def test_a_forget_bias_needs_a_forget_gate():
    with pytest.raises(InputError, match=r"^forget_bias=1.0 .*forget=False"):
        start(LSTM(H, forget=False, forget_bias=1.0))


def test_layers_and_directions_start_apart():
    layer = GRU(H, num_layers=2, bidirectional=True)
    params = layer.init(jax.random.key(0), X)["params"]
    kernels = {np.asarray(one["recurrent_kernel"]).tobytes() for one in params.values()}
    assert len(kernels) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "nice"}, r"^scheme='nice' is unknown; .*'pytorch_uniform'"),
        ({"scheme": "identity"}, r"^scheme='identity' is unknown"),
        ({"recurrent_scheme": "eye"}, r"^recurrent_scheme='eye' is .*'identity'"),
    ],
)
def test_unknown_schemes(options, message):
    with pytest.raises(InputError, match=message):
        start(LSTM(H, **options))
