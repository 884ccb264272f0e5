"""Optimizers, schedules and losses beside PyTorch, update by update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.ops.losses import smoothed_cross_entropy
from jnets.ops.metrics import top_k_correct
from jnets.training.optimizers import make_optimizer
from jnets.training.recipes import Recipe

pytestmark = pytest.mark.parity

EPOCH, EPOCHS = 5, 8
PLAIN = Recipe(
    "test",
    rate=0.05,
    batch=8,
    reference=8,
    length=EPOCHS,
    schedule=("steps", 0.1, 3, 6),
)


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def ours(recipe, params, x):
    optimizer = make_optimizer(recipe, EPOCH).transformation

    def loss(params):
        hidden = jnp.tanh(x @ params["a"]["kernel"] + params["a"]["bias"][None])
        return jnp.sum(jnp.square(hidden @ params["b"]["kernel"]))

    @jax.jit
    def step(params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    state, seen = optimizer.init(params), []
    for _ in range(EPOCH * EPOCHS):
        params, state, value = step(params, state)
        seen.append(float(value))
    return seen


def theirs(torch, make, params, x):
    leaves = {
        k: {n: torch.nn.Parameter(torch.from_numpy(v.copy())) for n, v in layer.items()}
        for k, layer in params.items()
    }
    optimizer = make(leaves)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 6], gamma=0.1)
    x, seen = torch.from_numpy(x), []
    for t in range(EPOCH * EPOCHS):
        optimizer.zero_grad()
        hidden = torch.tanh(x @ leaves["a"]["kernel"] + leaves["a"]["bias"])
        value = (hidden @ leaves["b"]["kernel"]).square().sum()
        value.backward()
        optimizer.step()
        seen.append(float(value.detach()))
        if (t + 1) % EPOCH == 0:
            schedule.step()
    return seen


def every(leaves):
    return [p for layer in leaves.values() for p in layer.values()]


def kernels_and_biases(leaves, decay, bias_rate):
    """The groups of parameters that Caffe's recipes have."""
    kernels = [layer["kernel"] for layer in leaves.values()]
    return [
        {"params": kernels, "weight_decay": decay},
        {"params": [leaves["a"]["bias"]], "weight_decay": 0.0, "lr": bias_rate},
    ]


CASES = {
    "momentum": (
        PLAIN._replace(weight_decay=0.01),
        lambda o, p: o.SGD(every(p), lr=0.05, momentum=0.9, weight_decay=0.01),
    ),
    "nesterov": (
        PLAIN._replace(rule=("nesterov", 0.8), weight_decay=0.01),
        lambda o, p: o.SGD(
            every(p), lr=0.05, momentum=0.8, weight_decay=0.01, nesterov=True
        ),
    ),
    "scaled by the batch": (
        PLAIN._replace(batch=16),
        lambda o, p: o.SGD(every(p), lr=0.1, momentum=0.9),
    ),
    "biases at twice the rate": (
        PLAIN._replace(bias_factor=2.0, weight_decay=0.01, decays="kernels"),
        lambda o, p: o.SGD(kernels_and_biases(p, 0.01, 0.1), lr=0.05, momentum=0.9),
    ),
    "rmsprop": (
        PLAIN._replace(rule=("rmsprop", 0.99, 1e-2, 0.9), weight_decay=0.01),
        lambda o, p: o.RMSprop(
            every(p), lr=0.05, alpha=0.99, eps=1e-2, momentum=0.9, weight_decay=0.01
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_trajectory(name, torch, x64):
    recipe, make = CASES[name]
    rng = np.random.default_rng(0)
    params = {
        "a": {"kernel": 0.3 * rng.normal(size=(3, 4)), "bias": np.ones(4)},
        "b": {"kernel": rng.normal(size=(4, 2))},
    }
    x = rng.normal(size=(6, 3))
    found = ours(recipe, jax.tree.map(jnp.asarray, params), jnp.asarray(x))
    expected = theirs(torch, lambda leaves: make(torch.optim, leaves), params, x)
    assert expected[-1] != expected[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing(smoothing, torch, x64):
    rng = np.random.default_rng(1)
    logits, labels = 4 * rng.normal(size=(9, 7)), rng.integers(0, 7, 9)
    tensor = torch.from_numpy(logits).requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        tensor, torch.from_numpy(labels), label_smoothing=smoothing, reduction="none"
    )
    expected.sum().backward()
    loss, vjp = jax.vjp(
        lambda z: smoothed_cross_entropy(z, jnp.asarray(labels), smoothing),
        jnp.asarray(logits),
    )
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12)
    (gradient,) = vjp(jnp.ones(9))
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), atol=1e-13)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k(k, torch):
    """Without equal logits, whose order PyTorch leaves open."""
    rng = np.random.default_rng(2)
    logits = rng.permuted(np.arange(7.0, dtype=np.float32) + np.zeros((50, 1)), axis=1)
    logits, labels = logits.astype(np.float32), rng.integers(0, 7, 50)
    best = torch.topk(torch.from_numpy(logits), k).indices.numpy()
    found = top_k_correct(jnp.asarray(logits), jnp.asarray(labels), k)
    np.testing.assert_array_equal(found, (best == labels[:, None]).any(1))
    assert found.any()
