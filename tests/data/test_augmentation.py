"""Augmentations: the table at its sizes, JSON, draws, and fields that do not fit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.augmentation import AUGMENTATIONS, Augmentation, augmentation
from jnets.errors import InputError

NAMES = sorted(AUGMENTATIONS)


@pytest.mark.parametrize(
    ("name", "size", "shorter", "pad"),
    [
        ("alexnet", 224, (256, 256), 0),
        ("alexnet", 96, (110, 110), 0),  # 109.7
        ("vgg", 112, (128, 256), 0),
        ("resnet", 224, (256, 480), 0),
        ("resnet", 96, (110, 206), 0),  # 109.7 and 205.7
        ("cifar", 32, (32, 32), 4),
        ("cifar", 64, (64, 64), 8),
        ("none", 299, (342, 342), 0),  # 341.7
    ],
)
def test_sizes_keep_their_proportion(name, size, shorter, pad):
    found = augmentation(name, size)
    assert (found.size, found.shorter, found.pad) == (size, shorter, pad)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 96, 224])
def test_table_survives_json(name, size):
    row = augmentation(name, size)
    assert Augmentation.from_json(json.loads(json.dumps(row.to_json()))) == row


@given(
    st.sampled_from(NAMES), st.integers(1, 600), st.integers(1, 600), st.integers(0, 99)
)
def test_draws_are_squares_in_the_picture(name, width, height, seed):
    row = augmentation(name, 96)
    view = row.draw(np.random.default_rng(seed), width, height)
    assert view == row.draw(np.random.default_rng(seed), width, height)
    assert view.size == (96, 96) and view.filter in row.filters
    left, top, right, bottom = view.region
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    for axis in (0, 1):
        slack = view.resized[axis] - 96
        assert -row.pad <= view.corner[axis] <= slack + row.pad


def draws(row, count=600, size=(300, 200)):
    rng = np.random.default_rng(0)
    return [row.draw(rng, *size) for _ in range(count)]


def test_none_is_the_centre():
    assert set(draws(augmentation("none", 224), 5)) == {
        AUGMENTATIONS["none"].draw(np.random.default_rng(9), 300, 200)
    }
    assert draws(augmentation("none", 224), 1)[0].corner == (80, 16)


def test_flips_filters_and_colours():
    views = draws(augmentation("inception", 96))
    assert abs(np.mean([view.flip for view in views]) - 0.5) < 0.07
    used = [view.filter for view in views]
    for name in ("nearest", "box", "bilinear", "bicubic"):
        assert abs(used.count(name) / 600 - 0.25) < 0.06
    orders = {tuple(what for what, _ in view.colour) for view in views}
    assert len(orders) == 6
    factors = np.array([factor for view in views for _, factor in view.colour])
    assert 0.6 <= factors.min() < 0.61 and 1.39 < factors.max() <= 1.4
    assert not any(view.colour for view in draws(augmentation("vgg", 96), 20))


def test_alexnet_stays_in_the_central_square():
    views = draws(augmentation("alexnet", 224), size=(512, 256))
    x, y = np.array([view.corner for view in views]).T
    assert (x.min(), x.max(), y.min(), y.max()) == (128, 160, 0, 32)


def test_scales_of_vgg():
    scales = [view.resized[1] for view in draws(augmentation("vgg", 224), 5000)]
    assert (min(scales), max(scales)) == (256, 512)
    assert abs(np.mean(scales) - 384) < 4


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"crop": "middle"}, "crop must be one of centre"),
        ({"law": "flat"}, "law must be one of log"),
        ({"size": 224.5}, "whole numbers"),
        ({"size": "224"}, "wrong type"),
        ({"size": 0}, "at least 1"),
        ({"shorter": [256, 200]}, "smaller first"),
        ({"shorter": 256}, "wrong type"),
        ({"shorter": [200, 256]}, "size must be at most shorter[0]"),
        ({"pad": -1}, "pad must be at least 0"),
        ({"crop": "square", "pad": 4}, "only a random crop has a pad"),
        ({"area": [0.5, 1.5]}, "area must be in (0, 1]"),
        ({"area": [0.0, 0.5]}, "area must be in (0, 1]"),
        ({"aspect": [2.0, 0.5]}, "aspect must be"),
        ({"aspect": [0.5, float("inf")]}, "aspect must be"),
        ({"jitter": 1.5}, "jitter must be in [0, 1]"),
        ({"flip": 1}, "flip must be true or false"),
        ({"filters": []}, "filters must be of"),
        ({"filters": "bilinear"}, "filters must be of"),
        ({"filters": ["lanczos"]}, "filters must be of"),
        ({"extra": 1}, "fields"),
    ],
)
def test_fields_that_do_not_fit(change, expected):
    with pytest.raises(InputError) as caught:
        Augmentation.from_json(AUGMENTATIONS["vgg"].to_json() | change)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_names_and_sizes_that_are_none():
    with pytest.raises(InputError, match="'caffe'; expected one of alexnet, vgg"):
        augmentation("caffe", 224)
    with pytest.raises(InputError, match="size: 0"):
        augmentation("vgg", 0)
