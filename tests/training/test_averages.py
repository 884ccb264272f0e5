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


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9999])
def test_ema_is_a_recurrence_whose_decay_grows(decay, x64):
    found, expected = averaged(ema(decay)), VALUES[0]
    for t, value in enumerate(VALUES[1:]):
        d = min(decay, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * value
        np.testing.assert_allclose(found[t], expected, rtol=1e-12)


def test_ema_spans_a_tenth_of_what_was_seen_and_then_a_window(x64):
    """The mean age of what is averaged, by an average of the update's own number."""
    average = jax.jit(ema(0.998))

    def body(mean, t):
        mean = average(mean, t.astype(float), t)
        return mean, t - mean

    _, age = jax.lax.scan(body, jnp.asarray(-1e6), jnp.arange(20_000))
    assert age[1_000] == pytest.approx(100, rel=0.02)
    assert age[-1] == pytest.approx(0.998 / 0.002, rel=1e-3)


def test_ema_in_single_precision():
    found = averaged(ema(0.9999), np.float32(VALUES))
    with jax.enable_x64(True):
        exact = averaged(ema(0.9999))
    np.testing.assert_allclose(found, exact, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("start", [0, 4])
def test_polyak_is_the_mean_since_its_start(start, x64):
    found = averaged(polyak(start=start))
    for t in range(1, 12):
        since = VALUES[start + 1 : t + 1] if t > start else VALUES[t : t + 1]
        np.testing.assert_allclose(found[t - 1], since.mean(0), rtol=1e-12)


def test_types_are_kept():
    for average in (ema(0.9), polyak()):
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
