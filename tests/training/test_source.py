"""Streamed batches train as resident ones do, and stop where those stop."""

import itertools

import jax
import numpy as np
import optax
import pytest

from jnets.training import (
    Batch,
    Checkpoints,
    NonFiniteLoss,
    epoch_order,
    fit,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan

SIX = minibatch(4)  # updates of 23 examples: five of 4 and one of 3
MOMENTUM = optax.sgd(0.05, momentum=0.9)
STREAM = Plan(None, 6, 3)


def order(state, epoch):
    return epoch_order(state.epoch_key(epoch), 23, SIX)


class Listed:
    """A feed of the batches that `order` names, read from host memory."""

    def __init__(self, net, poisoned=()):
        (x,), y = jax.device_get(net.data)
        self.x, self.y = np.array(x), y
        self.x[list(poisoned)] = np.nan
        self.state, self.opened, self.closed = net.state(MOMENTUM), [], 0

    def rows(self, update):
        return np.asarray(order(self.state, update // 6))[update % 6]

    def batches(self, first):
        self.opened.append(first)
        try:
            for update in itertools.count(first):
                row = self.rows(update)
                at = np.resize(row[row >= 0], len(row))
                yield self.x[at], self.y[at], (row >= 0).astype(np.float32)
        finally:
            self.closed += 1

    def examples(self, update):
        return [f"{i}.jpg" for i in self.rows(update) if i >= 0]


@pytest.fixture(scope="module")
def step(net):
    return make_step(net.model, net.loss, MOMENTUM, SIX)


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


def test_as_from_memory(net, step):
    rows, expected, feed = [], [], Listed(net)
    state = fit(net.state(MOMENTUM), step, feed, STREAM, record=rows.append)
    resident = fit(
        net.state(MOMENTUM), step, net.data, Plan(order, 6, 3), record=expected.append
    )
    close(state.variables, resident.variables)
    assert int(state.step) == 18
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name in set(row) - {"seconds", "ms_per_update"}:
            assert row[name] == pytest.approx(other[name], rel=1e-5)
    # One stream through all epochs, and it has been ended.
    assert (feed.opened, feed.closed) == ([0], 1)


def test_a_resumed_run_reads_on(net, step, bits):
    whole = fit(net.state(MOMENTUM), step, Listed(net), STREAM)
    half = fit(net.state(MOMENTUM), step, Listed(net), STREAM._replace(epochs=2))
    feed = Listed(net)
    assert bits(fit(half, step, feed, STREAM)) == bits(whole)
    assert feed.opened == [12]


def test_stands_still_at_what_is_not_finite(net, step, tmp_path):
    """The batches behind it are on their way already and must change nothing."""
    feed = Listed(net)
    bad = int(feed.rows(9)[1])
    before = fit(net.state(MOMENTUM), step, Listed(net), STREAM._replace(epochs=1))
    for update in range(6, 9):
        row = feed.rows(update)
        batch = Batch((feed.x[row],), feed.y[row], np.ones(4, np.float32))
        before, _ = jax.jit(step)(before, batch)
    feed = Listed(net, poisoned=[bad])
    # The first epoch reads every example too: begin behind it.
    start = fit(net.state(MOMENTUM), step, Listed(net), STREAM._replace(epochs=1))
    with Checkpoints(tmp_path / "c") as checkpoints:
        with pytest.raises(NonFiniteLoss) as caught:
            fit(start, step, feed, STREAM, checkpoints=checkpoints)
    assert caught.value.step == 9 and f"{bad}.jpg" in caught.value.examples
    assert f"{bad}.jpg" in str(caught.value)
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(net.state(MOMENTUM))
    assert saved is not None and int(saved.state.step) == 9
    close(saved.state.variables, before.variables)
    assert feed.closed == 1
