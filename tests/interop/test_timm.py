"""timm's names: as its source has them, through torchvision's into variables."""

import jax
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop.timm import from_timm
from jnets.interop.torchvision import to_variables


def test_vgg():
    rng = np.random.default_rng(0)
    fc6 = rng.standard_normal((4, 512, 7, 7)).astype(np.float32)
    fc7 = rng.standard_normal((4, 4, 1, 1)).astype(np.float32)
    given = {
        "features.0.weight": np.ones((64, 3, 3, 3)),
        "features.1.running_mean": np.ones(64),
        "pre_logits.fc1.weight": fc6,
        "pre_logits.fc1.bias": np.ones(4),
        "pre_logits.fc2.weight": fc7,
        "head.fc.weight": np.ones((10, 4)),
        "head.fc.bias": np.ones(10),
    }
    found = from_timm("vgg11_bn", given)
    assert list(found) == [
        "features.0.weight",
        "features.1.running_mean",
        "classifier.0.weight",
        "classifier.0.bias",
        "classifier.3.weight",
        "classifier.6.weight",
        "classifier.6.bias",
    ]
    assert found["features.0.weight"] is given["features.0.weight"]
    # fc1 slides a 7 x 7 window over x; at its only position it is a layer on x flat.
    x = rng.standard_normal((512, 7, 7)).astype(np.float32)
    slid = np.einsum("ochw,chw->o", fc6, x)
    np.testing.assert_allclose(
        found["classifier.0.weight"] @ x.ravel(), slid, rtol=1e-4, atol=1e-4
    )
    assert (found["classifier.3.weight"] == fc7[:, :, 0, 0]).all()


@pytest.mark.parametrize("name", ["resnet18", "inception_v3"])
def test_names_that_are_torchvisions(name, state_dict):
    state = {
        k: v for k, v in state_dict(name, 4).items() if not k.startswith("AuxLogits")
    }
    found = to_variables(name, from_timm(name, state))
    same = jax.tree.map(np.array_equal, found, to_variables(name, state))
    assert jax.tree.all(same)


def test_torchvisions_own_names_stay():
    state = {"classifier.0.weight": np.ones((4, 9)), "features.0.bias": np.ones(2)}
    assert from_timm("vgg16", state) == state


def test_a_resnet_with_another_stem_is_refused():
    state = from_timm("resnet18", {"conv1.0.weight": np.ones((32, 3, 3, 3))})
    with pytest.raises(InputError, match=r"1 unknown \(conv1.0.weight\)"):
        to_variables("resnet18", state)
