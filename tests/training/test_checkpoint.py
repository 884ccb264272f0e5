"""Saved and restored exactly, or refused in one line."""

import gc
import logging
import shutil
import sys
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import optax
import pytest

from jnets.errors import InputError
from jnets.models import create, example_inputs
from jnets.training import Checkpoints, create_state, make_train_step, minibatch
from jnets.training.program import take

OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "momentum and decay": optax.chain(
        optax.add_decayed_weights(5e-4),
        optax.sgd(optax.cosine_decay_schedule(0.1, 50), momentum=0.9),
    ),
    "adam": optax.adam(0.01),
}
ADAM = OPTIMIZERS["adam"]


@pytest.fixture(scope="module")
def trained(net):
    """trained(optimizer, updates, start): a state that has moved; 3 from the start."""
    steps = {
        id(optimizer): make_train_step(net.model, net.loss, optimizer, minibatch(4))
        for optimizer in OPTIMIZERS.values()
    }

    def train(optimizer, updates=3, start=None):
        state = start or net.state(optimizer)
        for t in range(updates):
            batch = take(net.data, jnp.arange(4) + t)
            state, _ = steps[id(optimizer)](state, batch)
        return state

    return train


def refusal(restore):
    with pytest.raises(InputError) as caught:
        restore()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_comes_back(net, trained, bits, tmp_path, name):
    optimizer = OPTIMIZERS[name]
    state = trained(optimizer)
    totals = {"loss": 1 / 3, "correct": 5.0, "examples": 12.0}
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state, totals)
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(net.state(optimizer, seed=9))
        variables = checkpoints.variables(jax.eval_shape(lambda: state.variables))
    assert saved is not None
    assert bits(saved.state) == bits(state)
    assert jax.tree.structure(saved.state) == jax.tree.structure(state)
    assert saved.totals == totals
    assert bits(variables) == bits(state.variables)
    # The key is a typed one again, and the state trains on.
    assert jax.dtypes.issubdtype(saved.state.key.dtype, jax.dtypes.prng_key)
    onward = trained(optimizer, 1, saved.state)
    assert bits(onward) == bits(trained(optimizer, 1, state))


def test_an_average_of_the_variables_comes_back(net, trained, bits, tmp_path):
    """Beside what it is the average of; it is what a trained model uses."""
    state = trained(ADAM)
    state = state.replace(ema=jax.tree.map(lambda p: p / 3, state.variables))
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state)
    like = net.state(ADAM)
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(like.replace(ema=like.variables))
        used = checkpoints.variables(like.variables)
    assert saved is not None and bits(saved.state) == bits(state)
    assert bits(used) == bits(state.ema)


def test_before_the_first_save(net, tmp_path):
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        assert checkpoints.restore(net.state(ADAM)) is None
        message = refusal(lambda: checkpoints.variables(net.state(ADAM).variables))
    assert str(tmp_path / "run") in message and "no complete checkpoint" in message


def test_the_newest_are_kept(trained, tmp_path):
    state = trained(ADAM, 1)
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        for step in (1, 2, 3, 10):
            checkpoints.save(state.replace(step=jnp.int32(step)))
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"3", "10"}
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(state)
    assert saved is not None and int(saved.state.step) == 10


def test_a_step_is_written_once(net, trained, bits, tmp_path):
    """A run has one state at a step; to write it again would first remove it, and a
    kill in between would lose it."""
    state = trained(ADAM)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state, {"loss": 2.0})
    before = (tmp_path / "c" / "3").stat()
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state, {"loss": 2.0})
    after = (tmp_path / "c" / "3").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(net.state(ADAM))
    assert saved is not None
    assert bits(saved.state) == bits(state) and saved.totals == {"loss": 2.0}


def test_what_is_being_written_can_be_restored(net, trained, bits, tmp_path):
    """`restore` waits for the write that `save` began."""
    state = trained(ADAM)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state)
        saved = checkpoints.restore(net.state(ADAM))
    assert saved is not None and bits(saved.state) == bits(state)


def test_the_value_saved_is_the_value_when_saving(bits, tmp_path):
    """2 MB a state, written while updates donate and overwrite it."""
    model = create("mlp", hidden=[512])
    loss = optax.softmax_cross_entropy_with_integer_labels
    step = make_train_step(model, loss, ADAM, minibatch(8))
    x = jax.random.uniform(jax.random.key(0), (8, 28, 28, 1))
    batch = take(((x,), jnp.arange(8)), jnp.arange(8))
    state = create_state(model, (x[:1],), ADAM)
    like = jax.tree.map(jnp.copy, state)
    with Checkpoints(tmp_path / "c", keep=9) as checkpoints:
        expected = {}
        for _ in range(4):
            expected[int(state.step)] = bits(state)
            checkpoints.save(state)
            for _ in range(5):
                state, _ = step(state, batch)
    for saved_at in sorted(expected, reverse=True):
        with Checkpoints(tmp_path / "c") as checkpoints:
            saved = checkpoints.restore(like)
        assert saved is not None and int(saved.state.step) == saved_at
        assert bits(saved.state) == expected[saved_at]
        shutil.rmtree(tmp_path / "c" / str(saved_at))


