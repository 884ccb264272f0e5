"""The flow of gradients in whole models, against the taken-apart recurrences."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.inspect.gradient_flow import (
    gradient_flow,
    gradient_metrics,
    layer_weights,
    sigma_max,
)
from jnets.layers import GRU, LSTM, RNN, Dense, Policy
from jnets.ops.recurrence import Form, Steps
from jnets.ops.taken_apart import state_gradients
from jnets.ops.unroll import loop

DOUBLE = Policy("float64", "float64", "float64")
B, T, F, H = 3, 6, 2, 4


def made(layer, seed=0, dtype=jnp.float64):
    x = jax.random.normal(jax.random.key(seed), (B, T, F), dtype)
    variables = layer.init(jax.random.key(seed + 1), x)
    weigh = jax.random.normal(jax.random.key(seed + 2), (B, T, H), dtype)
    return x, variables, weigh


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_one_layer(layer, x64):
    net = layer(H, policy=DOUBLE)
    x, variables, weigh = made(net)
    lengths = jnp.array([6, 3, 0])

    def objective():
        lengths = jnp.array([6, 3, 0])
        return jnp.sum(net.apply(variables, x, lengths=lengths)[0] * weigh)

    flow = gradient_flow(objective)
    valid = jnp.arange(T)[:, None] < lengths[None]
    weights = layer_weights(net.cell(), variables["params"]["layer0"])
    start = tuple(jnp.zeros((B, n)) for n in net.sizes())
    d_hs = jnp.where(valid[..., None], weigh.swapaxes(0, 1), 0)
    run = Form(net.cell()), weights, x.swapaxes(0, 1), start, d_hs
    expected = state_gradients(*run, Steps(valid))
    assert list(flow) == ["layer0"]
    for found, wanted in zip(flow["layer0"], expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found[:, 2], np.zeros(T))  # of no step


def test_two_layers_both_ways_residual_and_resets(x64):
    """Against autodiff of loops written out, with a zero added to one state of one."""
    net = GRU(H, num_layers=2, bidirectional=True, residual=True, policy=DOUBLE)
    x, variables, _ = made(net)
    resets = jnp.zeros((B, T), bool).at[:, 2].set(True)
    flow = gradient_flow(
        lambda: jnp.sum(jnp.sin(net.apply(variables, x, resets=resets)[0]))
    )
    params, start = variables["params"], (jnp.zeros((B, H)),)

    def one(name, x, tap):
        weights = layer_weights(net.cell(), params[name])
        state, hs = start, [x[0]] * T
        order = range(T)[::-1] if name.endswith("reverse") else range(T)
        for t in order:
            # Run forward, a sequence starts at step 2; run back, at step 1.
            if t == (1 if name.endswith("reverse") else 2):
                state = start
            _, state = loop(Form(net.cell()), weights, x[t : t + 1], state)
            state = (state[0] + tap[t],)
            hs[t] = state[0]
        return jnp.stack(hs)

    def written_out(taps):
        y = x.swapaxes(0, 1)
        for n in (0, 1):
            both = [one(f"layer{n}{s}", y, taps[f"layer{n}{s}"]) for s in ("", BACK)]
            out = jnp.concatenate(both, axis=-1)
            y = y + out if y.shape == out.shape else out
        return jnp.sum(jnp.sin(y))

    taps = {name: jnp.zeros((T, B, H)) for name in params}
    expected = jax.jit(jax.grad(written_out))(taps)
    assert flow.keys() == expected.keys() and len(flow) == 4
    for name, (found,) in flow.items():
        wanted = np.linalg.norm(expected[name], axis=-1)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


BACK = "_reverse"


class Reader(nn.Module):
    @nn.compact
    def __call__(self, x):
        outputs, _ = LSTM(H, forget=False, name="memory")(x)
        return Dense(1)(outputs[:, -1])


def still(variables):
    """The net with no recurrent product."""
    memory = variables["params"]["memory"]["layer0"]
    memory = memory | {"recurrent_kernel": 0 * memory["recurrent_kernel"]}
    return {"params": variables["params"] | {"memory": {"layer0": memory}}}


def test_constant_error_carousel():
    net = Reader()
    x, variables, _ = made(net, dtype=jnp.float32)
    (states,) = gradient_flow(lambda: net.apply(still(variables), x).sum()).values()
    h, c = states
    np.testing.assert_array_equal(h[:-1], np.zeros((T - 1, B)))
    np.testing.assert_array_equal(c[:-1], np.broadcast_to(c[0], (T - 1, B)))
    assert np.all(c[0] > 0)


def test_metrics_in_a_training_step():
    net = Reader()
    x, variables, _ = made(net, dtype=jnp.float32)

    @jax.jit
    def step(variables, x):
        few = x[:2]
        metrics = gradient_metrics(lambda: net.apply(variables, few).sum(), variables)
        grads = jax.grad(lambda v: net.apply(v, x).sum())(variables)
        return jax.tree.map(lambda v, g: v - 0.1 * g, variables, grads), metrics

    _, metrics = step(variables, x)
    states = gradient_flow(lambda: net.apply(variables, x[:2]).sum())
    h, c = states["memory/layer0"]
    norms = np.sqrt(np.square(h) + np.square(c)).mean(1)
    kernel = variables["params"]["memory"]["layer0"]["recurrent_kernel"]
    expected = {
        "first": norms[0],
        "last": norms[-1],
        "ratio": norms[0] / norms[-1],
        "sigma_max": np.linalg.norm(kernel, 2),
    }
    found = {k.removeprefix("memory/layer0/"): v for k, v in metrics.items()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


def test_the_power_method():
    matrix = jax.random.normal(jax.random.key(0), (32, 128))
    exact = np.linalg.norm(matrix, 2)
    assert 0.996 * exact < sigma_max(matrix) < exact * (1 + 1e-6)
    np.testing.assert_allclose(sigma_max(jnp.diag(jnp.array([1.0, 3.0]))), 3, rtol=1e-6)
    assert sigma_max(jnp.zeros((3, 3))) == 0


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = RNN(F)
        return layer(layer(x)[0])[0]


def test_what_is_refused():
    net = Reader()
    x, variables, _ = made(net, dtype=jnp.float32)
    compiled = jax.jit(net.apply)
    compiled(variables, x)
    for objective in (lambda: x.sum(), lambda: compiled(variables, x).sum()):
        with pytest.raises(InputError, match="^objective calls no recurrent layer"):
            gradient_flow(objective)
    net = Twice()
    variables = net.init(jax.random.key(0), x)
    with pytest.raises(InputError, match=r"layer0 twice; expected once"):
        gradient_flow(lambda: net.apply(variables, x).sum())
    net = RNN(H, recurrent_dropout=0.5)
    variables, keys = net.init(jax.random.key(0), x), {"dropout": jax.random.key(1)}
    with pytest.raises(InputError, match="^layer0 drops parts .* train=False"):
        gradient_flow(lambda: net.apply(variables, x, train=True, rngs=keys)[0].sum())
