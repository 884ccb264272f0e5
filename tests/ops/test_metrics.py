"""The best k: literals, ties and NaN, and a sort in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.errors import InputError
from jnets.ops.metrics import top_k_correct

NAN = float("nan")
COMPILED = jax.jit(top_k_correct, static_argnums=2)


def correct(row, k):
    """Of one row of logits, for every label."""
    logits = jnp.tile(jnp.array(row)[None], (len(row), 1))
    return top_k_correct(logits, jnp.arange(len(row)), k).tolist()


@pytest.mark.parametrize(
    "row, k, expected",
    [
        ([1.0, 4.0, 3.0, 2.0], 1, [False, True, False, False]),
        ([1.0, 4.0, 3.0, 2.0], 3, [False, True, True, True]),
        ([1.0, 4.0, 3.0, 2.0], 4, [True] * 4),
        ([1.0, 4.0], 5, [True, True]),
        # Of equal ones the first.
        ([2.0, 2.0, 2.0], 1, [True, False, False]),
        ([1.0, 2.0, 2.0, 2.0], 2, [False, True, True, False]),
        # A NaN is the largest, and never correct.
        ([1.0, NAN, 0.0], 1, [False, False, False]),
        ([1.0, NAN, 0.0], 2, [True, False, False]),
        ([NAN, NAN], 2, [False, False]),
        ([-jnp.inf, 0.0, jnp.inf], 2, [False, True, True]),
    ],
)
def test_by_hand(row, k, expected):
    assert correct(row, k) == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.sampled_from([1, 2, 5, 7]))
def test_a_stable_sort(seed, k):
    """Few values, so that ties are common; five classes."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-2, 3, (40, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 40)
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    expected = (best == labels[:, None]).any(1)
    found = COMPILED(jnp.asarray(logits), jnp.asarray(labels), k)
    np.testing.assert_array_equal(found, expected)
    _, best = jax.lax.top_k(jnp.asarray(logits), min(k, 5))
    np.testing.assert_array_equal(found, (best == labels[:, None]).any(1))


def test_the_first_is_argmax():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.integers(0, 4, (200, 5)).astype(np.float32))
    labels = jnp.asarray(rng.integers(0, 5, 200))
    found = COMPILED(logits, labels, 1)
    np.testing.assert_array_equal(found, jnp.argmax(logits, axis=1) == labels)


def test_types():
    logits, labels = jnp.eye(300, 300), jnp.arange(300)
    with jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.int32, jnp.int16):
            assert top_k_correct(logits, labels.astype(dtype), 1).all()
        narrow = top_k_correct(logits.astype(jnp.bfloat16), labels, 1)
        assert narrow.dtype == bool and narrow.all()


@pytest.mark.parametrize("k", [0, -1])
def test_k_counts(k):
    with pytest.raises(InputError, match=f"^k {k} is too small"):
        top_k_correct(jnp.zeros((1, 2)), jnp.array([0]), k)
