"""Nets on long lags: the task, a small run, and one that is stopped in any of them."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jnets
from experiments import flow_plots, long_lags, vanishing_gradients
from jnets.errors import InputError
from jnets.runs import Run
from jnets.training import Checkpoints

EXPERIMENT = "vanishing_gradients"
FLAGS = (
    *("--updates", 50, "--hidden", 4, "--batch-size", 4, "--length", 6),
    *("--exploding-updates", 5, "--seed", 3),
)
KEPT = ("elman", "lstm_1997")


@pytest.fixture(autouse=True)
def two_nets(monkeypatch):
    """Of the five; the others differ from them in nothing but the layer."""
    for name in set(long_lags.NETS) - set(KEPT):
        monkeypatch.delitem(long_lags.NETS, name)


def test_the_adding_problem():
    x, y = long_lags.adding(jax.random.key(0), 2000, 9)
    assert x.shape == (2000, 9, 2) and y.shape == (2000,)
    values, marks = np.asarray(x[..., 0], np.float64), np.asarray(x[..., 1])
    assert values.min() >= 0 and values.max() < 1
    assert set(np.unique(marks)) == {0, 1}
    for half in (marks[:, :4], marks[:, 4:]):
        np.testing.assert_array_equal(half.sum(1), np.ones(2000))
        assert np.all(half.sum(0) > 200)  # every place of it
    np.testing.assert_allclose(y, (values * marks).sum(1), rtol=1e-6)
    assert np.var(y) == pytest.approx(1 / 6, rel=0.1)


def test_updates_have_sequences_of_their_own():
    task = long_lags.adding_task(6, 0)
    net = vanishing_gradients.nets(vanishing_gradients.Config(hidden=3), task)["elman"]
    state = net.start(task, 0)
    seen = []

    def step(state, batch):
        seen.append(batch)
        return state, {}

    drawn = long_lags.endless(step, 4, 6)
    for number in (0, 1, 0):
        drawn(state.replace(step=jnp.int32(number)), None)
    first, second, again = (np.asarray(batch.inputs[0]) for batch in seen)
    assert first.shape == (4, 6, 2) and not np.any(first[..., 0] == second[..., 0])
    np.testing.assert_array_equal(first, again)


def test_where_nets_start():
    task = long_lags.adding_task(6, 0)
    config = vanishing_gradients.Config(hidden=5)
    nets = vanishing_gradients.nets(config, task)
    elman, lstm = (nets[name].start(task, 0).params["layer"]["layer0"] for name in KEPT)
    largest = np.linalg.norm(elman["recurrent_kernel"], 2)
    assert largest == pytest.approx(0.95, rel=1e-5)
    np.testing.assert_array_equal(lstm["bias"][:5], np.full(5, -3))
    assert np.all(np.abs(lstm["bias"][5:]) < 1)


@pytest.fixture
def whole(inside, tmp_path):
    run = tmp_path / "whole"
    status, out, err = inside(EXPERIMENT, *FLAGS, "--out", run)
    assert status == 0, err
    return run, out


def variables(run, name):
    task = long_lags.adding_task(6, 3)
    config = vanishing_gradients.Config(hidden=4)
    nets = vanishing_gradients.nets(config, task)
    net = nets.get(name, nets["elman"])
    like = net.start(task, 3).variables
    with Checkpoints(run / name / "checkpoints", read_only=True) as checkpoints:
        return checkpoints.variables(like)


def test_a_run(whole, rows):
    run, out = whole
    keys = [pair.split("=")[0] for pair in out.split()[1:]]
    expected = [f"{name}_{what}" for name in KEPT for what in ("test_mse", "ratio")]
    assert keys == [*expected, "seconds", "run"]
    pictures = {path.name for path in (run / "plots").iterdir()}
    assert pictures == {
        "learning.png", "gradient_flow.png", "before_training.png", "clipping.png",
    }  # fmt: skip
    for name in KEPT:
        found = rows(run / name)
        assert [row["step"] for row in found] == list(range(2, 51, 2))
        assert all(len(row["flow"]) == 6 for row in found)
        assert found[-1]["test_loss"] < found[0]["test_loss"]
    for name in ("unclipped", "clipped"):
        assert [row["step"] for row in rows(run / name)] == [1, 2, 3, 4, 5]


def test_its_nets_can_be_loaded(whole, tmp_path):
    run, _ = whole
    (tmp_path / "x.csv").write_text("0.5,1\n0.1,0\n0.2,1\n")
    for name in (*KEPT, "unclipped", "clipped"):
        model, trained, encode = jnets.load(run / name)
        assert model.cell == (name if name in KEPT else "elman")
        for a, b in zip(
            jax.tree.leaves(trained["params"]),
            jax.tree.leaves(variables(run, name)["params"]),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
        (x,) = encode(str(tmp_path / "x.csv"))
        assert model.apply(trained, x).shape == (1, 1)
    with pytest.raises(InputError, match="name one of the runs in it"):
        jnets.load(run)


def test_one_that_is_stopped(whole, inside, rows, monkeypatch, tmp_path):
    run, out = whole
    record, seen = Run.record, []

    def stopping(part, row):
        record(part, row)
        seen.append(row)
        if len(seen) in (7, 30):  # within the first net, and within the second
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "record", stopping)
    other = tmp_path / "stopped"
    assert inside(EXPERIMENT, *FLAGS, "--out", other)[0] == 130
    assert inside(EXPERIMENT, "--resume", other)[0] == 130
    status, again, _ = inside(EXPERIMENT, "--resume", other)
    assert status == 0
    assert again.split(" seconds")[0] == out.split(" seconds")[0]
    for name in (*KEPT, "unclipped", "clipped"):
        assert rows(other / name) == rows(run / name)
        for a, b in zip(
            jax.tree.leaves(variables(other, name)),
            jax.tree.leaves(variables(run, name)),
            strict=True,
        ):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_digits(inside, rows, tmp_path, monkeypatch):
    monkeypatch.delitem(long_lags.NETS, "lstm_1997")
    flags = "--task", "digits", "--updates", 25, "--hidden", 3, "--out", tmp_path / "r"
    status, out, err = inside(EXPERIMENT, *flags, "--exploding-updates", 2)
    assert status == 0, err
    assert out.startswith("result: elman_test_loss=")
    assert len(rows(tmp_path / "r" / "elman")[0]["flow"]) == 64


BAD = {
    ("--task", "copying"): "task='copying'",
    ("--updates", "30"): "updates=30 is not usable; expected a multiple of 25",
    ("--length", "1"): "length=1",
    ("--clip", "0"): "clip=0.0",
    ("--exploding", "nan"): "exploding=nan",
    ("--learning-rate", "0"): "learning_rate=0.0",
}


@pytest.mark.parametrize("flags", BAD, ids=" ".join)
def test_bad_flags(inside, flags, tmp_path):
    status, out, err = inside(EXPERIMENT, *flags, "--out", tmp_path / "run")
    assert (status, out) == (2, "") and BAD[flags] in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def looked(sigma, losses):
    flow = [[-3.0, -2.0, -30.0, 0.0]] * len(losses)
    return [
        {"step": 10 * n, "test_loss": loss, "sigma_max": sigma + n / 10, "flow": f}
        for n, (loss, f) in enumerate(zip(losses, flow, strict=True))
    ]


@pytest.mark.parametrize("sigma", [0.5, 0.95, 2.0])
def test_pictures_of_all_nets(sigma, tmp_path):
    looks = {name: looked(sigma, [1.0, 0.2, 1e-4]) for name in flow_plots.STYLES}
    flow_plots.learning(looks, tmp_path / "a.png", "mse", 0.167)
    flow_plots.learning(looks, tmp_path / "b.png", "loss", None)
    flow_plots.heat_maps(looks, tmp_path / "c.png")
    norms = {name: np.array([1.0, 0.5, 0.0]) for name in looks}
    flow_plots.reach(norms, sigma, tmp_path / "d.png")
    rows = [{"step": n, "loss": 1.0, "grad_norm": 10.0**n} for n in (1, 2)]
    flow_plots.clipping({"unclipped": rows, "clipped": rows}, 1.0, tmp_path / "e.png")
    assert all((tmp_path / f"{n}.png").stat().st_size > 5000 for n in "abcde")
