"""Exact batch statistics against NumPy, for flat, scanned and repeated modules."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.layers import BatchNorm
from jnets.training.statistics import exact_statistics

IMAGES = np.random.default_rng(0).normal(2.0, 3.0, (20, 5, 4, 3)).astype(np.float32)
SIZES = (8, 8, 4)  # unequal, so that plain means of means are wrong


class Block(nn.Module):
    unbiased: bool

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(3, name="dense")(x)
        x = BatchNorm(momentum=0.8, unbiased=self.unbiased, name="norm")(x, train=train)
        return nn.relu(x), None


class Net(nn.Module):
    """A norm of the input, then three blocks, scanned under nn.remat or in turn."""

    scanned: bool = False
    unbiased: bool = True

    @nn.compact
    def __call__(self, x, *, train=False):
        x = BatchNorm(unbiased=self.unbiased, name="norm")(x, train=train)
        if not self.scanned:
            for i in range(3):
                x, _ = Block(self.unbiased, name=f"block{i}")(x, train)
            return x
        stack = nn.scan(
            nn.remat(Block, static_argnums=(2,)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=3,
        )
        return stack(self.unbiased, name="rest")(x, train)[0]


def batches(x=IMAGES):
    ends = np.cumsum(SIZES)
    return [
        (jnp.asarray(x[end - n : end]),) for n, end in zip(SIZES, ends, strict=True)
    ]


def variables(model):
    return model.init(jax.random.key(0), jnp.asarray(IMAGES[:1]))


@pytest.mark.parametrize("unbiased", [True, False])
def test_the_first_norm_has_the_statistics_of_the_whole_set(unbiased):
    model = Net(unbiased=unbiased)
    exact = exact_statistics(model, variables(model), batches())["batch_stats"]["norm"]
    pixels = IMAGES.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(exact["mean"], pixels.mean(0), rtol=1e-6)
    var = pixels.var(0, ddof=int(unbiased))
    np.testing.assert_allclose(exact["var"], var, rtol=1e-6)


def by_numpy(params):
    """Moments at every norm, each batch normalised by its own on the way."""
    seen = [[] for _ in range(4)]
    for (x,) in batches():
        x = np.asarray(x, np.float64)
        for i in range(4):
            if i:
                dense = params[f"block{i - 1}"]["dense"]
                x = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
            seen[i].append(x.reshape(-1, 3))
            x = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
            x = np.maximum(x, 0) if i else x
    return [np.concatenate(parts) for parts in seen]


def test_deeper_norms_and_scanned_ones():
    flat, scanned = Net(), Net(scanned=True)
    start = variables(flat)
    exact = exact_statistics(flat, start, batches())["batch_stats"]
    for i, values in enumerate(by_numpy(start["params"])):
        norm = exact[f"block{i - 1}"]["norm"] if i else exact["norm"]
        np.testing.assert_allclose(norm["mean"], values.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(norm["var"], values.var(0, ddof=1), rtol=2e-6)

    def stack(tree):
        blocks = [tree[f"block{i}"] for i in range(3)]
        rest = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
        return {"norm": tree["norm"], "rest": rest}

    stacked = {name: stack(tree) for name, tree in start.items()}
    found = exact_statistics(scanned, stacked, batches())["batch_stats"]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
        found,
        stack(exact),
    )


def test_one_batch_is_that_batch_and_what_was_there_is_forgotten():
    model = Net(unbiased=False)
    start = variables(model)
    noisy = {
        **start,
        "batch_stats": jax.tree.map(lambda s: s + 7, start["batch_stats"]),
    }
    whole = [(jnp.asarray(IMAGES),)]
    first, second = (exact_statistics(model, v, whole) for v in (start, noisy))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert jax.tree.structure(first) == jax.tree.structure(start)
    jax.tree.map(np.testing.assert_array_equal, first["params"], start["params"])
    # Used, the net now does to this batch what training does.
    used = model.apply(first, whole[0][0])
    trained, _ = model.apply(first, whole[0][0], train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(used, trained, atol=1e-5)


def test_a_large_mean_does_not_drown_the_variance():
    model, far = Net(), IMAGES + 300
    exact = exact_statistics(model, variables(model), batches(far))["batch_stats"]
    var = far.astype(np.float64).reshape(-1, 3).var(0, ddof=1)
    np.testing.assert_allclose(exact["norm"]["var"], var, rtol=1e-4)


def test_the_norm_of_flax():
    class Flax(nn.Module):
        @nn.compact
        def __call__(self, x, *, train=False):
            x = nn.BatchNorm(use_running_average=not train, momentum=0.7)(x)
            return nn.Dropout(0.5, deterministic=not train)(x)

    model = Flax()
    exact = exact_statistics(model, variables(model), batches())["batch_stats"]
    pixels = IMAGES.reshape(-1, 3).astype(np.float64)
    norm = exact["BatchNorm_0"]
    np.testing.assert_allclose(norm["mean"], pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(norm["var"], pixels.var(0), rtol=2e-5)


def test_there_must_be_a_batch():
    with pytest.raises(InputError, match="^batches has none in it"):
        exact_statistics(Net(), variables(Net()), [])
