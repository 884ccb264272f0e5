"""Programs written and read again: the same numbers, of any size, anywhere."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop import stablehlo
from jnets.layers import GRU, LSTM, Policy
from jnets.models import create

LSTM_2 = LSTM(4, num_layers=2, bidirectional=True, window=3, save="sqrt")
ANY = [("b, t, 3", "float32")]


@pytest.fixture(scope="module")
def lstm():
    x = jnp.ones((1, 2, 3))
    return LSTM_2, LSTM_2.init(jax.random.key(0), x)


@pytest.fixture(scope="module")
def program(lstm):
    return stablehlo.export(*lstm, ANY, platforms=["cpu", "cuda", "tpu"])


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 7, 3), (5, 2, 3)])
def test_any_batch_and_any_number_of_steps(lstm, program, shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    model, variables = lstm
    # A window longer than x cuts nothing, whatever the program's number of steps.
    found, wanted = stablehlo.load(program)(x), model.apply(variables, x)
    for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_another_process_runs_it_without_jnets(tmp_path, lstm, program):
    (tmp_path / "lstm").write_bytes(program)
    script = (
        "import sys, jax, numpy as np; from jax import export\n"
        f"program = export.deserialize(bytearray(open({str(tmp_path / 'lstm')!r},"
        "'rb').read()))\n"
        "outputs, _ = program.call(np.ones((2, 3, 3), np.float32))\n"
        "assert not [name for name in sys.modules if name.startswith('jnets')]\n"
        "print(float(outputs.sum()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    model, variables = lstm
    wanted = model.apply(variables, jnp.ones((2, 3, 3)))[0].sum()
    assert float(done.stdout) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("implementation", ["auto", "scan", "cudnn"])
def test_a_recurrence_is_a_scan_whatever_it_is_elsewhere(implementation):
    """No call of cuDNN is in the program, nor is its absence an error."""
    layer = LSTM(4, implementation=implementation)
    variables = LSTM(4).init(jax.random.key(0), jnp.ones((1, 2, 3)))
    program = stablehlo.export(layer, variables, ANY, platforms=["cpu", "cuda"])
    text = jax.export.deserialize(bytearray(program)).mlir_module()
    called = set(re.findall(r"custom_call @(\w+)", text))
    assert "stablehlo.while" in text and called <= {"shape_assertion"}
    x = jnp.ones((2, 3, 3))
    np.testing.assert_allclose(
        stablehlo.load(program)(x)[0], LSTM(4).apply(variables, x)[0], rtol=1e-6
    )


@pytest.mark.parametrize(
    "name, inputs",
    [
        ("lenet5", [("b, 32, 32, 1", "float32")]),
        ("surname_rnn", [("b, t", "int32"), ("b", "int32")]),
    ],
)
def test_models(name, inputs):
    from jnets.models import example_inputs

    model, given = create(name), example_inputs(name, 3)
    variables = model.init(jax.random.key(0), *given)
    found = stablehlo.load(stablehlo.export(model, variables, inputs))(*given)
    wanted = model.apply(variables, *given)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_what_is_refused(lstm, monkeypatch):
    for inputs, platforms, message in (
        (ANY, [], "platforms"),
        (ANY, ["abacus"], "abacus"),
        ([("b, ?", "float32")], ["cpu"], "expected axes"),
        ([("b, t, 3", "float33")], ["cpu"], "expected axes"),
    ):
        with pytest.raises(InputError, match=message):
            stablehlo.export(*lstm, inputs, platforms=platforms)
    for program in (b"", b"no program", bytes(1000)):
        with pytest.raises(InputError, match="not what export wrote"):
            stablehlo.load(program)
    half = GRU(4, policy=Policy(compute="bfloat16"))
    variables = half.init(jax.random.key(0), jnp.ones((1, 2, 3)))
    tpu = stablehlo.export(half, variables, ANY, platforms=["tpu"])
    with pytest.raises(InputError, match="made for tpu; this machine is cpu"):
        stablehlo.load(tpu)
