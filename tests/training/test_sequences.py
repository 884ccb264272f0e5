"""Sequences in a training step: a label at every step, and what is carried on."""

import signal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.data.corpus import windows
from jnets.layers import GRU, RecurrentState
from jnets.models import create
from jnets.training import (
    Batch,
    Checkpoints,
    batch,
    create_state,
    evaluate,
    fit,
    make_predict,
    make_step,
    make_train_step,
    minibatch,
)
from jnets.training.descent import Descent
from jnets.training.fit import Plan

cross_entropy = optax.softmax_cross_entropy_with_integer_labels


class Steps(nn.Module):
    """x [B, T, D] -> logits [B, T, 3], each step by itself."""

    @nn.compact
    def __call__(self, x, *, train=False):
        del train
        return nn.Dense(3)(x)


class Carried(nn.Module):
    """A GRU that goes on where the batch before ended: x [B, T, D] -> [B, T, 3]."""

    @nn.compact
    def __call__(self, x, *, train=False):
        start = None
        if train or self.is_initializing():
            zeros = jnp.zeros((1, x.shape[0], 4))
            h = self.variable("carry", "h", lambda: zeros)
            start = RecurrentState(h.value)
        outputs, last = GRU(4)(x, initial_state=start, train=train)
        if train:
            h.value = last.h
        return nn.Dense(3)(outputs)


def examples(lengths, steps=5):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(lengths), steps, 2)).astype(np.float32)
    labels = rng.integers(0, 3, x.shape[:2]).astype(np.int32)
    labels[np.arange(steps) >= np.array(lengths)[:, None]] = -1
    return jnp.asarray(x), jnp.asarray(labels)


@pytest.mark.parametrize("descent", [minibatch(4), Descent(4, 2, "mean")])
def test_padding_is_as_if_it_were_not_there(descent):
    """The same figures and update from the labelled steps alone, each an example."""
    x, labels = examples([5, 1, 0, 3])
    known = labels >= 0
    results = []
    for inputs, targets, how in (
        (x, labels, descent),
        (x[known][:, None], labels[known][:, None], batch(9)),
    ):
        optimizer = optax.sgd(0.5)
        state = create_state(Steps(), (x[:1],), optimizer)
        step = make_train_step(Steps(), cross_entropy, optimizer, how)
        given = Batch((inputs,), targets, jnp.ones(len(inputs)))
        results.append(step(state, given))
    (one, metrics), (other, expected) = results
    assert float(metrics["examples"]) == 9
    for name in ("loss", "correct", "examples", "grad_norm"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-6)
    for a, b in zip(*map(jax.tree.leaves, (one.params, other.params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_loss_that_cannot_take_padding_is_not_given_it():
    """One that is infinite at a label below 0 stays finite, with its gradient."""

    def strict(outputs, labels):
        return jnp.where(labels < 0, jnp.inf, cross_entropy(outputs, labels))

    x, labels = examples([2, 5])
    optimizer = optax.sgd(0.5)
    step = make_train_step(Steps(), strict, optimizer, batch(2))
    state = create_state(Steps(), (x,), optimizer)
    state, metrics = step(state, Batch((x,), labels, jnp.ones(2)))
    assert bool(metrics["finite"]) and int(state.step) == 1


def test_evaluation_passes_padding_by():
    outputs = np.eye(3, dtype=np.float32)[[[0, 1, 2], [0, 0, 0]]]
    found = evaluate(outputs, np.array([[0, 1, -1], [2, -1, -1]]), cross_entropy)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_a_carry_goes_from_batch_to_batch_and_through_a_checkpoint(tmp_path, bits):
    """Two windows after each other read as one long sequence; a saved state has the
    carry, and a model in use neither reads nor moves it."""
    x, labels = examples([6, 6], steps=6)
    optimizer = optax.sgd(0.0)
    state = start = create_state(Carried(), (x[:, :3],), optimizer)
    step = make_train_step(Carried(), cross_entropy, optimizer, batch(2))
    losses = []
    for window in (slice(0, 3), slice(3, 6)):
        given = Batch((x[:, window],), labels[:, window], jnp.ones(2))
        state, metrics = step(jax.tree.map(jnp.copy, state), given)
        losses.append(float(metrics["loss"]))
    outputs = make_predict(Carried())(start.variables, (np.asarray(x),))
    whole = cross_entropy(jnp.asarray(outputs), labels).mean()
    np.testing.assert_allclose(np.mean(losses), whole, rtol=1e-6)
    with Checkpoints(tmp_path / "saved") as checkpoints:
        checkpoints.save(state)
    with Checkpoints(tmp_path / "saved") as checkpoints:
        saved = checkpoints.restore(start)
    assert saved is not None and bits(saved.state) == bits(state)


def test_a_stop_within_a_text_changes_no_bit(tmp_path, bits):
    """A language model is stopped after the first window of its second epoch: what it
    carries is saved, and the run goes on from there."""
    fields = {"vocabulary": 9, "embedding": 4, "hidden": 4, "dropout": 0.5}
    model, optimizer = create("language_model", **fields), optax.adam(0.01)
    laid = windows(np.random.default_rng(0).integers(0, 9, 61), rows=3, steps=5)
    data = (jnp.asarray(laid.tokens), jnp.asarray(laid.starts)), laid.labels
    step = make_step(model, cross_entropy, optimizer, minibatch(3))
    start = create_state(model, (laid.tokens[:3], laid.starts[:3]), optimizer)
    rows: list[dict] = []

    def go(directory, stop):
        def order(state, epoch):
            if epoch == stop:
                signal.raise_signal(signal.SIGINT)
            return jnp.asarray(laid.order)

        def record(row):
            rows.append({k: v for k, v in row.items() if k in ("step", "loss")})

        with Checkpoints(directory, seconds=86_400.0) as checkpoints:
            saved = checkpoints.restore(start) or (jax.tree.map(jnp.copy, start), {})
            assert not rows or int(saved[0].step) == rows[-1]["step"] + 1
            return fit(
                saved[0], step, data, Plan(order, 4, 3), record=record,
                checkpoints=checkpoints, totals=saved[1],
            )  # fmt: skip

    expected, told = bits(go(tmp_path / "whole", None)), rows.copy()
    rows.clear()
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "stopped", 1)
    assert len(rows) == 1
    assert bits(go(tmp_path / "stopped", None)) == expected
    assert rows == told
