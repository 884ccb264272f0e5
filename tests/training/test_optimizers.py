"""Updates against loops in NumPy, and against numbers that PyTorch computed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.errors import InputError
from jnets.training.optimizers import bound_filters, decayed, make_optimizer
from jnets.training.recipes import RECIPES, Recipe

PLAIN = Recipe("test", rate=0.1, batch=8, reference=8, length=100)
START = np.array([1.0, -1.0])
GRADIENTS = np.array([[1.0, -2.0], [0.5, 1.0], [-1.0, 3.0], [2.0, -1.0]])
DROPPED = PLAIN._replace(schedule=("steps", 0.1, 2), weight_decay=0.1)  # .1 .1 .01 .01

# torch 2.13: SGD(momentum=0.9, weight_decay=0.1), the same with nesterov, and
# RMSprop(alpha=0.9, eps=0.01, momentum=0.5, weight_decay=0.1), lr .1 .1 .01 .01.
TORCH = {
    ("momentum", 0.9): [
        [0.89, -0.79],
        [0.7321, -0.6931],
        [0.7271569, -0.7136859],
        [0.7019809531, -0.7214995241],
    ],
    ("nesterov", 0.9): [
        [0.791, -0.601],
        [0.591871, -0.609481],
        [0.5970367351, -0.6576271761],
        [0.554084210793, -0.654257775855],
    ],
    ("rmsprop", 0.9, 0.01, 0.5): [
        [0.692609101009, -0.688463495547],
        [0.391401051781, -0.664695710786],
        [0.396420951216, -0.689053289908],
        [0.3732201591, -0.691868717635],
    ],
}


def train(recipe, params, gradients, updates_per_epoch=1):
    """Parameters after each update; one compiled step, donating nothing."""
    optimizer = make_optimizer(recipe, updates_per_epoch).transformation

    @jax.jit
    def step(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state, seen = optimizer.init(params), []
    for grads in gradients:
        params, state = step(params, state, grads)
        seen.append(params)
    return seen


def trajectory(recipe):
    tree = [{"dense": {"kernel": jnp.asarray(g)}} for g in GRADIENTS]
    seen = train(recipe, {"dense": {"kernel": jnp.asarray(START)}}, tree)
    return np.stack([p["dense"]["kernel"] for p in seen])


@pytest.mark.parametrize("rule", TORCH)
def test_torch(rule, x64):
    found = trajectory(DROPPED._replace(rule=rule))
    np.testing.assert_allclose(found, TORCH[rule], rtol=1e-11)


def caffe_by_hand(rates, decay=0.1, mu=0.9):
    w, v, seen = START.copy(), np.zeros(2), []
    for g, lr in zip(GRADIENTS, rates, strict=True):
        v = mu * v - lr * (g + decay * w)
        w = w + v
        seen.append(w)
    return np.stack(seen)


def test_caffe_keeps_the_rate_inside_the_buffer(x64):
    """v <- .9 v - lr (g + wd w), w += v; PyTorch's form while the rate is constant."""
    recipe = DROPPED._replace(rule=("caffe", 0.9))
    found = trajectory(recipe)
    expected = caffe_by_hand([0.1, 0.1, 0.01, 0.01])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    outside = np.array(TORCH["momentum", 0.9])
    np.testing.assert_allclose(found[:2], outside[:2], rtol=1e-12)
    # After the drop the old velocity goes on: PyTorch's form shrinks it tenfold.
    velocity = outside[1] - outside[0]
    np.testing.assert_allclose(found[2] - outside[2], 0.81 * velocity, rtol=1e-10)
    constant = recipe._replace(schedule=("constant",))
    torch_form = trajectory(constant._replace(rule=("momentum", 0.9)))
    np.testing.assert_allclose(trajectory(constant), torch_form, rtol=1e-12)


