"""Variables from files and from runs, and a classifier of other classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.data.picture_spec import PictureSpec
from jnets.errors import InputError
from jnets.interop import torchvision, weights
from jnets.models import create
from jnets.pretrained import adopt, read, read_variables
from tests.fixtures import tiny


def variables_of(name, seed, side=32, **fields):
    """Of the right shapes, without a minute of compiling what would start them."""
    model, x = create(name, **fields), jnp.zeros((1, side, side, 3))
    like = jax.eval_shape(model.init, jax.random.key(0), x)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.random(leaf.shape, np.float32), like)


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
    assert read("resnet18", file).description is None


def test_a_file_of_another_model(file):
    with pytest.raises(
        InputError, match=r"state_dict fits resnet34 in 102 of 182 tensors[^\n]+"
    ) as caught:
        read_variables("resnet34", file)
    assert str(caught.value).startswith(f"weights={file}: ")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="weights=.*none is neither a file nor"):
        read_variables("resnet18", tmp_path / "none")


def test_a_model_that_no_file_has(file):
    """Nothing is read."""
    with pytest.raises(InputError) as caught:
        read("preact_resnet18", file)
    assert str(caught.value) == (
        f"weights={file} is a file, and torchvision has no preact_resnet18; expected "
        f"the directory of a run that trained one"
    )


def test_a_run_is_read_with_its_description(tmp_path):
    with tiny.registered():
        trained, spec = tiny.variables(3), PictureSpec(12, 14, "cifar")
        path = tiny.write_run(tmp_path / "run", trained, tuple("abcdefg"), spec)
        found = read("tiny", path)
        assert same(found.variables, trained)
        assert same(read_variables("tiny", path), trained)
        described = found.description
        assert described is not None
        assert (described.classes, described.spec) == (tuple("abcdefg"), spec)
        with pytest.raises(InputError, match="is a run of tiny; expected one of vgg11"):
            read("vgg11", path)


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
    fresh, other = (variables_of("googlenet", i, 80, classes=3) for i in (0, 1))
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
    wrong = r"stage4/block1/conv1_norm/mean \(512,\) for \(500,\), [^\n]+ and \d+ more"
    with pytest.raises(InputError, match=wrong):
        adopt(wider, trained)


def of(kernels):
    """Variables with kernels of these shapes, full of 1."""
    params = {
        name: {"kernel": np.ones(shape, np.float32)} for name, shape in kernels.items()
    }
    return {"params": params}


def test_only_a_classifier_may_have_other_outputs():
    """Branches of other widths whose sum is the same fit what reads them."""
    fresh = of({"1x1": (1, 1, 3, 4), "3x3": (3, 3, 3, 8), "fc": (12, 5)})
    given = of({"1x1": (1, 1, 3, 6), "3x3": (3, 3, 3, 6), "fc": (12, 7)})
    with pytest.raises(
        InputError, match=r"1x1/kernel \(1, 1, 3, 6\) for .* params/3x3/kernel"
    ):
        adopt(fresh, given)
    given["params"] |= {k: fresh["params"][k] for k in ("1x1", "3x3")}
    assert adopt(fresh, given)["params"]["fc"]["kernel"].shape == (12, 5)


def test_numbers_take_the_dtype_of_the_model():
    fresh, given = of({"fc": (2, 3)}), of({"fc": (2, 3)})
    fresh["params"]["fc"]["kernel"] = jnp.zeros((2, 3), jnp.bfloat16)
    found = adopt(fresh, given)["params"]["fc"]["kernel"]
    assert found.dtype == jnp.bfloat16 and (found == 1).all()
