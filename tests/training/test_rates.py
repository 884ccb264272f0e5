"""Rates of the recipes by hand, at and around every change."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.training.rates import group_rates, make_schedule
from jnets.training.recipes import RECIPES, Recipe

EPOCH = 1000
PLAIN = Recipe("test", rate=0.1, batch=8, reference=8, length=12)


def rates(schedule, counts):
    """The same eagerly and compiled, for counts that are arrays."""
    eager = [float(schedule(jnp.int32(t))) for t in counts]
    compiled = jax.jit(schedule)
    np.testing.assert_allclose([compiled(jnp.int32(t)) for t in counts], eager, 1e-6)
    return eager


# Recipe -> {update: rate}, 1000 updates in an epoch.
BY_HAND = {
    "alexnet_2012": {
        0: 1e-2,
        24_999: 1e-2,
        25_000: 1e-3,
        50_999: 1e-3,
        51_000: 1e-4,
        79_000: 1e-5,
        90_999: 1e-5,
    },
    "alexnet_caffe": {99_999: 1e-2, 100_000: 1e-3, 400_000: 1e-6},
    "googlenet": {7_999: 0.01, 8_000: 0.0096, 80_000: 0.01 * 0.96**10},
    "googlenet_caffe": {319_999: 0.01, 320_000: 0.0096, 9_920_000: 0.01 * 0.96**31},
    "googlenet_caffe_quick": {
        0: 0.01,
        1_800_000: 0.005,
        2_399_976: 1e-2 / 10**2.5,
        2_400_000: 0,
    },
    "resnet_torch": {29_999: 0.1, 30_000: 0.01, 60_000: 0.001, 89_999: 0.001},
    "resnet_cifar": {0: 0.1, 31_999: 0.1, 32_000: 0.01, 48_000: 0.001},
    "resnet_cifar_110": {0: 0.01, 399: 0.01, 400: 0.1, 32_000: 0.01},
    "inception_v3": {1_999: 0.045, 2_000: 0.0423, 4_000: 0.039762},
    # 32 times the reference: from 0.1 to 3.2 in 5 epochs.
    "large_batch": {0: 0.1, 2_500: 1.65, 5_000: 3.2, 29_999: 3.2, 30_000: 0.32},
    "small": {0: 0.0, 1_000: 0.025, 2_000: 0.05, 13_000: 0.025, 24_000: 0.0},
}


@pytest.mark.parametrize("name", BY_HAND)
def test_rates_by_hand(name):
    schedule = make_schedule(RECIPES[name], EPOCH)
    found = rates(schedule, BY_HAND[name])
    np.testing.assert_allclose(found, [*BY_HAND[name].values()], rtol=2e-6, atol=1e-9)


def test_the_cosine_begins_where_the_warm_up_ends():
    recipe = PLAIN._replace(schedule=("cosine",), warmup=("linear", 0.02, 4))
    found = rates(make_schedule(recipe, 1), range(14))
    curve = [0.05 * (1 + math.cos(math.pi * t / 8)) for t in range(9)]
    np.testing.assert_allclose(found, [0.02, 0.04, 0.06, 0.08, *curve, 0.0], atol=1e-7)


def test_the_rate_follows_the_batch_and_the_start_of_a_linear_warm_up_does_not():
    recipe = PLAIN._replace(batch=32, warmup=("linear", 0.1, 3))
    found = rates(make_schedule(recipe, 1), range(5))
    np.testing.assert_allclose(found, [0.1, 0.2, 0.3, 0.4, 0.4], rtol=1e-6)
    recipe = recipe._replace(warmup=("constant", 0.02, 3))
    found = rates(make_schedule(recipe, 1), range(5))
    np.testing.assert_allclose(found, [0.08, 0.08, 0.08, 0.4, 0.4], rtol=1e-6)


def test_times_may_be_parts_of_an_epoch_and_last_at_least_one_update():
    recipe = PLAIN._replace(
        schedule=("steps", 0.1, 1.5), warmup=("constant", 1.0, 0.01)
    )
    found = rates(make_schedule(recipe, 4), [0, 1, 5, 6])
    np.testing.assert_allclose(found, [1.0, 0.1, 0.1, 0.01], rtol=1e-6)


def test_groups_of_alexnet():
    """conv1 goes its own way, and the rate of the biases does not fall."""
    groups = group_rates(RECIPES["alexnet_2012"], EPOCH)
    at = [0, 25_000, 66_999, 67_000, 71_999, 72_000, 90_000]
    expected = {
        "kernels": [1e-2, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-5],
        "kernelsconv1/kernel": [1e-2, 1e-3, 1e-4, 1e-5, 1e-5, 0, 0],
        "biasesconv1/bias": [0.02, 0.02, 0.02, 0.02, 0.02, 0, 0],
        "biases*/bias": [0.02] * 7,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(rates(groups[name], at), values, rtol=1e-6)


def test_own_rates_follow_the_batch_too():
    recipe = PLAIN._replace(batch=16, rates=(("a", ((3, 0.3),)),), bias_factor=2.0)
    groups = group_rates(recipe, 1)
    np.testing.assert_allclose(rates(groups["kernelsa"], [2, 3]), [0.2, 0.6], rtol=1e-6)
    np.testing.assert_allclose(rates(groups["biasesa"], [2, 3]), [0.4, 0.6], rtol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(schedule=("linear",)),
            "schedule=.'linear',. is unknown; expected one of",
        ),
        (dict(schedule=("steps",)), "schedule=.'steps',. has 0 numbers"),
        (dict(schedule=("every", 0.1)), "has 1 numbers, which 'every' does not take"),
        (dict(warmup=("cosine", 1, 2)), "warmup=.'cosine', 1, 2. is unknown"),
        (dict(warmup=("linear", 2)), "warmup=.'linear', 2. has 1 numbers"),
        (dict(warmup=("linear", 0.0, 12)), "length=12 is not usable; expected more ep"),
        (dict(length=0), "length=0 is not usable"),
        (dict(unit="seconds"), "unit='seconds' is unknown; expected .'epochs', 'upd"),
        (dict(batch=0), "batch=0 of reference=8 is not usable"),
        (dict(rate=-0.1), "rate=-0.1 is not usable; expected a number above 0"),
        (dict(warmup=("constant", 0.0, 1)), "warmup=0.0 is not usable"),
    ],
)
def test_what_is_no_schedule(change, message):
    with pytest.raises(InputError, match=message):
        make_schedule(PLAIN._replace(**change), 1)


@pytest.mark.parametrize("updates", [0, -1, float("nan")])
def test_an_epoch_has_updates(updates):
    with pytest.raises(InputError, match=f"^updates_per_epoch={updates} is not usable"):
        make_schedule(PLAIN, updates)


def test_an_epoch_of_less_than_an_update():
    """64,000 stretched over 128: the steps keep their place in the run."""
    recipe = RECIPES["resnet_cifar"]._replace(unit="epochs")
    found = rates(make_schedule(recipe, 128 / 64_000), [63, 64, 95, 96])
    np.testing.assert_allclose(found, [0.1, 0.01, 0.01, 0.001], rtol=1e-6)