def test_due(tmp_path, net, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Checkpoints(tmp_path / "c", seconds=10.0) as checkpoints:
        assert not checkpoints.due()
        now = 109.9
        assert not checkpoints.due()
        now = 110.0
        assert checkpoints.due()
        checkpoints.save(net.state(ADAM))
        assert not checkpoints.due()
        now = 121.0
        assert checkpoints.due()
    with Checkpoints(tmp_path / "c", seconds=0.0) as checkpoints:
        assert checkpoints.due()


def mlp(hidden, optimizer=ADAM):
    return create_state(create("mlp", hidden=hidden), example_inputs("mlp"), optimizer)


@pytest.fixture(scope="module")
def of_8_units(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mlp") / "c"
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(mlp([8]))
    return directory


def test_another_model(of_8_units):
    narrow, deep = mlp([9]), mlp([8, 8])
    with Checkpoints(of_8_units) as checkpoints:
        for restore in (
            checkpoints.restore,
            lambda s: checkpoints.variables(s.variables),
        ):
            message = refusal(lambda restore=restore: restore(narrow))
            assert "params/hidden1/bias is (8,) there, (9,) in this model" in message
            assert "3 of 4 arrays differ" in message
            assert str(of_8_units) in message
            message = refusal(lambda restore=restore: restore(deep))
            assert "params/hidden2/bias is absent there, (8,) in this" in message


@pytest.mark.parametrize("name", ["sgd", "momentum and decay"])
def test_another_optimizer(of_8_units, name):
    other = mlp([8], OPTIMIZERS[name])
    with Checkpoints(of_8_units) as checkpoints:
        message = refusal(lambda: checkpoints.restore(other))
    assert str(of_8_units) in message
    assert "remove" not in message  # nothing is wrong with the checkpoint


def test_a_write_cut_short_is_not_there(net, trained, bits, tmp_path):
    """A kill leaves a folder that is not called by its step alone."""
    state = trained(ADAM)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(state)
    step = tmp_path / "c" / str(int(state.step))
    partial = tmp_path / "c" / "7.orbax-checkpoint-tmp"
    shutil.copytree(step, partial)
    (partial / "commit_success.txt").unlink(missing_ok=True)
    with Checkpoints(tmp_path / "c") as checkpoints:
        saved = checkpoints.restore(net.state(ADAM))
        assert saved is not None and bits(saved.state) == bits(state)
        checkpoints.save(saved.state.replace(step=jnp.int32(7)))
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert names == {str(int(state.step)), "7"}


# Orbax leaves tasks of its own behind when a load fails; they are collected here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_a_damaged_checkpoint_is_exact_or_refused(net, trained, bits, tmp_path, damage):
    """Every file in turn: what is restored is what was saved, or an InputError says
    which folder to remove; removing it goes back to the one before."""
    state = trained(ADAM)
    older = state.replace(step=jnp.int32(1))
    with Checkpoints(tmp_path / "whole") as checkpoints:
        checkpoints.save(older)
        checkpoints.save(state)
    latest = tmp_path / "whole" / "3"
    files = [p.relative_to(latest) for p in latest.rglob("*") if p.is_file()]
    like, refused = net.state(ADAM), 0
    for number, name in enumerate(sorted(files)):
        directory = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", directory)
        path = directory / "3" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        if damage == "remove":
            path.unlink()
        with Checkpoints(directory) as checkpoints:
            try:
                saved = checkpoints.restore(like)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error), name
                assert f"checkpoint {directory / '3'} cannot be read" in str(error)
                assert "remove that folder" in str(error)
                saved = None
        if saved is None:
            shutil.rmtree(directory / "3")
            with Checkpoints(directory) as checkpoints:
                saved = checkpoints.restore(like)
                assert saved is not None and bits(saved.state) == bits(older)
        else:
            assert bits(saved.state) == bits(state), name
    assert refused >= 4  # the arrays and the indices to them, at least
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_what_outlives_a_failed_load_is_not_heard(net, trained, tmp_path, monkeypatch):
    """Orbax's tasks may end, or be collected, long after our error is told."""
    heard, records = [], []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    logger = logging.getLogger("asyncio")
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(
        logger, "handle", lambda r: logger.filter(r) and records.append(r)
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(trained(ADAM))
    (step,) = tmp_path.iterdir()
    for path in step.rglob("d/*"):
        path.write_bytes(path.read_bytes()[:50])
    for _ in range(2):
        with Checkpoints(tmp_path) as checkpoints:
            refusal(lambda c=checkpoints: c.restore(net.state(ADAM)))
    heard.clear()
    for error in (RuntimeError("Event loop is closed"), ValueError("of the user's")):
        sys.unraisablehook(SimpleNamespace(exc_value=error))
    assert [str(each.exc_value) for each in heard] == ["of the user's"]
    logger.error("Task exception was never retrieved\nfuture: ...")
    logger.error("of the user's")
    assert [record.getMessage() for record in records] == ["of the user's"]
