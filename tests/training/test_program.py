"""Orders are permutations; many updates in one call are many calls of one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.training import (
    batch,
    epoch_order,
    make_program,
    make_step,
    minibatch,
    online,
)
from jnets.training.program import take

ADAM = optax.adam(0.01)


@settings(max_examples=12, deadline=None)
@given(
    size=st.integers(1, 60),
    examples=st.integers(1, 70),
    whole=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_an_order_is_a_permutation_and_padding_at_the_end(size, examples, whole, seed):
    descent = batch(size, chunk=examples) if whole else minibatch(examples)
    order = np.asarray(epoch_order(jax.random.key(seed), size, descent))
    assert order.dtype == np.int32
    assert order.shape == (descent.updates(size), descent.examples)
    flat = order.reshape(-1)
    np.testing.assert_array_equal(np.sort(flat[:size]), np.arange(size))
    assert (flat[size:] == -1).all()
    assert (order[:, 0] >= 0).all()  # every update reads an example


def test_an_order_belongs_to_its_epoch(net):
    state = net.state(ADAM)
    orders = [epoch_order(state.epoch_key(e), 50, minibatch(8)) for e in range(6)]
    again = [epoch_order(state.epoch_key(e), 50, minibatch(8)) for e in range(6)]
    np.testing.assert_array_equal(orders, again)
    assert len({order.tobytes() for order in map(np.asarray, orders)}) == 6


def test_take(net):
    (x,), y = net.data
    found = take(net.data, jnp.int32([5, 0, 22, -1, -1]))
    np.testing.assert_array_equal(found.inputs[0][:3], x[jnp.array([5, 0, 22])])
    np.testing.assert_array_equal(found.labels[:3], y[jnp.array([5, 0, 22])])
    np.testing.assert_array_equal(found.weights, np.float32([1, 1, 1, 0, 0]))
    assert len(found.inputs) == 1 and found.inputs[0].shape == (5, 4)


def run(net, per_call, updates=12):
    """`updates` updates over orders of 6, and the metrics of all of them."""
    program = make_program(make_step(net.model, net.loss, ADAM, minibatch(4)), per_call)
    state, rows = net.state(ADAM), []
    for start in range(0, updates, per_call):
        order = epoch_order(state.epoch_key(start // 6), 23, minibatch(4))
        state, metrics = program(state, net.data, order)
        assert all(len(m) == per_call for m in metrics.values())
        rows.append(metrics)
    metrics = {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}
    return state, metrics


@pytest.mark.parametrize("per_call", [2, 6])
def test_updates_per_call_change_rounding_at_most(net, per_call):
    (one, seen), (many, also) = run(net, 1), run(net, per_call)
    assert int(one.step) == int(many.step) == 12
    for a, b in zip(
        jax.tree.leaves((one.params, one.batch_stats, seen)),
        jax.tree.leaves((many.params, many.batch_stats, also)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(seen["examples"], [4, 4, 4, 4, 4, 3] * 2)


def test_a_program_takes_the_rows_in_turn(line):
    """Least squares from w = 0 at rate 0: the loss of example i is y_i^2 / 2."""
    y = np.arange(1.0, 7.0)
    problem, optimizer = line(np.ones((6, 1)), y), optax.sgd(0.0)
    program = make_program(
        make_step(problem.model, problem.loss, optimizer, minibatch(2)), 4
    )
    order = jnp.int32([[4, 1], [0, 5], [3, -1]])
    means = np.array([(25 + 4) / 4, (1 + 36) / 4, 16 / 2])
    state, metrics = program(problem.state(optimizer), problem.data, order)
    np.testing.assert_allclose(metrics["loss"], means[[0, 1, 2, 0]], rtol=1e-6)
    _, metrics = program(state, problem.data, order)
    np.testing.assert_allclose(metrics["loss"], means[[1, 2, 0, 1]], rtol=1e-6)


def test_merging_changes_rounding_at_most(line):
    generator = np.random.default_rng(4)
    problem = line(generator.normal(size=(5, 3)), generator.normal(size=5))
    optimizer = optax.sgd(0.1)
    step = make_step(problem.model, problem.loss, optimizer, online(), norms=False)
    order, found = jnp.arange(5)[:, None], []
    for merge in (False, True):
        program = make_program(step, 10, merge=merge)
        found.append(program(problem.state(optimizer), problem.data, order))
    (plain, seen), (merged, also) = found
    assert int(merged.step) == 10
    np.testing.assert_allclose(merged.params["w"], plain.params["w"], rtol=1e-5)
    np.testing.assert_allclose(also["loss"], seen["loss"], rtol=1e-5)


@pytest.mark.parametrize("per_call", [1, 3])
def test_a_program_consumes_the_state_and_keeps_the_data(net, per_call):
    traced = []

    def loss(outputs, labels):
        traced.append(1)
        return net.loss(outputs, labels)

    program = make_program(make_step(net.model, loss, ADAM, minibatch(4)), per_call)
    order = epoch_order(jax.random.key(0), 23, minibatch(4))
    state = net.state(ADAM)
    after, _ = program(state, net.data, order)
    once = len(traced)
    leaves = jax.tree.leaves((state.params, state.opt_state, state.step))
    assert all(leaf.is_deleted() for leaf in leaves)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((net.data, order)))
    program(after, net.data, order)
    assert len(traced) == once
