"""Variables from files and from runs, and a classifier of other classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.interop import torchvision, weights
from jnets.models import create
from jnets.pretrained import adopt, read_variables


def variables_of(name, seed, **fields):
    model = create(name, **fields)
    return model.init(jax.random.key(seed), jnp.zeros((1, 32, 32, 3)))


@pytest.fixture(scope="module")
def trained():
    return variables_of("resnet18", 0, classes=5)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    weights.write(path, torchvision.to_state_dict("resnet18", trained))
    return path


def same(a, b):
    equal = jax.tree.map(lambda x, y: np.array_equal(x, y), a, b)
    return all(jax.tree.leaves(equal))


def test_from_a_file(trained, file):
    assert same(read_variables("resnet18", file), dict(trained))


def test_a_file_of_another_model(file):
    with pytest.raises(
        InputError, match=r"^state_dict fits resnet34 in 102 of 182 tensors[^\n]+"
    ):
        read_variables("resnet34", file)


def test_a_directory_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="no config.json"):
        read_variables("resnet18", tmp_path)


def test_the_same_classes_are_taken_whole(trained):
    fresh = variables_of("resnet18", 1, classes=5)
    assert same(adopt(fresh, trained), dict(trained))


def test_a_classifier_of_other_classes_stays_fresh(trained):
    fresh = variables_of("resnet18", 1, classes=7)
    found = adopt(fresh, trained)
    assert same(found["params"]["fc"], fresh["params"]["fc"])
    rest = {k: v for k, v in found["params"].items() if k != "fc"}
    assert same(rest, {k: trained["params"][k] for k in rest})
    assert same(found["batch_stats"], trained["batch_stats"])


def test_auxiliary_heads_that_the_weights_lack_stay_fresh():
    model, x = create("googlenet", classes=3), jnp.zeros((1, 80, 80, 3))
    fresh, other = (jax.jit(model.init)(jax.random.key(i), x) for i in (0, 1))
    given = {
        kind: {k: v for k, v in tree.items() if not k.startswith("aux")}
        for kind, tree in other.items()
    }
    found = adopt(fresh, given)
    assert same(found["params"]["aux1"], fresh["params"]["aux1"])
    assert same(found["params"]["fc"], other["params"]["fc"])


def test_what_does_not_fit_is_named(trained):
    fresh = variables_of("resnet34", 1, classes=5)
    with pytest.raises(InputError) as caught:
        adopt(fresh, trained)
    message = str(caught.value)
    assert message.startswith("weights do not fit the model: ") and "\n" not in message
    assert "stage1/block3" in message and "more" in message
    with pytest.raises(InputError, match="stage1/block3"):
        adopt(trained, fresh)
    wider = variables_of("resnet18", 1, widths=[64, 128, 256, 500])
    with pytest.raises(InputError, match=r"fc/kernel \(512, 5\) for \(500, 1000\)"):
        adopt(wider, trained)
