"""The first stages of a model keep their parameters and statistics, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.errors import InputError
from jnets.training.freeze import freeze, frozen_before, keep_frozen
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


def test_statistics_of_frozen_stages_are_kept():
    old = {"conv1_norm": {"mean": 1}, "stage1": {"block1": {"norm1": {"mean": 2}}}}
    new = {"conv1_norm": {"mean": 3}, "stage1": {"block1": {"norm1": {"mean": 4}}}}
    assert keep_frozen(old, new, {"conv1", "conv1_norm"}) == {
        "conv1_norm": {"mean": 1},
        "stage1": {"block1": {"norm1": {"mean": 4}}},
    }
    assert keep_frozen(old, new, set()) == new
