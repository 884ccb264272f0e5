"""The first stages of a model keep their parameters and statistics, to the bit."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.errors import InputError
from jnets.layers import BatchNorm
from jnets.training.freeze import Frozen, freeze, frozen_before
from jnets.training.optimizers import make_optimizer
from jnets.training.recipes import RECIPES

STAGES = ("conv1", "conv1_norm", "stage1", "fc")


def params():
    return {
        "conv1": {"kernel": jnp.ones((3, 3, 2, 2))},
        "conv1_norm": {"scale": jnp.ones(2), "bias": jnp.zeros(2)},
        "stage1": {"block1": {"conv1": {"kernel": jnp.ones((3, 3, 2, 2))}}},
        "fc": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
    }


def test_the_modules_before_a_stage():
    assert frozen_before("conv1", STAGES) == frozenset()
    assert frozen_before("fc", STAGES) == {"conv1", "conv1_norm", "stage1"}
    with pytest.raises(InputError) as caught:
        frozen_before("stage9", STAGES)
    assert str(caught.value) == (
        "freeze_until='stage9' is no stage of this model; expected one of "
        "conv1, conv1_norm, stage1, fc"
    )


@pytest.mark.parametrize("name", ["alexnet_2012", "zfnet", "inception_v3", "small"])
def test_frozen_parameters_do_not_move_and_others_as_without_them(name):
    """Neither gradient, decay, clipping nor the bound of filters reaches them."""
    recipe = RECIPES[name]._replace(clip=0.5)
    optimizer = make_optimizer(recipe, 100).transformation
    frozen = frozen_before("stage1", STAGES)
    part = {k: v for k, v in params().items() if k not in frozen}

    def run(optimizer, params):
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for _ in range(3):
            grads = jax.tree.map(lambda p: 1 + p, params)
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params

    after, alone = run(freeze(optimizer, frozen), params()), run(optimizer, part)
    for k, before in params().items():
        kept = before if k in frozen else alone[k]
        jax.tree.map(np.testing.assert_array_equal, after[k], kept)
    moved = after["stage1"]["block1"]["conv1"]["kernel"]
    assert (moved != params()["stage1"]["block1"]["conv1"]["kernel"]).all()


def test_frozen_parameters_have_no_state():
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = freeze(optimizer, {"conv1", "conv1_norm", "stage1"}).init(params())
    sizes = sorted(leaf.size for leaf in jax.tree.leaves(state))
    assert sizes == [3, 6]  # the velocity of fc


def test_something_must_be_left():
    with pytest.raises(InputError, match="leaves nothing to train"):
        freeze(optax.sgd(0.1), STAGES).init(params())


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return BatchNorm(name="norm")(nn.Dense(3, name="dense")(x), train=train), None


class Net(nn.Module):
    """Two norms, and two blocks scanned under nn.remat."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = BatchNorm(name="conv1_norm")(x, train=train)
        stack = nn.scan(
            nn.remat(Block, static_argnums=(2,)),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=2,
        )
        x, _ = stack(name="stage1")(x, train)
        return BatchNorm(name="stage2_norm")(x, train=train)


@pytest.mark.parametrize(
    "frozen",
    [set(), {"conv1_norm"}, {"conv1_norm", "stage1"}],
    ids=["none", "the first norm", "scanned blocks too"],
)
def test_norms_of_frozen_stages_run_as_in_use(frozen):
    x = 2 + 3 * jax.random.normal(jax.random.key(1), (6, 4, 4, 3))
    model = Net()
    variables = model.init(jax.random.key(0), x)
    trained = Frozen(model, frozen)

    @jax.jit
    def run(variables, x):
        return trained.apply(variables, x, train=True, mutable=["batch_stats"])

    y, updated = run(variables, x)
    for name, before in variables["batch_stats"].items():
        moved = jax.tree.map(
            lambda a, b: bool((a != b).any()), updated["batch_stats"][name], before
        )
        assert set(jax.tree.leaves(moved)) == {name not in frozen}, name
    plain, _ = model.apply(variables, x, train=True, mutable=["batch_stats"])
    assert np.allclose(y, plain, atol=1e-5) == (not frozen)
    assert trained.init is not None and trained.name == model.name


def test_what_comes_after_a_frozen_stage_sees_what_it_saw_in_use():
    x = 2 + 3 * jax.random.normal(jax.random.key(1), (6, 4, 4, 3))
    model = Net()
    variables = model.init(jax.random.key(0), x)
    everything = Frozen(model, {"conv1_norm", "stage1", "stage2_norm"})
    y, _ = everything.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, model.apply(variables, x), rtol=1e-6, atol=1e-6)
