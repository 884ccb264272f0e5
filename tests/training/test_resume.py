"""N updates are k updates, a stop, a restore and N - k updates, bit for bit."""

import signal

import jax
import jax.numpy as jnp
import optax
import pytest

from jnets.training import (
    Checkpoints,
    batch,
    epoch_order,
    fit,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan

ADAM = optax.adam(optax.cosine_decay_schedule(0.02, 24))
EPOCHS = 4


class Stop:
    """Raises a signal when it is called at a place and epoch."""

    def __init__(self, number, place, epoch):
        self.number, self.at = number, (place, epoch)

    def __call__(self, place, epoch):
        if (place, epoch) == self.at:
            signal.raise_signal(self.number)


class Training:
    """One problem trained again and again; `rows` is the log, rewound like a run's."""

    def __init__(self, net, descent, per_call):
        self.net, self.descent, self.per_call = net, descent, per_call
        self.step = make_step(net.model, net.loss, ADAM, descent)
        self.loss = jax.jit(
            lambda variables: net.loss(
                net.model.apply(variables, *net.data[0]), net.data[1]
            ).mean()
        )
        self.start = net.state(ADAM)
        self.rows = []

    def go(self, directory, stop):
        """From the newest checkpoint to the end; the last state."""

        def order(state, epoch):
            stop("order", epoch + 1)
            return epoch_order(state.epoch_key(epoch), 23, self.descent)

        def evaluate(state):
            stop("evaluate", int(state.step) // updates)
            return {"test_loss": float(self.loss(state.variables))}

        def record(row):
            self.rows.append(
                {k: v for k, v in row.items() if k not in ("seconds", "ms_per_update")}
            )
            stop("record", row["epoch"])

        updates = self.descent.updates(23)
        plan = Plan(order, updates, EPOCHS, min(self.per_call, updates))
        with Checkpoints(directory, seconds=86_400.0) as checkpoints:
            state, totals = jax.tree.map(jnp.copy, self.start), {}
            saved = checkpoints.restore(state)
            if saved is not None:
                state, totals = saved
            self.rows = [row for row in self.rows if row["step"] <= int(state.step)]
            return fit(
                state, self.step, self.net.data, plan,
                evaluate=evaluate, record=record,
                checkpoints=checkpoints, totals=totals,
            )  # fmt: skip


# How an update is made, updates per call of the device, where the run is stopped.
# "order" is asked for before an epoch, so that the stop comes after its first call;
# "evaluate" is between the last update of an epoch and its row; "record" after it.
FLAVOURS = {
    "one update a call": (minibatch(4), 1, [("order", 3)]),
    "four updates a call": (minibatch(4), 4, [("order", 1), ("record", 3)]),
    "an epoch a call": (minibatch(4), 6, [("order", 2), ("evaluate", EPOCHS)]),
    "batch in chunks": (batch(23, chunk=8), 1, [("evaluate", 1), ("order", EPOCHS)]),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_stop_changes_no_bit(net, bits, tmp_path, flavour):
    descent, per_call, places = FLAVOURS[flavour]
    training = Training(net, descent, per_call)
    expected = bits(training.go(tmp_path / "whole", lambda place, epoch: None))
    rows, training.rows = training.rows, []
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    for number, (place, epoch) in enumerate(places):
        which = (signal.SIGINT, signal.SIGTERM)[number % 2]
        with pytest.raises(KeyboardInterrupt):
            training.go(tmp_path / "c", Stop(which, place, epoch))
    assert bits(training.go(tmp_path / "c", lambda *place: None)) == expected
    assert training.rows == rows


def test_a_stop_keeps_the_position_in_the_data(net, tmp_path):
    """Stopped after the first call of the second epoch: 6 + 4 updates are done."""
    training = Training(net, minibatch(4), 4)
    with pytest.raises(KeyboardInterrupt):
        training.go(tmp_path / "c", Stop(signal.SIGINT, "order", 2))
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(net.state(ADAM))
    assert saved is not None
    assert int(saved.state.step) == 10
    assert saved.totals["examples"] == 16
    assert jax.tree.leaves(saved.state.opt_state)[0] == 10  # Adam's own count


def test_an_exception_of_the_caller_comes_through(net, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def fail(place, epoch):
        if place == "evaluate":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Training(net, minibatch(4), 6).go(tmp_path / "c", fail)
    assert signal.getsignal(signal.SIGINT) is before
