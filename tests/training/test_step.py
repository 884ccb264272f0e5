"""One update: pure, donating, compiled once, and still where it is not finite."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.models import create
from jnets.training import (
    Batch,
    Descent,
    create_state,
    make_step,
    make_train_step,
    minibatch,
)

MOMENTUM = optax.sgd(0.1, momentum=0.9)
ADAM = optax.adam(0.01)


def batch_of(data, rows, weights=None):
    (x,), y = data
    rows = jnp.asarray(rows)
    weights = jnp.ones(len(rows)) if weights is None else jnp.float32(weights)
    return Batch((x[rows],), y[rows], weights)


def test_pure(net, bits):
    step = jax.jit(make_step(net.model, net.loss, ADAM, minibatch(4)))
    state, batch = net.state(ADAM), batch_of(net.data, [0, 5, 7, 2])
    before = bits((state, batch))
    first, second = step(state, batch), step(state, batch)
    assert bits(first) == bits(second)
    assert bits((state, batch)) == before
    assert bits(first[0].params) != before[0].params
    assert bits(first[0].batch_stats) != before[0].batch_stats
    assert int(first[0].step) == 1


def test_compiling_changes_rounding_at_most(line):
    generator = np.random.default_rng(3)
    problem = line(generator.normal(size=(6, 3)), generator.normal(size=6))
    step = make_step(problem.model, problem.loss, MOMENTUM, minibatch(6))
    state, batch = problem.state(MOMENTUM), batch_of(problem.data, range(6))
    (eager, seen), (compiled, also) = step(state, batch), jax.jit(step)(state, batch)
    np.testing.assert_allclose(eager.params["w"], compiled.params["w"], rtol=1e-6)
    for name in seen:
        np.testing.assert_allclose(seen[name], also[name], rtol=1e-6, err_msg=name)


def test_the_train_step_consumes_its_state(net):
    step = make_train_step(net.model, net.loss, ADAM, minibatch(4))
    state, batch = net.state(ADAM), batch_of(net.data, [0, 1, 2, 3])
    step(state, batch)
    moving = (state.params, state.batch_stats, state.opt_state, state.step)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(moving))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(batch))


@pytest.mark.parametrize("descent", [minibatch(4), Descent(4, chunks=2)])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM])
def test_later_steps_do_not_compile(net, descent, optimizer):
    traced = []

    def loss(outputs, labels):
        traced.append(1)
        return net.loss(outputs, labels)

    step = make_train_step(net.model, loss, optimizer, descent)
    state = net.state(optimizer)
    state, _ = step(state, batch_of(net.data, [0, 1, 2, 3]))
    once = len(traced)
    for start in (4, 8, 12):
        state, _ = step(state, batch_of(net.data, range(start, start + 4)))
    assert len(traced) == once >= 1
    assert int(state.step) == 4


class Noise(nn.Module):
    """Outputs [B, 1], each the number that dropout's key draws for it."""

    @nn.compact
    def __call__(self, x, *, train=False):
        self.param("w", nn.initializers.zeros_init(), ())
        key = self.make_rng("dropout") if train else jax.random.key(0)
        return jax.random.uniform(key, (len(x), 1))


@pytest.fixture(params=[minibatch(4), Descent(4, chunks=2)], ids=["whole", "chunks"])
def draws(request):
    """draws(start, updates): what four examples draw in each update, [updates, 4]."""
    optimizer, x = optax.sgd(0.0), jnp.zeros((4, 1))
    # A label of 0 takes an example out of the loss, so that one draw is left in it.
    step = make_step(Noise(), lambda out, y: out[:, 0] * y, optimizer, request.param)
    step = jax.jit(step)

    def draw(start, updates):
        found = np.zeros((updates, 4))
        for example in range(4):
            state = create_state(Noise(), (x,), optimizer, seed=1)
            state = state.replace(step=jnp.int32(start))
            batch = Batch((x,), jax.nn.one_hot(example, 4), jnp.ones(4))
            for t in range(updates):
                state, metrics = step(state, batch)
                found[t, example] = 4 * metrics["loss"]
        return found

    return draw


