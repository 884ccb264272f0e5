"""The embedded digits and their fixed split."""

import hashlib
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jnets.data import digits
from jnets.data.images import prepare
from jnets.errors import InputError


def test_split_holds_every_image_once():
    train, test = digits.load()
    raw = load_digits()
    assert (train.size, test.size) == (1437, 360)
    rows = np.concatenate(
        [
            np.column_stack([data.inputs[0].reshape(data.size, -1), data.labels])
            for data in (train, test)
        ]
    )
    expected = np.column_stack([raw.data, raw.target]).astype(int)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))
    for data in (train, test):
        assert data.inputs[0].dtype == np.uint8 and data.labels.dtype == np.int32
        assert data.inputs[0].max() == 16


def test_split_is_stratified():
    train, test = digits.load()
    shares = np.bincount(test.labels) / (
        np.bincount(test.labels) + np.bincount(train.labels)
    )
    # One image is 1/174 of the smallest class; rounding moves each by less than one.
    np.testing.assert_allclose(shares, 360 / 1797, atol=1 / 174)


def test_split_is_pinned():
    _, test = digits.load()
    content = test.inputs[0].tobytes() + test.labels.astype("<i4").tobytes()
    assert hashlib.sha256(content).hexdigest() == (
        "4c3005b9bcddd4ddbe66ca05540b47d69839ebe69bab6a2e7fedddf84399be95"
    )


def test_prepared_for_the_network():
    train, _ = digits.load()
    x = prepare(train.inputs[0], digits.DIGITS)
    assert x.shape == (1437, 32, 32, 1)
    assert x.min() == np.float32(-0.1) and x.max() == np.float32(1.175)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match=r"pip install jnets\[experiments\]"):
        digits.load()
