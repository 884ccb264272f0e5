"""Averages as the weighted sums that they are, by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.training.averages import ema, polyak

VALUES = np.random.default_rng(0).normal(size=(12, 3))  # row 0 is where it starts


def averaged(average, values=VALUES):
    """The average after each update of a tree that goes through the values."""
    step = jax.jit(average)
    seen, tree = [], {"a": jnp.asarray(values[0])}
    for t, value in enumerate(values[1:]):
        tree = step(tree, {"a": jnp.asarray(value)}, jnp.int32(t))
        seen.append(tree["a"])
    return np.stack(seen)


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.9999])
def test_ema_is_a_weighted_mean_of_what_was_seen(decay, x64):
    found = averaged(ema(decay))
    for t in range(1, 12):
        weights = decay ** np.arange(t - 1, -1, -1.0)
        expected = weights @ VALUES[1 : t + 1] / weights.sum()
        np.testing.assert_allclose(found[t - 1], expected, rtol=1e-11)


def test_ema_without_correction_starts_from_the_initial_variables(x64):
    found = averaged(ema(0.9, debias=False))
    expected = VALUES[0]
    for value, mean in zip(VALUES[1:], found, strict=True):
        expected = 0.9 * expected + 0.1 * value
        np.testing.assert_allclose(mean, expected, rtol=1e-12)


def test_the_correction_is_exact_in_single_precision():
    """1 - .9999^t would have lost four digits."""
    found = averaged(ema(0.9999), np.float32(VALUES))
    np.testing.assert_allclose(found[0], VALUES[1], rtol=1e-6)
    np.testing.assert_allclose(found[-1], VALUES[1:].mean(0), rtol=2e-3)
    weights = 0.9999 ** np.arange(10, -1, -1.0)
    expected = weights @ VALUES[1:] / weights.sum()
    np.testing.assert_allclose(found[-1], expected, rtol=2e-6, atol=1e-7)


def test_no_decay_is_no_average():
    for debias in (False, True):
        found = averaged(ema(0.0, debias=debias), np.float32(VALUES))
        np.testing.assert_allclose(found, VALUES[1:], rtol=1e-6)


@pytest.mark.parametrize("start", [0, 4])
def test_polyak_is_the_mean_since_its_start(start, x64):
    found = averaged(polyak(start=start))
    for t in range(1, 12):
        since = VALUES[start + 1 : t + 1] if t > start else VALUES[t : t + 1]
        np.testing.assert_allclose(found[t - 1], since.mean(0), rtol=1e-12)


def test_types_are_kept():
    for average in (ema(0.9), ema(0.9, debias=False), polyak()):
        old = {"a": jnp.ones(2, jnp.bfloat16)}
        new = average(old, {"a": jnp.zeros(2, jnp.bfloat16)}, jnp.int32(5))
        assert new["a"].dtype == jnp.bfloat16


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_impossible_decays(decay):
    with pytest.raises(InputError, match=f"^ema={decay} is not usable; expected 0 <="):
        ema(decay)


def test_the_start_is_an_update():
    with pytest.raises(InputError, match="^start=-1 is not usable"):
        polyak(start=-1)