def test_dropout_is_drawn_anew_in_every_step_and_chunk(draws):
    found = draws(0, 3)
    assert len(np.unique(found)) == 12
    np.testing.assert_array_equal(found, draws(0, 3))
    np.testing.assert_array_equal(found[2:], draws(2, 1))


def test_inputs_are_changed_anew_in_every_step(line):
    """w = 0 and y = 1: the gradient is -x, of inputs that a key has shifted."""
    problem, keys = line([[1, 2]], [1]), []

    def augment(key, inputs):
        keys.append(key)
        return tuple(x + jax.random.normal(key, x.shape) for x in inputs)

    optimizer = optax.sgd(0.0)
    step = make_step(
        problem.model, problem.loss, optimizer, minibatch(1), augment=augment
    )
    compiled, batch = jax.jit(step), batch_of(problem.data, [0])
    state, norms = problem.state(optimizer), []
    for t in range(3):
        state, metrics = compiled(state, batch)
        norms.append(float(metrics["grad_norm"]))
        again = problem.state(optimizer).replace(step=jnp.int32(t))
        _, metrics = step(again, batch)
        assert float(metrics["grad_norm"]) == pytest.approx(norms[-1], rel=1e-6)
        shifted = batch.inputs[0] + jax.random.normal(keys[-1], (1, 2))
        assert norms[-1] == pytest.approx(float(jnp.linalg.norm(shifted)), rel=1e-6)
    assert len(set(norms)) == 3


def test_metrics_by_hand(line):
    # w = 0, y = -1: error 1, gradient x = (3, 4); the second example is padding.
    problem = line([[3, 4], [7, 7]], [-1, 5])
    optimizer = optax.sgd(0.1)
    step = make_step(problem.model, problem.loss, optimizer, minibatch(2))
    batch = batch_of(problem.data, [0, 1], [1, 0])
    state, metrics = step(problem.state(optimizer), batch)
    expected = {
        "loss": 0.5,
        "correct": 0,
        "examples": 1,
        "grad_norm": 5,
        "update_norm": 0.5,
        "param_norm": 0,
        "finite": True,
    }
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(state.params["w"], [-0.3, -0.4], rtol=1e-6)
    _, metrics = step(state, batch)
    np.testing.assert_allclose(metrics["param_norm"], 0.5, rtol=1e-6)


@pytest.mark.parametrize("descent", [minibatch(6), Descent(6, chunks=3)])
def test_hits_count_examples_and_not_padding(net, descent):
    rows, weights = [0, 1, 2, 3, 0, 0], [1, 1, 1, 1, 0, 0]
    optimizer = optax.sgd(0.1)
    # Without dropout and statistics the outputs in training are the outputs in use.
    model = create("mlp", hidden=[], classes=3)
    state = create_state(model, (net.data[0][0][:1],), optimizer)
    logits = model.apply(state.variables, net.data[0][0][:4])
    hits = int(np.sum(np.argmax(logits, -1) == net.data[1][:4]))
    loss = float(np.mean(net.loss(logits, net.data[1][:4])))
    step = make_step(model, net.loss, optimizer, descent)
    _, metrics = step(state, batch_of(net.data, rows, weights))
    assert (int(metrics["correct"]), int(metrics["examples"])) == (hits, 4)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)


def test_without_norms(net):
    step = make_step(net.model, net.loss, MOMENTUM, minibatch(4), norms=False)
    _, metrics = step(net.state(MOMENTUM), batch_of(net.data, [0, 1, 2, 3]))
    assert metrics.keys() == {"loss", "correct", "examples", "finite"}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("descent", [minibatch(4), Descent(4, chunks=2)])