def test_rmsprop_of_tensorflow(x64):
    """The mean square starts at 1, eps is under the root, the rate in the buffer."""
    w, s, v, expected = START.copy(), np.ones(2), np.zeros(2), []
    for g, lr in zip(GRADIENTS, [0.1, 0.1, 0.01, 0.01], strict=True):
        g = g + 0.1 * w
        s = 0.9 * s + 0.1 * g**2
        v = 0.5 * v + lr * g / np.sqrt(s + 1.0)
        w = w - v
        expected.append(w)
    found = trajectory(DROPPED._replace(rule=("rmsprop_tf", 0.9, 1.0, 0.5)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def ones(*names):
    return {name: {"kernel": jnp.ones(2), "bias": jnp.ones(2)} for name in names}


def test_clipping_is_of_the_whole_gradient_and_before_decay(x64):
    recipe = PLAIN._replace(
        rate=1.0, clip=1.0, weight_decay=0.5, rule=("momentum", 0.0)
    )
    params, grads = ones("a", "b"), jax.tree.map(lambda p: 2 * p, ones("a", "b"))
    (after,) = train(recipe, params, [grads])
    # The norm of eight 2s is sqrt(32): each becomes 1 / sqrt(8).
    expected = 1 - 8**-0.5 - 0.5
    for leaf in jax.tree.leaves(after):
        np.testing.assert_allclose(leaf, expected, rtol=1e-12)


PARAMS = {
    "conv1": {"kernel": 1, "bias": 2},
    "conv1_norm": {"scale": 3, "bias": 4},
    "stage1": {"block1": {"conv1": {"kernel": 5}, "norm1": {"scale": 6, "bias": 7}}},
}


@pytest.mark.parametrize(
    "decays, which",
    [("all", {1, 2, 3, 4, 5, 6, 7}), ("kernels", {1, 5}), ("not_norms", {1, 2, 5})],
)
def test_what_decays(decays, which):
    chosen = jax.tree.map(
        lambda p, yes: p if yes else 0, PARAMS, decayed(PARAMS, decays)
    )
    assert set(jax.tree.leaves(chosen)) - {0} == which


def test_biases_learn_faster_and_do_not_decay(x64):
    recipe = PLAIN._replace(
        rule=("caffe", 0.9), bias_factor=2.0, weight_decay=0.5, decays="kernels"
    )
    grads = [ones("a"), ones("a")]
    found = train(recipe, ones("a"), grads)
    np.testing.assert_allclose(found[0]["a"]["kernel"], 1 - 0.1 * 1.5, rtol=1e-12)
    np.testing.assert_allclose(found[0]["a"]["bias"], 1 - 0.2, rtol=1e-12)
    np.testing.assert_allclose(found[1]["a"]["bias"], 0.8 - 0.2 * 1.9, rtol=1e-12)


def test_a_frozen_layer_stands_still_though_it_had_momentum(x64):
    """AlexNet, one update for an epoch: conv1 stops after update 72."""
    grads = [ones("conv1", "conv2")] * 75
    found = train(RECIPES["alexnet_2012"], ones("conv1", "conv2"), grads)
    moved = np.abs(np.diff([p["conv1"]["kernel"][0] for p in found]))
    assert moved[70] > 1e-5 and (moved[71:] == 0).all()
    stopped = [p["conv1"]["bias"][0] for p in found]
    assert stopped[71] != stopped[70] and len(set(map(float, stopped[71:]))) == 1
    going = np.diff([p["conv2"]["bias"][0] for p in found])
    # The rate .02 never falls: with mu = .9 each update tends to .02 / .1.
    np.testing.assert_allclose(going[-1], -0.2, rtol=1e-3)


def test_stacked_blocks_are_updated_as_single_ones(x64):
    """A leading axis of blocks changes nothing: decay, biases, filters."""
    rng = np.random.default_rng(0)
    recipe = RECIPES["zfnet"]._replace(
        weight_decay=0.1, decays="kernels", bias_factor=2.0, rate=1.0
    )
    blocks = [
        {"conv": {"kernel": rng.normal(size=(3, 3, 2, 4)), "bias": rng.normal(size=4)}}
        for _ in range(3)
    ]
    grads = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), blocks)
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    stacked = train(recipe, stack, [jax.tree.map(lambda *g: jnp.stack(g), *grads)] * 2)
    for i, (block, g) in enumerate(zip(blocks, grads, strict=True)):
        single = train(recipe, jax.tree.map(jnp.asarray, block), [g] * 2)[-1]
        part = jax.tree.map(lambda p, i=i: p[i], stacked[-1])
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), part, single
        )


