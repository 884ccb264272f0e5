"""State dicts of torch.nn.RNN, LSTM and GRU in and out; its numbers, stored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jnets.errors import InputError
from jnets.interop.pytorch import recurrent_to_state_dict, recurrent_to_variables
from jnets.layers import GRU, LSTM, RNN
from jnets.ops.cells import elman
from tests.interop.recurrent_runs import (
    LENGTHS,
    ODD,
    close,
    random_variables,
    run,
    same_bits,
    stored,
    torch_gradients,
)

LAYERS = {
    "torch_rnn": RNN(3),
    "torch_rnn_relu": RNN(3, num_layers=2, activation="relu"),
    "torch_lstm": LSTM(3, num_layers=2, bidirectional=True),
    "torch_lstm_projection": LSTM(3, num_layers=2, bidirectional=True, projection=2),
    "torch_gru": GRU(3, num_layers=2, bidirectional=True),
    "torch_gru_biasless": GRU(3, use_bias=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(name):
    """float32 against PyTorch in float64, with sequences of unequal length."""
    case, layer = stored(name), LAYERS[name]
    variables = recurrent_to_variables(case.weights, layer)
    lengths = jnp.asarray(LENGTHS)
    outputs, d_variables, dx = run(
        layer, variables, case.x, case.cotangents, lengths=lengths
    )
    close(outputs, case.outputs)
    close({"x": dx, **torch_gradients(layer, d_variables)}, case.gradients)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_round_trips(data):
    """To the bit: -0.0 and what is not a number too."""
    draw, flags = data.draw, st.booleans()
    fields = dict(
        num_layers=draw(st.integers(1, 3)),
        bidirectional=draw(flags),
        use_bias=draw(flags),
    )
    projection = draw(st.sampled_from([None, 1, 2]))
    layer = draw(
        st.sampled_from(
            [
                RNN(3, **fields),
                GRU(3, **fields),
                LSTM(3, projection=projection, **fields),
            ]
        )
    )
    dtype = draw(st.sampled_from([np.float32, np.float16, jnp.bfloat16]))
    odd = np.array([-0.0, 0.0, np.inf, -np.inf, np.nan, 1e-40], np.float32)

    def some_odd(leaf):
        leaf = leaf.copy()
        leaf.ravel()[: len(odd)] = odd[: leaf.size]
        return leaf.astype(dtype)

    variables = random_variables(layer, draw(st.integers(1, 3)))
    variables = jax.tree.map(some_odd, variables)
    state = recurrent_to_state_dict(variables, layer, "a.")
    same_bits(recurrent_to_variables(state, layer, "a."), variables)
    count = 4 if fields["use_bias"] else 2
    count += isinstance(layer, LSTM) and layer.projection is not None
    directions = 1 + fields["bidirectional"]
    assert len(state) == count * fields["num_layers"] * directions


def test_what_goes_where():
    """PyTorch's rows are our columns; biases are summed, but n's are not."""
    case = stored("torch_gru")
    found = recurrent_to_variables(case.weights, LAYERS["torch_gru"])["params"]
    weights = case.weights
    cell = found["layer1_reverse"]
    assert cell["kernel"].shape == (6, 9) and cell["recurrent_kernel"].shape == (3, 9)
    assert cell["kernel"][5, 7] == weights["weight_ih_l1_reverse"][7, 5]
    assert cell["recurrent_kernel"][2, 8] == weights["weight_hh_l1_reverse"][8, 2]
    b_ih, b_hh = (weights[f"bias_{side}_l1_reverse"] for side in ("ih", "hh"))
    assert cell["bias"][5] == b_ih[5] + b_hh[5] and cell["bias"][6] == b_ih[6]
    assert cell["recurrent_bias"].tolist() == b_hh[6:].tolist()
    state = recurrent_to_state_dict({"params": found}, LAYERS["torch_gru"])
    assert list(state) == list(weights)
    assert (
        state["bias_hh_l0"].tolist() == [0.0] * 6 + weights["bias_hh_l0"][6:].tolist()
    )
    before = {k: v.copy() for k, v in weights.items()}
    for leaf in cell.values():  # copies, both ways
        leaf[:] = 7
    same_bits(weights, before)
    assert not (state["weight_ih_l1_reverse"] == 7).any()


class Tensor:
    """As a PyTorch parameter: NumPy takes it when it is detached, on the CPU, and of a
    dtype that NumPy knows."""

    def __init__(self, array, steps=()):
        self.array, self.steps, self.dtype = array, steps, f"torch.{array.dtype}"

    def detach(self):
        return Tensor(self.array, (*self.steps, "detach"))

    def cpu(self):
        return Tensor(self.array, (*self.steps, "cpu"))

    def float(self):
        return Tensor(self.array.astype(np.float32), self.steps)

    def numpy(self):
        assert self.steps == ("detach", "cpu") and self.array.dtype != jnp.bfloat16
        return self.array

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_tensors_and_other_parts_of_a_model(dtype):
    layer = LAYERS["torch_lstm"]
    state = {k: v.astype(dtype) for k, v in stored("torch_lstm").weights.items()}
    whole = {f"encoder.{k}": Tensor(v) for k, v in state.items()}
    whole["head.weight"] = Tensor(np.ones((2, 2)))
    found = recurrent_to_variables(whole, layer, prefix="encoder.")
    same_bits(found, recurrent_to_variables(state, layer))


def refused(state, layer, *words, prefix=""):
    with pytest.raises(InputError) as caught:
        recurrent_to_variables(state, layer, prefix)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    for word in words:
        assert word in message


def test_wrong_state_dicts():
    layer, state = LAYERS["torch_lstm"], stored("torch_lstm").weights
    one = "is not of LSTM(hidden=3, num_layers=2, bidirectional=True): "
    less = {k: v for k, v in state.items() if k != "bias_hh_l1_reverse"}
    refused(less, layer, one + "1 missing (bias_hh_l1_reverse)")
    refused(
        state | {"weight_hr_l0": np.ones(2)}, layer, one + "1 unknown (weight_hr_l0)"
    )
    shape = "weight_ih_l1 is (12, 5), expected (12, 6)"
    refused(state | {"weight_ih_l1": np.ones((12, 5))}, layer, one + shape)
    shape = "weight_hh_l0 is (3,), expected (12, 3)"
    refused(state | {"weight_hh_l0": np.ones(3)}, layer, one + shape)
    refused(
        {}, layer, one + "16 missing (weight_ih_l0, weight_hh_l0, bias_ih_l0 and 13"
    )
    refused({"weight_ih_l0": np.ones(())}, layer, "15 missing (weight_hh_l0, ")


def test_the_state_dict_of_another_layer():
    """Is named, where it is one that there is."""
    layer, state = LAYERS["torch_lstm"], stored("torch_lstm").weights
    fits = "it is one of LSTM(hidden=3, num_layers=2, bidirectional=True)"
    refused(
        state,
        LSTM(3, bidirectional=True),
        "8 unknown (bias_hh_l1, bias_hh_l1_reverse, bias_ih_l1 and 5 more); ",
        fits,
    )
    refused(state, LSTM(3, num_layers=3, bidirectional=True), "(weight_ih_l2", fits)
    refused(state, LSTM(3, num_layers=2), "8 unknown (bias_hh_l0_reverse", fits)
    refused(state, LSTM(3, num_layers=2, bidirectional=True, use_bias=False), fits)
    refused(state, LSTM(4, num_layers=2, bidirectional=True), "expected (16, 2)", fits)
    refused(state, GRU(3, num_layers=2, bidirectional=True), "expected (9, 2)", fits)
    less = {k: v for k, v in state.items() if k != "bias_ih_l0"}
    with pytest.raises(InputError) as caught:  # of no layer at all
        recurrent_to_variables(less, LSTM(3))
    assert "it is one of" not in str(caught.value)
    projected = stored("torch_lstm_projection").weights
    refused(projected, layer, "4 unknown (weight_hr_l0", "bidirectional=True, project")
    rnn = stored("torch_rnn").weights
    refused(
        rnn, GRU(3), "weight_ih_l0 is (3, 2), expected (9, 2)", "one of RNN(hidden=3)"
    )
    renamed = {f"rnn.{k}": v for k, v in rnn.items()}
    refused(renamed, RNN(3), "4 unknown", "4 missing", "has weights at prefix='rnn.'")
    refused(rnn, RNN(3), "missing (lm.weight_ih_l0", "at prefix=''", prefix="lm.")


def test_layers_that_pytorch_does_not_have():
    odd = [
        *ODD,
        (RNN(3, activation="identity"), "activation='identity'"),
        (RNN(3, own=elman()), "own=a Cell"),
        (GRU(3, reset_after=False), "reset_after=False"),
        (GRU(3, residual=True), "residual=True"),
        (GRU(3, highway=True), "highway=True"),
        (RNN(3, reverse=True), "reverse=True"),
        (LSTM(3, projection=3), "projection=3"),
    ]
    for layer, words in odd:
        text = f"{words} has no counterpart in PyTorch; expected "
        refused(stored("torch_lstm").weights, layer, text)
        with pytest.raises(InputError, match=words):
            recurrent_to_state_dict({"params": {}}, layer)
    refused({}, jax, "layer is a module; expected an RNN, LSTM or GRU of jnets.layers")
    refused({}, LSTM(0), "hidden=0 is not usable")


def test_variables_of_another_layer():
    layer = LSTM(3, num_layers=2)
    variables = random_variables(layer, 2)
    with pytest.raises(InputError) as caught:
        recurrent_to_state_dict(variables, LSTM(3))
    assert str(caught.value) == (
        "variables are not those of LSTM(hidden=3): 3 unknown (params/layer1/bias, "
        "params/layer1/kernel, params/layer1/recurrent_kernel)"
    )
    with pytest.raises(InputError, match=r"missing \(params/layer2/bias"):
        recurrent_to_state_dict(variables, LSTM(3, num_layers=3))
    variables["params"]["layer1"]["bias"] = np.zeros(3)
    with pytest.raises(InputError, match=r"layer1/bias is \(3,\), expected \(12,\)"):
        recurrent_to_state_dict(variables, layer)
    with pytest.raises(InputError, match="6 missing"):
        recurrent_to_state_dict({}, layer)
