"""`jnets export`: a trained run as a program, which answers as the run does."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jnets
from jnets import cli
from jnets.commands.export import axes
from jnets.interop import stablehlo
from jnets.models import create, example_inputs
from jnets.runs import Description, Run
from jnets.training import create_state


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a net on names, untrained."""
    fields = {"hidden": 5, "classes": 3}
    description = Description("names", {}, "surname_rnn", fields, tuple("abc"), None)
    directory = tmp_path_factory.mktemp("runs") / "run"
    model, inputs = create("surname_rnn", **fields), example_inputs("surname_rnn")
    with Run.create(directory, description).checkpoints() as checkpoints:
        checkpoints.save(create_state(model, inputs, optax.sgd(0.1), seed=3))
    return directory


def test_the_program_answers_as_the_run_does(run, tmp_path, capsys):
    path = tmp_path / "names.stablehlo"
    assert cli.main(["export", str(run), str(path)]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "for cpu; takes int32 [b, t]; int32 [b]" in out
    assert f"{path.stat().st_size:,} bytes" in out
    model, variables, encode = jnets.load(run)
    program = stablehlo.load(path.read_bytes())
    for name in ("Ada", "Satoshi", "Li"):
        wanted = model.apply(variables, *encode(name))
        np.testing.assert_allclose(program(*encode(name)), wanted, rtol=1e-5)
    tokens = jnp.zeros((4, 30), jnp.int32)
    assert program(tokens, jnp.full(4, 30, jnp.int32)).shape == (4, 3)


def test_mistakes(run, tmp_path, capsys):
    for arguments, message in (
        ([run, tmp_path / "no" / "file"], "cannot be written"),
        ([tmp_path, tmp_path / "file"], "config.json"),
        ([run, tmp_path / "file", "--platforms", "abacus"], "abacus"),
    ):
        assert cli.main(["export", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "shape, dtype, wanted",
    [
        ((1, 32, 32, 1), "float32", "b, 32, 32, 1"),
        ((1, 19), "int32", "b, t"),
        ((1,), "int32", "b"),
        ((1, 9, 12), "float32", "b, t, 12"),
        ((1, 100), "float32", "b, 100"),
    ],
)
def test_which_axes_are_of_any_size(shape, dtype, wanted):
    assert axes(np.ones(shape, dtype)) == wanted
