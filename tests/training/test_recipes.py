"""The table of recipes: what the sources say, and that it is plain data."""

import json

import pytest

from jnets.errors import InputError
from jnets.training.optimizers import make_optimizer
from jnets.training.recipes import RECIPES, Recipe, as_recipe, find_recipe

# Rate, batch, rule and decay as the sources state them; see each row's source.
STATED = {
    "alexnet_2012": (0.01, 128, ("caffe", 0.9), 5e-4),
    "alexnet_caffe": (0.01, 256, ("caffe", 0.9), 5e-4),
    "zfnet": (0.01, 128, ("caffe", 0.9), 0.0),
    "vgg": (0.01, 256, ("caffe", 0.9), 5e-4),
    "googlenet": (0.01, 32, ("momentum", 0.9), 2e-4),
    "googlenet_caffe": (0.01, 32, ("caffe", 0.9), 2e-4),
    "googlenet_caffe_quick": (0.01, 32, ("caffe", 0.9), 2e-4),
    "resnet": (0.1, 256, ("caffe", 0.9), 1e-4),
    "resnet_torch": (0.1, 256, ("nesterov", 0.9), 1e-4),
    "resnet_cifar": (0.1, 128, ("caffe", 0.9), 1e-4),
    "resnet_cifar_110": (0.1, 128, ("caffe", 0.9), 1e-4),
    "inception_v3": (0.045, 32, ("rmsprop_tf", 0.9, 1.0, 0.9), 4e-5),
    "large_batch": (0.1, 8192, ("nesterov", 0.9), 1e-4),
}
AUGMENTATIONS = {
    "alexnet",
    "vgg",
    "resnet",
    "inception",
    "torchvision",
    "small",
    "cifar",
    "none",
}
IMAGES = 1_281_167  # ILSVRC's training set


def test_the_numbers_of_the_sources():
    assert set(RECIPES) == {*STATED, "small"}
    for name, stated in STATED.items():
        r = RECIPES[name]
        assert (r.rate, r.batch, r.rule, r.weight_decay) == stated, name


@pytest.mark.parametrize(
    "name, epochs",
    [("alexnet_caffe", 90), ("googlenet_caffe_quick", 60), ("googlenet_caffe", 250)],
)
def test_lengths_in_updates_are_the_epochs_they_are_said_to_be(name, epochs):
    recipe = RECIPES[name]
    assert recipe.unit == "updates"
    assert recipe.length * recipe.batch / IMAGES == pytest.approx(epochs, rel=0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_plain_data_and_complete(name):
    recipe = find_recipe(name)
    assert as_recipe(json.loads(json.dumps(recipe._asdict()))) == recipe
    assert recipe.source and recipe.augmentation in AUGMENTATIONS - {"none"}
    assert recipe.decays in ("all", "kernels", "not_norms")
    make_optimizer(recipe, 10_009)


def test_only_the_large_batch_differs_from_its_reference():
    scaled = {n: r.batch // r.reference for n, r in RECIPES.items()}
    assert {n: k for n, k in scaled.items() if k != 1} == {"large_batch": 32}


def test_fields_that_are_none():
    with pytest.raises(InputError, match="^recipe='adam' is unknown; .*'alexnet_2012'"):
        find_recipe("adam")
    with pytest.raises(InputError, match=r"unknown fields \['lr'\]"):
        as_recipe({**RECIPES["small"]._asdict(), "lr": 1})
    required = ["batch", "length", "rate", "reference", "source"]
    with pytest.raises(InputError) as caught:
        as_recipe({})
    assert str(caught.value).endswith(f"lacks {required}")
    assert Recipe("here", 0.1, 8, 8, 1.0).schedule == ("constant",)