def test_filters_are_bounded_after_the_update(x64):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(3, 3, 2, 4)) * np.array([0.01, 0.05, 1.0, 3.0])
    update = 0.01 * rng.normal(size=kernel.shape)
    params = {
        "conv": {"kernel": kernel, "bias": np.full(4, 5.0)},
        "fc": {"kernel": np.full((8, 4), 5.0)},
    }
    params = jax.tree.map(jnp.asarray, params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    zeros["conv"]["kernel"] = jnp.asarray(update)
    bound = bound_filters(0.1)
    updates, _ = jax.jit(bound.update)(zeros, bound.init(params), params)
    after = optax.apply_updates(params, updates)
    moved = kernel + update
    rms = np.sqrt((moved**2).mean((0, 1, 2)))
    assert (rms[:2] < 0.1).all() and (rms[2:] > 0.1).all()
    expected = moved * np.minimum(1, 0.1 / rms)
    np.testing.assert_allclose(after["conv"]["kernel"], expected, rtol=1e-12)
    np.testing.assert_array_equal(updates["conv"]["kernel"][..., :2], update[..., :2])
    np.testing.assert_array_equal(after["fc"]["kernel"], params["fc"]["kernel"])
    np.testing.assert_array_equal(after["conv"]["bias"], params["conv"]["bias"])


def test_a_filter_of_zeros_stays_finite():
    bound, zeros = bound_filters(0.1), {"kernel": jnp.zeros((3, 3, 2, 4))}
    updates, _ = bound.update(zeros, bound.init(zeros), zeros)
    np.testing.assert_array_equal(updates["kernel"], zeros["kernel"])


@pytest.mark.parametrize("name", ["alexnet_2012", "small", "inception_v3"])
def test_a_restored_state_goes_on_exactly(name, bits):
    """All state is arrays: a run cut in two, its state copied, is the whole run."""
    recipe = RECIPES[name]._replace(length=200)
    optimizer = make_optimizer(recipe, 1).transformation
    update, params = jax.jit(optimizer.update), ones("conv1", "conv2")

    def run(params, state, counts):
        for t in counts:
            grads = jax.tree.map(lambda p, t=t: jnp.cos(p + t), params)
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    whole = run(params, optimizer.init(params), range(80))
    half, state = run(params, optimizer.init(params), range(40))
    copied = jax.tree.map(lambda leaf: jnp.asarray(np.array(leaf)), state)
    assert bits(run(half, copied, range(40, 80))) == bits(whole)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(rule=("adam", 0.9)), "rule=.'adam', 0.9. is unknown; expected one of"),
        (
            dict(rule=("caffe",)),
            "rule=.'caffe',. has 0 numbers, which 'caffe' does not",
        ),
        (dict(weight_decay=0.1, decays="some"), "decays='some' is unknown; expected"),
        (dict(weight_decay=-0.1), "weight_decay=-0.1 is not usable"),
        (dict(clip=-1.0), "clip=-1.0 is not usable"),
        (dict(filter_rms=float("nan")), "filter_rms=nan is not usable"),
    ],
)
def test_what_is_no_optimizer(change, message):
    with pytest.raises(InputError, match=message):
        make_optimizer(PLAIN._replace(**change), 1)
