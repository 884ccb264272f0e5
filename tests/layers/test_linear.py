"""Dense, Affine and RBF against NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.layers import RBF, Affine, Cost, Dense, Policy


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (2, 1, 4, 3)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_acts_on_the_last_axis(shape, use_bias):
    x, kernel, bias = normal(*shape), normal(3, 5, seed=1), normal(5, seed=2)
    params = {"kernel": kernel, "bias": bias} if use_bias else {"kernel": kernel}
    y = Dense(5, use_bias=use_bias).apply({"params": params}, jnp.asarray(x))
    expected = np.zeros((*shape[:-1], 5))
    for at in np.ndindex(*shape[:-1]):
        for o in range(5):
            terms = [x[at][i] * kernel[i, o] for i in range(3)]
            expected[at][o] = sum(terms, float(bias[o]) if use_bias else 0.0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_dense_by_hand():
    params = {
        "kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]]),
        "bias": jnp.array([5.0, 6.0]),
    }
    y = Dense(2).apply({"params": params}, jnp.array([[10.0, 100.0]]))
    assert y.tolist() == [[315.0, 426.0]]


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_has_the_parameters_it_names(use_bias):
    layer = Dense(5, use_bias=use_bias, policy=Policy(param="bfloat16"))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), jnp.ones((2, 3)))["params"]
    found = {name: (leaf.shape, leaf.dtype.name) for name, leaf in shapes.items()}
    expected = {"kernel": ((3, 5), "bfloat16"), "bias": ((5,), "bfloat16")}
    assert found == {k: v for k, v in expected.items() if use_bias or k == "kernel"}


def test_dense_gradients(x64):
    x = jnp.asarray(normal(4, 3, dtype=np.float64))
    apply = jax.jit(Dense(5, policy=Policy(*["float64"] * 3)).apply)
    kernel = jnp.asarray(normal(3, 5, dtype=np.float64))
    params = {"kernel": kernel, "bias": jnp.ones(5)}
    check_grads(lambda p, x: apply({"params": p}, x), (params, x), 1, rtol=1e-6)


def test_rbf_gradient_by_hand():
    """d/dx_j of (x_j - w_j)^2 is 2 (x_j - w_j)."""
    grad = jax.grad(lambda x: RBF(((1, -1),)).apply({}, x)[0, 0])
    assert grad(jnp.array([[4.0, 2.0]])).tolist() == [[6.0, 6.0]]


class Twice(nn.Module):
    """Uses one Affine two times: y = x W + b, and y W + b."""

    def setup(self):
        self.loop = Affine(3, 3)

    def __call__(self, x):
        kernel, bias = self.loop.weights()
        y = x @ kernel + bias[None]
        return y @ kernel + bias[None]


def test_affine_gives_its_weights_to_be_used_again():
    kernel, bias, x = normal(3, 3), normal(3, seed=1), normal(4, 3, seed=2)
    params = {"loop": {"kernel": kernel, "bias": bias}}
    y = Twice().apply({"params": params}, jnp.asarray(x))
    expected = (x @ kernel + bias) @ kernel + bias
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_affine_gives_them_in_the_compute_dtype():
    layer = Affine(7, 3, policy=Policy(compute="bfloat16"))
    (kernel, bias), variables = layer.init_with_output(
        jax.random.key(0), method="weights"
    )
    assert kernel.shape == (7, 3) and bias.shape == (3,)
    assert kernel.dtype == bias.dtype == jnp.bfloat16
    assert {a.dtype.name for a in jax.tree.leaves(variables)} == {"float32"}


def test_rbf_by_hand():
    """(1 - 1)^2 + (2 + 1)^2 = 9 and (1 + 1)^2 + (2 + 1)^2 = 13; 0 at a centre."""
    layer = RBF(((1, -1), (-1, -1)))
    y = layer.apply({}, jnp.array([[1.0, 2.0], [-1.0, -1.0]]))
    assert y.tolist() == [[9.0, 13.0], [4.0, 0.0]]


def test_rbf_against_numpy():
    centers = tuple(map(tuple, np.sign(normal(10, 84)).astype(int).tolist()))
    x = normal(5, 84, seed=1)
    expected = [[np.sum((row - np.array(c)) ** 2) for c in centers] for row in x]
    y = RBF(centers).apply({}, jnp.asarray(x))
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    narrow = RBF(centers).apply({}, jnp.asarray(x, jnp.bfloat16))
    assert narrow.dtype == jnp.float32


def test_rbf_has_no_parameters():
    variables = RBF(((1, -1),)).init(jax.random.key(0), jnp.ones((1, 2)))
    assert jax.tree.leaves(variables) == []


def test_costs_by_hand():
    # 84 units of 120 inputs: 10,080 products, and 84 biases.
    assert Dense(84).cost((120,), (84,)) == Cost(10080, 10164)
    assert Dense(84, use_bias=False).cost((120,), (84,)) == Cost(10080, 10080)
    # At each of 2 x 3 positions.
    assert Dense(5).cost((2, 3, 4), (2, 3, 5)) == Cost(6 * 20, 6 * 25)
    assert Affine(185, 128).cost((185,), (128,)) == Cost(23680, 23808)
    # 10 units of 84 differences; the centres are not parameters, but connections.
    assert RBF(((1,),)).cost((84,), (10,)) == Cost(840, 840)
