"""The loop: its rows, its evaluations, and how it stops at what is not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.errors import InputError
from jnets.training import (
    Checkpoints,
    NonFiniteLoss,
    epoch_order,
    fit,
    make_program,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan, describe

SIX = minibatch(4)  # updates of 23 examples: five of 4 and one of 3
MOMENTUM = optax.sgd(0.05, momentum=0.9)


def order(state, epoch):
    return epoch_order(state.epoch_key(epoch), 23, SIX)


@pytest.fixture(scope="module")
def step(net):
    return make_step(net.model, net.loss, MOMENTUM, SIX)


@pytest.fixture(scope="module")
def one_by_one(net, step):
    """Without `fit`: the states after 0 to 18 updates, the metrics of each update."""
    program, state, rows = make_program(step, 1), net.state(MOMENTUM), []
    states = [jax.tree.map(jnp.copy, state)]
    for t in range(18):
        state, metrics = program(state, net.data, order(state, t // 6))
        states.append(jax.tree.map(jnp.copy, state))
        rows.append({k: float(v[0]) for k, v in metrics.items()})
    return states, rows


def close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("per_call", [1, 4])
def test_rows_are_the_figures_of_their_epochs(net, step, one_by_one, per_call):
    rows = []
    state = fit(
        net.state(MOMENTUM), step, net.data, Plan(order, 6, 3, per_call),
        record=rows.append,
    )  # fmt: skip
    states, metrics = one_by_one
    close(state.variables, states[18].variables)
    assert [(row["step"], row["epoch"]) for row in rows] == [(6, 1), (12, 2), (18, 3)]
    for row, part in zip(rows, (metrics[:6], metrics[6:12], metrics[12:]), strict=True):
        # The mean over examples, not over updates: the last update has fewer.
        loss = sum(m["loss"] * m["examples"] for m in part) / 23
        assert row["loss"] == pytest.approx(loss, rel=1e-4)
        assert row["accuracy"] == pytest.approx(sum(m["correct"] for m in part) / 23)
        for norm in ("grad_norm", "update_norm", "param_norm"):
            assert row[norm] == pytest.approx(part[-1][norm], rel=1e-3)
        assert row["seconds"] >= 0


def test_evaluations_every_so_often_and_at_the_end(net, step, capsys):
    rows, seen = [], []

    def evaluate(state):
        seen.append(int(state.step))
        return {"test_loss": float(state.step)}

    plan = Plan(order, 6, 5, per_call=6, evaluate_every=2)
    fit(
        net.state(MOMENTUM),
        step,
        net.data,
        plan,
        evaluate=evaluate,
        record=rows.append,
    )
    assert seen == [12, 24, 30]
    tested = [(row["epoch"], row["test_loss"]) for row in rows if "test_loss" in row]
    assert tested == [(2, 12.0), (4, 24.0), (5, 30.0)]
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[1] for line in err.splitlines()] == ["2/5", "4/5", "5/5"]


def test_a_finished_state_is_left_alone(net, step, bits):
    rows, plan = [], Plan(order, 6, 1)
    state = fit(net.state(MOMENTUM), step, net.data, plan)
    again = fit(state, step, net.data, plan, record=rows.append)
    assert bits(again) == bits(state) and rows == []


def test_describe():
    row = {
        "step": 6, "epoch": 2, "loss": 0.5, "grad_norm": 9.0, "test_accuracy": 0.25,
    }  # fmt: skip
    assert describe(row, 10) == "epoch   2/10  loss 0.5000  test_accuracy 0.2500"


def poisoned(net, example):
    (x,), y = net.data
    return (x.at[example, 0].set(np.nan),), y


@pytest.fixture
def stopped(net, step, one_by_one, tmp_path):
    """stopped(per_call, place): an example of the second epoch is bad, the one at
    `place` of its order. The error, and what was saved."""

    def run(per_call, place):
        state = jax.tree.map(jnp.copy, one_by_one[0][6])
        bad = np.asarray(order(state, 1)).reshape(-1)[place]
        plan, rows = Plan(order, 6, 3, per_call), []
        with Checkpoints(tmp_path / "c") as checkpoints:
            with pytest.raises(NonFiniteLoss) as caught:
                fit(
                    state, step, poisoned(net, bad), plan,
                    record=rows.append, checkpoints=checkpoints,
                )  # fmt: skip
        assert rows == [] and bad in caught.value.examples
        with Checkpoints(tmp_path / "c") as checkpoints:
            saved = checkpoints.restore(net.state(MOMENTUM))
        assert saved is not None
        return caught.value, saved

    return run


@pytest.mark.parametrize(("per_call", "place"), [(1, 9), (4, 0), (4, 22)])
def test_what_is_not_finite_stops_the_run(stopped, one_by_one, per_call, place):
    error, saved = stopped(per_call, place)
    states, metrics = one_by_one
    good = 6 + place // 4  # updates before the one that reads it
    assert (error.step, error.epoch) == (good, 1)
    batch = np.asarray(order(states[0], 1))[good - 6]
    np.testing.assert_array_equal(error.examples, batch[batch >= 0])
    message = str(error)
    assert "\n" not in message
    assert f"update {good} (epoch 2)" in message and "loss nan" in message
    assert f"{len(error.examples)} examples [" in message
    # What was saved is the state before that update, and the sums up to there.
    assert int(saved.state.step) == good
    close(saved.state.variables, states[good].variables)
    close(saved.state.opt_state, states[good].opt_state)
    read = sum(row["examples"] for row in metrics[6:good])
    assert saved.totals.get("examples", 0) == read


def test_what_was_stopped_can_be_gone_on_with(stopped, net, step, one_by_one):
    """Once the example is mended, the row of its epoch is as if nothing had been."""
    _, saved = stopped(4, 9)
    rows, (states, metrics) = [], one_by_one
    state = fit(
        saved.state, step, net.data, Plan(order, 6, 2, 4),
        record=rows.append, totals=saved.totals,
    )  # fmt: skip
    close(state.variables, states[12].variables)
    (row,) = rows
    assert row["step"] == 12
    assert row["accuracy"] == sum(m["correct"] for m in metrics[6:12]) / 23


def test_many_bad_examples_are_not_all_listed():
    error = NonFiniteLoss(3, 0, float("inf"), np.arange(64))
    assert "64 examples [0, 1, 2, 3, 4, 5, 6, 7, ...]" in str(error)
    assert "loss inf" in str(error)
    assert not isinstance(error, InputError)


def test_saves_when_it_is_time_and_at_the_end(net, step, tmp_path):
    """At seconds=0 after every epoch; with a day to wait, once."""
    for seconds, expected in ((0.0, [6, 12, 18]), (86_400.0, [18])):
        directory, seen = tmp_path / str(seconds), []
        with Checkpoints(directory, keep=9, seconds=seconds) as checkpoints:
            fit(
                net.state(MOMENTUM), step, net.data, Plan(order, 6, 3, per_call=6),
                checkpoints=checkpoints,
            )  # fmt: skip
        seen = sorted(int(path.name) for path in directory.iterdir())
        assert seen == expected


def test_the_last_state_is_finished_before_it_is_measured_and_saved(
    net, step, bits, tmp_path
):
    def finish(state):
        return state.replace(
            batch_stats=jax.tree.map(jnp.zeros_like, state.batch_stats)
        )

    seen, plan = [], Plan(order, 6, 2, finish=finish)
    with Checkpoints(tmp_path / "c") as checkpoints:
        state = fit(
            net.state(MOMENTUM), step, net.data, plan, checkpoints=checkpoints,
            evaluate=lambda s: seen.append(bits(s.batch_stats)) or {},
        )  # fmt: skip
        saved = checkpoints.restore(net.state(MOMENTUM))
    assert saved is not None and bits(saved.state) == bits(state)
    zeros = bits(finish(state).batch_stats)
    assert seen[0] != zeros and seen[1] == zeros == bits(state.batch_stats)
