"""Activations: literals, the formulas in NumPy, gradients in x64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.ops.activations import ACTIVATIONS, activation, prelu, scaled_tanh

FORMULAS = {
    "identity": lambda x: x,
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "scaled_tanh": lambda x: 1.7159 * np.tanh(2 * x / 3),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "softplus": lambda x: np.log(1 + np.exp(x)),
}
X = np.array([-3.1, -1.0, -0.2, 0.3, 1.0, 2.7])  # away from the kink at 0


def test_the_table_is_the_lectures_family():
    assert list(ACTIVATIONS) == list(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_gradients_and_types(x64, name):
    f = activation(name)
    np.testing.assert_allclose(f(jnp.asarray(X)), FORMULAS[name](X), rtol=1e-12)
    check_grads(jax.jit(f), (X,), order=1)
    narrow = jnp.asarray(X, jnp.bfloat16)
    y = f(narrow)
    assert y.dtype == jnp.bfloat16
    exact = FORMULAS[name](np.asarray(narrow, np.float64))
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-6, atol=2**-7)
    with jax.numpy_dtype_promotion("strict"):
        single = jnp.asarray(X, jnp.float32)
        np.testing.assert_allclose(jax.jit(f)(single), jax.vmap(f)(single), rtol=1e-6)


def test_scaled_tanh_as_lecun_describes_it(x64):
    one, slope = jax.value_and_grad(scaled_tanh)(1.0 * jnp.array(1.0))
    assert abs(one - 1) < 3.1e-6 and scaled_tanh(jnp.array(-1.0)) == -one
    assert float(jax.grad(scaled_tanh)(jnp.array(0.0))) == pytest.approx(1.14393, 1e-5)
    assert slope == pytest.approx(1.7159 * 2 / 3 * (1 - np.tanh(2 / 3) ** 2), 1e-12)
    # The second derivative is largest in size at about 1.
    second = jax.vmap(jax.grad(jax.grad(scaled_tanh)))(jnp.linspace(0.0, 3.0, 301))
    assert 0.97 <= 0.01 * int(jnp.argmax(jnp.abs(second))) <= 1.03


def test_prelu_has_one_slope_per_channel_or_one(x64):
    x = jnp.array([[[-2.0, -4.0], [3.0, -1.0]]])
    slopes = jnp.array([0.25, 0.5])
    assert prelu(x, slopes).tolist() == [[[-0.5, -2.0], [3.0, -0.5]]]
    assert prelu(x, jnp.array(0.1)).tolist() == [[[-0.2, -0.4], [3.0, -0.1]]]
    assert (prelu(x, jnp.array(0.01)) == ACTIVATIONS["leaky_relu"](x)).all()
    check_grads(jax.jit(prelu), (np.asarray(x), np.asarray(slopes)), order=1)
    gradient = jax.grad(lambda slope: prelu(x, slope).sum())(slopes)
    assert gradient.tolist() == [-2.0, -5.0]
    mapped = jax.vmap(prelu, (0, None))(x, slopes)
    assert (mapped == prelu(x, slopes)).all()


def test_errors_name_the_argument_on_one_line():
    with pytest.raises(InputError, match="'swish'.*identity, tanh.*softplus") as caught:
        activation("swish")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"slope has shape \(3,\).*\(2,\)"):
        prelu(jnp.ones((4, 2)), jnp.ones(3))
