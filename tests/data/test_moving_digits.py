"""Digits that move: the motion is the label, and one frame says nothing of it."""

import numpy as np
import pytest

from jnets.data import digits, moving_digits
from jnets.data.moving_digits import (
    DIGIT,
    DIRECTIONS,
    SIDE,
    STEPS,
    Motion,
    MovingDigits,
)


@pytest.fixture(scope="module")
def train():
    return digits.load()[0]


def shift(a, b):
    """(rows, columns) that a frame went to become the next, around the edges, found by
    trying all."""
    a, b = a.astype(int).sum(-1), b.astype(int).sum(-1)
    most = max(STEPS)
    errors = {
        (y, x): np.abs(np.roll(a, (y, x), (0, 1)) - b).sum()
        for y in range(-most, most + 1)
        for x in range(-most, most + 1)
    }
    return min(errors, key=lambda at: errors[at]), min(errors.values())


@pytest.mark.parametrize("turns", [False, True])
def test_labels_are_the_motion(train, turns):
    x, labels = moving_digits.videos(train, Motion(9, turns=turns), 12, 0)
    assert x.shape == (12, 9, SIDE, SIDE, 3) and x.dtype == np.uint8
    assert labels.shape == (12, 9) and labels.dtype == np.int32
    steps = list(DIRECTIONS.values())
    assert np.all((labels[:, 0] == -1) == turns)
    for video, row in zip(x, labels, strict=True):
        speeds = set()
        for t in range(1, 9):
            (y, across), error = shift(video[t - 1], video[t])
            assert error == 0
            speed = max(abs(y), abs(across))
            assert (y, across) == tuple(speed * s for s in steps[row[t]])
            speeds.add(speed)
        assert len(speeds) == 1 and speeds <= set(STEPS)


def test_all_there_is_of_motions(train):
    _, labels = moving_digits.videos(train, Motion(2), 400, 1)
    assert np.bincount(labels[:, 0], minlength=8).min() > 25
    _, labels = moving_digits.videos(train, Motion(2, directions=4), 400, 1)
    assert set(labels.ravel().tolist()) == {0, 1, 2, 3}
    _, labels = moving_digits.videos(train, Motion(40, turns=True), 50, 1)
    changes = np.diff(labels[:, 1:]) != 0
    assert 3 < changes.sum(1).mean() < 8


def test_where_a_digit_is_does_not_depend_on_where_it_goes(train):
    """Mass by quarter of the square, in the first and the last frame, by direction."""
    x, labels = moving_digits.videos(train, Motion(8, directions=4), 2000, 2)
    mass = x[..., 0].astype(float) / x[..., 0].sum(axis=(2, 3), keepdims=True)
    for t in (0, 7):
        for k in range(4):
            mean = mass[labels[:, 0] == k, t].mean(0)
            quarters = mean.reshape(2, SIDE // 2, 2, SIDE // 2).sum((1, 3))
            # A standard error of 0.014: a quarter holds about a digit or none.
            np.testing.assert_allclose(quarters, 0.25, atol=0.06)


def test_batches(train):
    feed = MovingDigits(train, Motion(3), batch=5, seed=4)
    found = feed.batches()
    first, second, third = (next(found) for _ in range(3))
    again = next(MovingDigits(train, Motion(3), batch=5, seed=4).batches(first=2))
    for a, b in zip(third, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], second[0])
    x, lengths, labels, weights = first
    assert lengths.tolist() == [3] * 5 and weights.tolist() == [1] * 5
    assert len(feed.examples(0)) == 5 and max(feed.examples(0)) < train.size


def test_it_is_the_digit(train):
    """Ink of the first frame, rolled back to where it is whole, against the image."""
    x, _ = moving_digits.videos(train, Motion(1), 6, 5)
    which = MovingDigits(train, Motion(1), batch=6, seed=5).examples
    del which  # the stream of `videos` is its own
    for video in x:
        ink = video[0].max(-1)
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert 0 < len(rows) <= DIGIT and 0 < len(columns) <= DIGIT
