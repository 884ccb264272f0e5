"""State dicts of torchvision in and out; its logits, stored, without it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.torchvision import to_state_dict, to_variables
from jnets.models import create, example_inputs
from jnets.models.stacking import stack, unstack
from tests.fixtures import formula

STORED = Path(__file__).parents[1] / "fixtures" / "torchvision.npz"
HEADS = ("aux1.", "aux2.", "AuxLogits.")


def without_heads(state):
    return {k: v for k, v in state.items() if not k.startswith(HEADS)}


def same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("name", formula.SIZES)
def test_logits_and_round_trip(name, state_dict):
    """float32 against PyTorch in float64, on the scale of the largest logit."""
    state = without_heads(state_dict(name))
    variables = to_variables(name, state)
    model = create(name, classes=formula.CLASSES)
    found = jax.jit(model.apply)(variables, formula.images(name))
    expected = np.load(STORED)[name]
    error = np.abs(np.asarray(found, np.float64) - expected).max()
    assert error < 1e-5 * np.abs(expected).max()
    same_bits(to_state_dict(name, variables), state)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads(name, state_dict):
    state = state_dict(name, 3)
    whole = to_variables(name, state)
    same_bits(to_state_dict(name, whole), state)
    model = create(name, classes=3)
    fresh = jax.eval_shape(model.init, jax.random.key(0), *example_inputs(name))
    assert jax.tree.structure(whole) == jax.tree.structure(fresh)

    bare = to_variables(name, without_heads(state))
    headless = create(name, classes=3, aux=False)
    fresh = jax.eval_shape(headless.init, jax.random.key(0), *example_inputs(name))
    assert jax.tree.structure(bare) == jax.tree.structure(fresh)
    for used in (model, headless):  # neither needs the heads to predict
        logits = jax.eval_shape(used.apply, bare, *example_inputs(name))
        assert logits.shape == (1, 3)

    head = next(k for k in state if k.startswith(HEADS))
    with pytest.raises(InputError, match=r"1 missing \(aux1\.|1 missing \(AuxLogits\."):
        to_variables(name, {k: v for k, v in state.items() if k != head})


def test_stacked_blocks(state_dict):
    state = state_dict("resnet18")
    stacked = stack(to_variables("resnet18", state))
    same_bits(to_state_dict("resnet18", unstack(stacked)), state)
    with pytest.raises(InputError, match=r"40 unknown \(batch_stats/stage1/rest/"):
        to_state_dict("resnet18", stacked)


def test_what_variables_are(state_dict):
    """Copies in the dtype given; the layout of a kernel; no norms, no statistics."""
    state = {k: v.astype(np.float16) for k, v in state_dict("alexnet").items()}
    variables = to_variables("alexnet", state)
    assert variables["batch_stats"] == {}
    kernel = variables["params"]["conv1"]["kernel"]
    assert kernel.dtype == np.float16 and kernel.shape == (11, 11, 3, 64)
    assert kernel[2, 3, 1, 5] == state["features.0.weight"][5, 1, 2, 3]
    # Position (y, x) = (2, 4), channel 7 of the 6 x 6 map.
    fc6 = variables["params"]["fc6"]["kernel"]
    assert (
        fc6[(2 * 6 + 4) * 256 + 7, 9]
        == state["classifier.1.weight"][9, 7 * 36 + 2 * 6 + 4]
    )
    bias = state["features.0.bias"]
    before = bias.copy()
    bias += 1
    assert (variables["params"]["conv1"]["bias"] == before).all()
    same_bits(
        to_state_dict("alexnet", jax.tree.map(jnp.asarray, variables)),
        state | {"features.0.bias": before},
    )


class Tensor:
    """As a PyTorch tensor with a gradient, on another device; NumPy has no bfloat16."""

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
def test_tensors(dtype, state_dict):
    state = {k: v.astype(dtype) for k, v in state_dict("resnet18").items()}
    tensors = {k: Tensor(v) for k, v in state.items()}
    expected = to_variables("resnet18", state)
    found = to_variables("resnet18", tensors)
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), found, expected)
    assert jax.tree.all(same)
    assert found["params"]["fc"]["bias"].dtype == dtype


def refused(name, state, *words):
    with pytest.raises(InputError) as caught:
        to_variables(name, state)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    for word in words:
        assert word in message


def test_a_state_dict_of_another_model(state_dict):
    state = state_dict("resnet34")
    refused(
        "resnet18",
        state,
        "resnet18 in 102 of 102",
        "80 unknown (layer1.2.bn1.bias, layer1.2.bn1.running_mean, "
        "layer1.2.bn1.running_var and 77 more)",
        "it is one of resnet34",
    )
    refused("resnet50", state, "missing (layer1.0.conv3.weight", "one of resnet34")
    refused("vgg11", state, "in 0 of 22", "missing (features.0.weight")
    refused("googlenet", without_heads(state_dict("inception_v3", 5)), "inception_v3")


def test_what_fits_no_model(state_dict):
    state = state_dict("resnet18")
    del state["layer4.1.bn2.bias"]
    state["extra"] = np.zeros(3)
    refused(
        "resnet18",
        state,
        "in 101 of 102 tensors: 1 unknown (extra), 1 missing (layer4.1.bn2.bias)",
    )
    with pytest.raises(InputError) as caught:
        to_variables("resnet18", state)
    assert "one of" not in str(caught.value)
    refused("resnet18", {}, "in 0 of 102")
    refused("lenet5", state, "'lenet5' has no torchvision names", "alexnet")


def test_wrong_shapes(state_dict):
    state = state_dict("resnet50")
    # As in the wide ResNet-50, which has the same names.
    state["layer1.0.conv1.weight"] = np.zeros((128, 64, 1, 1), np.float32)
    refused(
        "resnet50",
        state,
        "layer1.0.conv1.weight is (128, 64, 1, 1), expected (64, 64, 1, 1)",
    )
    state = state_dict("resnet18")
    state["fc.bias"] = np.zeros(4, np.float32)
    refused("resnet18", state, "fc.weight is (10, 512), expected (4, 512)")
    state["fc.bias"] = np.zeros((), np.float32)
    refused("resnet18", state, "fc.bias has no classes")


def test_variables_of_another_model(state_dict):
    variables = to_variables("resnet18", state_dict("resnet18"))
    with pytest.raises(InputError, match="not those of resnet34: 80 missing"):
        to_state_dict("resnet34", variables)
    with pytest.raises(InputError, match=r"102 unknown .*22 missing"):
        to_state_dict("vgg11", variables)
    variables["params"]["conv1"]["kernel"] = np.zeros((7, 7, 3, 65))
    with pytest.raises(
        InputError, match=r"params/conv1/kernel of shape \(7, 7, 3, 65\)"
    ):
        to_state_dict("resnet18", variables)
