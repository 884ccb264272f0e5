"""Factors by hand, and rates that are none."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.training import constant, cosine, inverse, stages
from jnets.training.schedules import check_rate

SCHEDULES = {
    "constant": (constant(0.3), {0: 0.3, 1000: 0.3}),
    "cosine": (
        cosine(0.4, 8),
        {
            0: 0.4,
            2: 0.2 * (1 + math.sqrt(0.5)),
            4: 0.2,
            6: 0.2 * (1 - math.sqrt(0.5)),
            8: 0.0,
            99: 0.0,
        },
    ),
    "cosine after warm-up": (
        cosine(1.0, 12, warmup=4),
        {0: 0.0, 1: 0.25, 2: 0.5, 4: 1.0, 8: 0.5, 12: 0.0},
    ),
    # Caffe's lenet_solver: base_lr 0.01, gamma 0.0001, power 0.75.
    "inverse": (
        inverse(0.01, gamma=1e-4, power=0.75),
        {0: 0.01, 10_000: 0.0059460356},
    ),
    # LeNet-5 (1998): the rate falls after passes 2, 5 and so on.
    "stages": (
        stages([5e-4, 2e-4, 1e-4], [2, 5]),
        {0: 5e-4, 1: 5e-4, 2: 2e-4, 4: 2e-4, 5: 1e-4, 50: 1e-4},
    ),
    "one stage": (stages([0.1], []), {0: 0.1, 7: 0.1}),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_values(name):
    schedule, expected = SCHEDULES[name]
    compiled = jax.jit(schedule)
    for t, rate in expected.items():
        for found in (schedule(t), compiled(jnp.int32(t))):
            np.testing.assert_allclose(found, rate, rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make",
    [
        constant,
        lambda rate: cosine(rate, 10),
        lambda rate: cosine(rate, 10, warmup=2),
        lambda rate: inverse(rate, gamma=0.1, power=1.0),
        lambda rate: stages([0.1, rate], [3]),
    ],
)
def test_impossible_rates(make, rate):
    with pytest.raises(InputError) as caught:
        make(rate)
    assert str(caught.value) == (
        f"learning_rate={rate} is not usable; expected a number above 0"
    )


def test_a_rate_is_called_by_its_name():
    assert check_rate(0.5, "online_rate") == 0.5
    with pytest.raises(InputError, match="^online_rate=-1.0 is not usable"):
        check_rate(-1.0, "online_rate")


@pytest.mark.parametrize("boundaries", [[], [1, 2]])
def test_stages_need_a_boundary_between_rates(boundaries):
    with pytest.raises(InputError, match=f"2 rates and {len(boundaries)} boundaries"):
        stages([0.1, 0.2], boundaries)
