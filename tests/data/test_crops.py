"""The geometry of views: values by hand, laws, and what must hold for every picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jnets.data.crops import (
    Evaluation,
    View,
    area_crop,
    centre_crop,
    googlenet_crops,
    random_crop,
    random_crop_of_square,
    shorter_side,
    ten_crops,
    whole,
)
from jnets.errors import InputError

SIDES = st.integers(1, 700)


class Script:
    """A generator that gives what a test says, and knows what it was asked."""

    def __init__(self, *values):
        self.values, self.asked = list(values), []

    def uniform(self, low, high):
        self.asked.append((low, high))
        return self.values.pop(0)

    def random(self):
        return self.values.pop(0)

    def integers(self, low, high):
        self.asked.append((low, high))
        value = self.values.pop(0)
        assert low <= value < high
        return value


@pytest.mark.parametrize(
    ("given_size", "shorter", "expected"),
    [
        ((500, 375), 256, (341, 256)),  # 341.33
        ((375, 500), 256, (256, 341)),
        ((256, 256), 100, (100, 100)),
        ((3, 7), 256, (256, 597)),  # 597.33
        ((100, 199), 50, (50, 99)),  # 99.5 is cut, not rounded
    ],
)
def test_shorter_side(given_size, shorter, expected):
    assert shorter_side(*given_size, shorter) == expected


def test_centre_crop():
    view = centre_crop(500, 375, size=224, shorter=256)
    assert view == View((0, 0, 500, 375), (341, 256), (58, 16), (224, 224))
    # (341 - 224) / 2 = 58.5 and (343 - 224) / 2 = 59.5: halves go to the even one.
    assert centre_crop(375, 503, size=224, shorter=256).corner == (16, 60)
    # Larger than the picture: 3 missing pixels, one before, two behind.
    assert centre_crop(50, 100, size=53, shorter=50).corner == (-1, 24)


def test_ten_crops_of_a_wide_picture():
    views = ten_crops(512, 256, size=224, shorter=256)
    assert {view.resized for view in views} == {(512, 256)}
    corners = [(128, 0), (160, 0), (128, 32), (160, 32), (144, 16)]
    assert [view.corner for view in views] == corners * 2
    assert [view.flip for view in views] == [False] * 5 + [True] * 5


def test_googlenet_crops_of_a_tall_picture():
    views = googlenet_crops(256, 512, size=224)
    assert len(views) == 144
    # The 3 squares, twice, are the same at 4 scales.
    assert len(set(views)) == 144 - 3 * 2 * 3
    assert [v._replace(flip=True) for v in views[:72]] == list(views[72:])
    first = views[:18]  # all at 256: the squares at 0, 128 and 256
    assert [v.corner for v in first[:5]] == [
        (0, 0),
        (32, 0),
        (0, 32),
        (32, 32),
        (16,) * 2,
    ]
    assert first[5] == View((0, 0, 256, 256), (224, 224), (0, 0), (224, 224))
    assert [v.corner for v in first[6:11]] == [
        (0, 128),
        (32, 128),
        (0, 160),
        (32, 160),
        (16, 144),
    ]
    assert [v.region for v in first[5::6]] == [
        (0, 0, 256, 256),
        (0, 128, 256, 384),
        (0, 256, 256, 512),
    ]
    scales = [v.resized for v in views[:72] if v.region == (0, 0, 256, 512)][::15]
    assert scales == [(256, 512), (288, 576), (320, 640), (352, 704)]
    half = googlenet_crops(256, 512, size=112)
    assert {v.resized[0] for v in half} == {112, 128, 144, 160, 176}


@given(SIDES, SIDES, st.integers(1, 300))
def test_fixed_views_are_where_the_picture_is(width, height, size):
    views = [*googlenet_crops(width, height, size=size)]
    views += ten_crops(width, height, size=size, shorter=size + 3)
    for view in views:
        left, top, right, bottom = view.region
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        for axis in (0, 1):
            assert 0 <= view.corner[axis] <= view.resized[axis] - size
    assert whole(width, height, size).size == shorter_side(width, height, size)


def test_random_crop_by_hand():
    rng = Script(300, 7, 41)
    view = random_crop(rng, 500, 250, size=224, shorter=(256, 480))
    assert view == View((0, 0, 500, 250), (600, 300), (7, 41), (224, 224))
    assert rng.asked == [(256, 481), (0, 600 - 224 + 1), (0, 300 - 224 + 1)]
    rng = Script(32, -4, 4)
    view = random_crop(rng, 32, 32, size=32, shorter=(32, 32), pad=4)
    assert view.corner == (-4, 4) and rng.asked[1:] == [(-4, 5), (-4, 5)]
    rng = Script(32, 0)
    view = random_crop_of_square(rng, 512, 256, size=224, shorter=256)
    assert view.corner == (160, 0) and rng.asked == [(0, 33), (0, 33)]


def test_random_crop_reaches_every_place_alike():
    rng = np.random.default_rng(0)
    seen = [random_crop(rng, 20, 10, size=8, shorter=(10, 11)) for _ in range(9 * 400)]
    small = [view.corner for view in seen if view.resized == (20, 10)]
    assert abs(len(small) / len(seen) - 0.5) < 0.05
    counts = np.zeros((13, 3))
    for x, y in small:
        counts[x, y] += 1
    expected = len(small) / 39
    # chi-squared with 38 degrees of freedom is above 73 once in 1,700 times
    assert ((counts - expected) ** 2 / expected).sum() < 73


def test_area_crop_by_hand():
    # .5 of 200 x 100, at aspect 2: sqrt(20000) = 141.4 by sqrt(5000) = 70.7
    rng = Script(0.5, np.log(2), 11, 29)
    view = area_crop(rng, 200, 100, size=96, aspect=(0.5, 2.0))
    assert view == View((11, 29, 152, 100), (96, 96), (0, 0), (96, 96))
    assert rng.asked[0] == (0.08, 1.0)
    np.testing.assert_allclose(rng.asked[1], [-np.log(2), np.log(2)])
    assert rng.asked[2:] == [(0, 60), (0, 30)]
    # The same box upright does not fit; swapped, it does.
    for law, draw in (("uniform", (2.0, 0.7)), ("uniform", (0.5, 0.2))):
        rng = Script(0.5, *draw, 11, 29)
        view = area_crop(rng, 200, 100, size=96, aspect=(0.5, 2.0), law=law)
        assert view.region == (11, 29, 152, 100)


def test_area_crop_falls_back():
    tall = [0.9, np.log(0.75)] * 10  # 116 by 155 of 200 by 100, ten times
    view = area_crop(Script(*tall), 200, 100, size=96)
    assert view.region == (33, 0, 166, 100)  # the largest of aspect 4/3
    assert area_crop(Script(*tall), 60, 30, size=96).region == (10, 0, 50, 30)
    flat = [0.9, np.log(4 / 3)] * 10
    assert area_crop(Script(*flat), 100, 200, size=96).region == (0, 33, 100, 166)
    ask = [0.9, 0.75, 0.9] * 10
    view = area_crop(Script(*ask), 200, 100, size=96, law="uniform")
    assert view == centre_crop(200, 100, size=96, shorter=96)
    # Ten times too large, but the picture's aspect is in range: all of it.
    huge = [1.0, np.log(1.3)] * 10
    assert area_crop(Script(*huge), 110, 100, size=96).region == (0, 0, 110, 100)


@given(SIDES, SIDES, st.sampled_from(["log", "uniform"]), st.integers(0, 2**32))
def test_area_crop_is_in_the_picture(width, height, law, seed):
    rng = np.random.default_rng(seed)
    left, top, right, bottom = area_crop(rng, width, height, size=9, law=law).region
    assert 0 <= left < right <= width and 0 <= top < bottom <= height


@pytest.mark.parametrize("law", ["log", "uniform"])
def test_laws_of_the_area_crop(law):
    rng = np.random.default_rng(1)
    boxes = np.array(
        [
            area_crop(rng, 4000, 4000, size=9, area=(0.1, 0.5), law=law).region
            for _ in range(4000)
        ]
    )
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T.astype(float)
    quantiles = np.linspace(0.05, 0.95, 19)
    area = np.quantile(wide * high / 4000**2, quantiles)
    np.testing.assert_allclose(area, 0.1 + 0.4 * quantiles, atol=0.02)
    ratio = wide / high
    if law == "log":
        expected = np.exp(np.log(0.75) + np.log(16 / 9) * quantiles)
        np.testing.assert_allclose(np.quantile(ratio, quantiles), expected, atol=0.02)
    else:  # half are u, half are 1/u, u from 3/4 to 4/3
        u = np.linspace(0.75, 4 / 3, 4001)
        expected = np.quantile(np.append(u, 1 / u), quantiles)
        np.testing.assert_allclose(np.quantile(ratio, quantiles), expected, atol=0.02)
    place = boxes[:, 0] / np.maximum(4000 - wide, 1)
    np.testing.assert_allclose(np.quantile(place, quantiles), quantiles, atol=0.03)


@pytest.mark.parametrize(
    ("crops", "count", "size"),
    [
        ("centre", 1, (96, 96)),
        ("ten", 10, (96, 96)),
        ("googlenet", 144, (96, 96)),
        ("whole", 1, (220, 110)),
    ],
)
def test_evaluations(crops, count, size):
    views = list(Evaluation(crops, 96, 110).views(300, 150))
    assert len(views) == count and {view.size for view in views} == {size}


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        (Evaluation("eleven"), "crops: 'eleven'; expected one of centre, ten"),
        (Evaluation("ten", 256, 224), "size: 256 does not fit into a side of 224"),
        (Evaluation("centre", 0, 224), "0, 224; expected at least 1"),
        (Evaluation("whole", 224, -1), "224, -1; expected at least 1"),
    ],
)
def test_evaluations_that_cannot_be(evaluation, expected):
    with pytest.raises(InputError) as caught:
        list(evaluation.views(300, 200))
    assert expected in str(caught.value)


def test_crops_that_do_not_fit():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="size: 41 does not fit"):
        random_crop(rng, 99, 99, size=41, shorter=(32, 99), pad=4)
    with pytest.raises(InputError, match="size: 33 does not fit"):
        random_crop_of_square(rng, 99, 99, size=33, shorter=32)