def test_an_input_that_is_not_finite_changes_nothing(net, bits, bad, descent):
    step = jax.jit(make_step(net.model, net.loss, MOMENTUM, descent))
    good = batch_of(net.data, [0, 1, 2, 3])
    state, _ = step(net.state(MOMENTUM), good)
    (x,), y = net.data
    poisoned = batch_of(((x.at[9, 1].set(bad),), y), [6, 7, 8, 9])
    kept, metrics = step(state, poisoned)
    assert not metrics["finite"]
    assert bits(kept) == bits(state)
    # It stands still for as long as the batch is bad, and then goes on.
    again, _ = step(kept, poisoned)
    assert bits(step(again, good)[0]) == bits(step(state, good)[0])


def test_a_gradient_that_is_not_finite_changes_nothing(line, bits):
    """sqrt|x . w| at w = 0: the loss is 0, its slope infinite."""
    problem = line([[1, 2]], [0])
    optimizer = optax.sgd(0.1)
    step = make_step(
        problem.model,
        lambda out, y: jnp.sqrt(jnp.abs(out[:, 0])),
        optimizer,
        minibatch(1),
    )
    state = problem.state(optimizer)
    kept, metrics = step(state, batch_of(problem.data, [0]))
    assert float(metrics["loss"]) == 0 and not metrics["finite"]
    assert bits(kept) == bits(state)


class TwoHeads(nn.Module):
    """x [B, D] -> logits, and with auxiliary logits in training."""

    @nn.compact
    def __call__(self, x, *, train=False):
        logits, other = nn.Dense(3, name="main")(x), nn.Dense(3, name="aux")(x)
        return (logits, {"aux": other}) if train else logits


def test_auxiliary_heads_reach_the_loss_and_not_the_hits(net):
    """Hits are the main head's; the loss, and so the gradient, sees both."""

    def loss(outputs, labels):
        logits, heads = outputs
        return net.loss(logits, labels) + 0.3 * net.loss(heads["aux"], labels)

    model, optimizer = TwoHeads(), optax.sgd(1.0)
    (x,), y = net.data
    state = create_state(model, (x[:1],), optimizer)
    step = jax.jit(make_step(model, loss, optimizer, minibatch(23)))
    moved, metrics = step(state, Batch((x,), y, jnp.ones(23)))
    heads = {k: x @ p["kernel"] + p["bias"][None] for k, p in state.params.items()}
    expected = net.loss(heads["main"], y) + 0.3 * net.loss(heads["aux"], y)
    assert metrics["loss"] == pytest.approx(float(expected.mean()), rel=1e-6)
    assert metrics["correct"] == np.sum(np.argmax(heads["main"], -1) == np.asarray(y))
    for name, weight in (("main", 1.0), ("aux", 0.3)):
        error = jax.nn.softmax(heads[name]) - jax.nn.one_hot(y, 3)
        update = moved.params[name]["kernel"] - state.params[name]["kernel"]
        np.testing.assert_allclose(update, -weight * x.T @ error / 23, atol=1e-6)


def test_an_average_follows_the_variables(net):
    """ema_t = (ema_{t-1} + variables_t) / 2, batch statistics too, from the start."""

    def average(ema, variables, step):
        del step
        return jax.tree.map(lambda a, b: (a + b) / 2, ema, variables)

    optimizer, (x, y) = optax.sgd(0.1), (net.data[0][0][:4], net.data[1][:4])
    start = create_state(net.model, (x,), optimizer, ema=True)
    step = make_step(net.model, net.loss, optimizer, minibatch(4), average=average)
    first, _ = jax.jit(step)(start, Batch((x,), y, jnp.ones(4)))
    second, _ = jax.jit(step)(first, Batch((x,), y, jnp.ones(4)))
    chex.assert_trees_all_equal(start.averaged, start.variables)
    expected = jax.tree.map(
        lambda a, b, c: a / 4 + b / 4 + c / 2,
        start.variables, first.variables, second.variables,
    )  # fmt: skip
    chex.assert_trees_all_close(second.averaged, expected, rtol=1e-6)
