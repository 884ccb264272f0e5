"""Models trained beside PyTorch, update by update, from the same start."""

from pathlib import Path

import numpy as np
import pytest

from jnets.models import create
from jnets.ops import ACTIVATIONS

pytestmark = pytest.mark.parity

FIXTURES = Path(__file__).parents[1] / "fixtures"
METRICS = ("loss", "grad_norm", "update_norm", "param_norm")


@pytest.fixture(scope="module")
def fixtures():
    """The modules of tests/fixtures; make_models imports torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIXTURES)
        import by_jnets
        import make_models
        import torch

        torch.set_num_threads(1)
        yield by_jnets, make_models


def agree(found, expected):
    for metric in METRICS:
        np.testing.assert_allclose(
            found[metric], expected[metric], rtol=1e-12, err_msg=metric
        )


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_the_surname_program(activation, fixtures):
    by_jnets, make_models = fixtures
    run = make_models.surname_run(updates=300)
    model = create("surname_rnn", activation=activation)
    losses = by_jnets.surname_losses(model, run, merge=False)
    expected = make_models.surname_losses(run, activation)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "scaled_tanh"])
@pytest.mark.parametrize("pool", ["max", "average"])
def test_lenet5(pool, activation, fixtures, x64):
    by_jnets, make_models = fixtures
    given = make_models.problems.lenet5()
    model = create("lenet5", pool=pool, activation=activation, policy=["float64"] * 3)
    expected = make_models.trajectory(make_models.lenet(pool, activation), given)
    agree(by_jnets.trajectory(model, given, "float64"), expected)


def test_lenet_caffe(fixtures, x64):
    by_jnets, make_models = fixtures
    given = make_models.problems.lenet_caffe()
    model = create("lenet_caffe", policy=["float64"] * 3)
    forward = make_models.lenet(model.pool, model.activation, squash_maps=False)
    expected = make_models.trajectory(forward, given)
    agree(by_jnets.trajectory(model, given, "float64"), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp(activation, fixtures, x64):
    by_jnets, make_models = fixtures
    given = make_models.problems.mlp()
    model = create("mlp", activation=activation, policy=["float64"] * 3)
    expected = make_models.trajectory(make_models.mlp(activation), given)
    agree(by_jnets.trajectory(model, given, "float64"), expected)
