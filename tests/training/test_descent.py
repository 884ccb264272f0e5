"""The three flavours against updates done by hand and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.errors import InputError
from jnets.models import create
from jnets.training import (
    Descent,
    batch,
    constant,
    create_state,
    epoch_order,
    inverse,
    make_program,
    make_step,
    minibatch,
    online,
)

# Three examples of y = x . w, and a rate, whose updates are exact in binary.
X, Y, RATE = [[1, 0], [1, 2], [0, 1]], [1, 2, -1], 0.5


def train(problem, descent, rate, order, updates):
    """w after each of `updates` updates that read the rows of `order` in turn."""
    optimizer = optax.sgd(rate)
    program = make_program(
        make_step(problem.model, problem.loss, optimizer, descent), 1
    )
    state, seen = problem.state(optimizer), []
    for _ in range(updates):
        state, _ = program(state, problem.data, jnp.asarray(order, jnp.int32))
        seen.append(np.asarray(state.params["w"]))
    return seen


# Worked on paper. Online: errors -1, -1.5, 2.5. Minibatch: the first two examples
# together, then the third alone beside a padding. Batch: all three, w = 0.
BY_HAND = {
    "online": (online(), [[0], [1], [2]], [[0.5, 0], [1.25, 1.5], [1.25, 0.25]]),
    "minibatch": (minibatch(2), [[0, 1], [2, -1]], [[0.75, 1], [0.75, 0]]),
    "minibatch, sum": (
        minibatch(2, reduction="sum"),
        [[0, 1], [2, -1]],
        [[1.5, 2], [1.5, 0.5]],
    ),
    "batch": (batch(3), [[0, 1, 2]], [[0.5, 0.5]]),
    "batch, sum": (batch(3, reduction="sum"), [[0, 1, 2]], [[1.5, 1.5]]),
    "batch in chunks": (batch(3, chunk=2), [[0, 1, 2, -1]], [[0.5, 0.5]]),
    "batch in chunks, sum": (
        batch(3, chunk=1, reduction="sum"),
        [[0, 1, 2]],
        [[1.5, 1.5]],
    ),
}


@pytest.mark.parametrize("flavour", BY_HAND)
def test_one_pass_by_hand(line, flavour):
    descent, order, expected = BY_HAND[flavour]
    found = train(line(X, Y), descent, constant(RATE), order, len(order))
    np.testing.assert_array_equal(found, expected)


def test_online_sum_is_online_mean(line):
    order = [[2], [0], [1]]
    mean, total = (
        train(line(X, Y), online(reduction=r), constant(RATE), order, 6)
        for r in ("mean", "sum")
    )
    np.testing.assert_array_equal(mean, total)


def numpy_updates(x, y, order, rate, reduction, updates):
    w, seen = np.zeros(x.shape[1]), []
    for t in range(updates):
        row = order[t % len(order)]
        row = row[row >= 0]
        gradient = (x[row] @ w - y[row]) @ x[row]
        w = w - rate(t) * (gradient / len(row) if reduction == "mean" else gradient)
        seen.append(w)
    return seen


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "make",
    [
        lambda reduction: online(reduction=reduction),
        lambda reduction: minibatch(3, reduction=reduction),
        lambda reduction: minibatch(16, reduction=reduction),
        lambda reduction: batch(11, chunk=4, reduction=reduction),
        lambda reduction: batch(11, reduction=reduction),
    ],
)
def test_two_passes_against_numpy_with_a_falling_rate(line, make, reduction):
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(11, 3)), generator.normal(size=11)
    descent = make(reduction)
    updates = descent.updates(11)
    order = np.full(updates * descent.examples, -1)
    order[:11] = generator.permutation(11)
    order = order.reshape(updates, -1)
    found = train(
        line(x, y),
        descent,
        inverse(0.05, gamma=0.5, power=0.75),
        order,
        2 * updates,
    )
    expected = numpy_updates(
        x, y, order, lambda t: 0.05 * (1 + 0.5 * t) ** -0.75, reduction, 2 * updates
    )
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_chunks_change_memory_and_nothing_else():
    """On a network: the same batch in 1 and in 5 parts, of which the last is padded."""
    generator = np.random.default_rng(2)
    x = jnp.asarray(generator.normal(size=(37, 6)), jnp.float32)
    y = jnp.asarray(generator.integers(0, 3, 37), jnp.int32)
    model, optimizer = create("mlp", hidden=[7], classes=3), optax.sgd(0.1)
    results = []
    for chunk in (64, 8):
        descent = batch(37, chunk=chunk)
        loss = optax.softmax_cross_entropy_with_integer_labels
        program = make_program(make_step(model, loss, optimizer, descent), 3)
        state = create_state(model, (x[:1],), optimizer)
        order = epoch_order(jax.random.key(5), 37, descent)
        state, metrics = program(state, ((x,), y), order)
        results.append((state.params, metrics))
    for whole, parts in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-7)


@given(size=st.integers(1, 10_000), chunk=st.integers(1, 3000))
def test_a_batch_is_cut_into_equal_parts(size, chunk):
    descent = batch(size, chunk=chunk)
    assert descent.updates(size) == 1
    assert descent.examples % descent.chunks == 0
    assert descent.examples // descent.chunks <= chunk
    assert 0 <= descent.examples - size < descent.chunks


@pytest.mark.parametrize(
    ("descent", "size", "updates"),
    [
        (online(), 7, 7),
        (minibatch(3), 7, 3),
        (minibatch(7), 7, 1),
        (minibatch(8), 7, 1),
        (Descent(4), 8, 2),
    ],
)
def test_updates_of_a_pass(descent, size, updates):
    assert descent.updates(size) == updates


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: minibatch(0), "batch size 0"),
        (lambda: minibatch(-3), "batch size -3"),
        (lambda: batch(10, chunk=0), "chunk=0"),
        (lambda: batch(0), "batch size 0"),
        (lambda: online(reduction="max"), "reduction='max'"),  # type: ignore[arg-type]
        (lambda: batch(4, reduction=""), "reduction=''"),  # type: ignore[arg-type]
    ],
)
def test_impossible_descents(make, says):
    with pytest.raises(InputError) as caught:
        make()
    assert says in str(caught.value) and "expected" in str(caught.value)
    assert "\n" not in str(caught.value)
