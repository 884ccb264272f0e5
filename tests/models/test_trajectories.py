"""Training as PyTorch trains: the stored runs of tests/fixtures/make_models.py."""

import json
from pathlib import Path

import numpy as np
import pytest

from jnets.models import create

FIXTURES = Path(__file__).parents[1] / "fixtures"
METRICS = ("loss", "grad_norm", "update_norm", "param_norm")
# Rounding only: float32 over ten updates, and float64 against PyTorch's float64.
TOLERANCE = {"float32": 5e-6, "float64": 1e-12}
FIELDS = {
    "lenet5": {"pool": "max", "activation": "relu", "scheme": "he_normal"},
    "mlp": {"hidden": [128], "activation": "relu", "dropout": 0.0},
}


@pytest.fixture(scope="module")
def fixtures():
    """The modules of tests/fixtures, which are not on the path otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIXTURES)
        import by_jnets
        import problems

        yield by_jnets, problems


@pytest.mark.parametrize("merge", [False, True])
def test_every_loss_of_the_surname_program(merge, fixtures):
    by_jnets, _ = fixtures
    run = np.load(FIXTURES / "surnames.npz")
    losses = by_jnets.surname_losses(create("surname_rnn"), run, merge=merge)
    assert losses.shape == (1000,) and losses.dtype == np.float32
    np.testing.assert_allclose(losses, run["losses"], rtol=0, atol=5e-6)


@pytest.mark.parametrize(
    "name, dtype", [("lenet5", "float64"), ("mlp", "float64"), ("mlp", "float32")]
)
def test_ten_updates_with_momentum_and_weight_decay(name, dtype, fixtures, request):
    if dtype == "float64":
        request.getfixturevalue("x64")
    by_jnets, problems = fixtures
    expected = json.loads((FIXTURES / "trajectories.json").read_text())[name]
    model = create(name, policy=[dtype] * 3, **FIELDS[name])
    metrics = by_jnets.trajectory(model, getattr(problems, name)(), dtype)
    for metric in METRICS:
        assert metrics[metric].dtype == dtype
        np.testing.assert_allclose(
            metrics[metric], expected[metric], rtol=TOLERANCE[dtype], err_msg=metric
        )
