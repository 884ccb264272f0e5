"""Two small models: one whose gradients are done by hand, one with every kind of
state."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.training import create_state


class Line(nn.Module):
    """x [B, D] -> x . w [B, 1], from w = 0."""

    @nn.compact
    def __call__(self, x, *, train=False):
        del train
        w = self.param("w", nn.initializers.zeros_init(), (x.shape[-1],))
        return (x @ w)[:, None]


def half_square(outputs, labels):
    """(x . w - y)^2 / 2, whose gradient in w is (x . w - y) x."""
    return 0.5 * (outputs[:, 0] - labels) ** 2


class Net(nn.Module):
    """Parameters, running statistics and dropout: x [B, D] -> logits [B, 3]."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x)


class Problem(NamedTuple):
    """A model, its loss per example and its data: (inputs,), labels."""

    model: nn.Module
    loss: Callable
    data: tuple

    def state(self, optimizer, *, seed=0):
        return create_state(self.model, (self.data[0][0][:1],), optimizer, seed=seed)


@pytest.fixture(scope="session")
def line():
    """Least squares on a given x [N, D] and y [N]."""

    def make(x, y):
        data = (jnp.asarray(x, jnp.float32),), jnp.asarray(y, jnp.float32)
        return Problem(Line(), half_square, data)

    return make


@pytest.fixture(scope="session")
def net():
    """23 examples of 3 classes: with minibatches of 4 the sixth update has 3."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(23, 4)).astype(np.float32)
    y = np.argmax(x[:, :3], axis=1).astype(np.int32)
    loss = optax.softmax_cross_entropy_with_integer_labels
    return Problem(Net(), loss, ((jnp.asarray(x),), jnp.asarray(y)))


def _bits(leaf):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    return array.dtype, array.shape, array.tobytes()


@pytest.fixture(scope="session")
def bits():
    """A tree with each array (or typed key) as its dtype, shape and bytes."""
    return lambda tree: jax.tree.map(_bits, tree)
