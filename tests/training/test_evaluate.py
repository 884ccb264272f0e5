"""Figures counted by hand, and prediction in parts."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.training import evaluate, make_predict

cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def test_figures_by_hand():
    # Predicted 0, 1, 1, 2, 0; class 3 is never true and never predicted.
    outputs = np.float32(
        [[9, 0, 0, 0], [0, 9, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [9, 0, 0, 0]]
    )
    labels = np.int32([0, 1, 2, 2, 1])
    found = evaluate(outputs, labels, cross_entropy)
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.accuracy == pytest.approx(3 / 5, abs=0)
    assert found.macro_recall == pytest.approx((1 + 1 / 2 + 1 / 2) / 3, rel=1e-12)
    # Precision, recall, F1.
    shares = [[1 / 2, 1, 2 / 3], [1 / 2, 1 / 2, 1 / 2], [1, 1 / 2, 2 / 3], [0, 0, 0]]
    np.testing.assert_allclose(found.per_class, shares, rtol=1e-12)
    right = np.log(1 + 3 * np.exp(-9))
    assert found.loss == pytest.approx((3 * right + 2 * (right + 9)) / 5, rel=1e-6)


def test_macro_recall_does_not_weigh_classes_by_size():
    labels = np.int32([0] * 98 + [1] * 2)
    outputs = np.float32([[1, 0]] * 100)
    found = evaluate(outputs, labels, cross_entropy)
    assert found.accuracy == 0.98
    assert found.macro_recall == 0.5


class Shift(nn.Module):
    """(x, s) -> x + s + b; notes the batch and the mode of every trace."""

    note: Callable

    @nn.compact
    def __call__(self, x, s, *, train=False):
        self.note((x.shape[0], train))
        b = self.param("b", nn.initializers.ones_init(), ())
        return x + (s + b)[:, None]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 24])
def test_prediction_is_in_order_and_complete(size):
    x = np.arange(size * 2, dtype=np.float32).reshape(size, 2)
    s = 100 * np.arange(size, dtype=np.float32)
    predict = make_predict(Shift(lambda trace: None), examples=8)
    outputs = predict({"params": {"b": jnp.float32(0.5)}}, (x, s))
    np.testing.assert_array_equal(outputs, x + s[:, None] + 0.5)


def test_one_program_for_all_sizes_and_no_training_mode():
    seen = []
    predict = make_predict(Shift(seen.append), examples=8)
    for size in (20, 3, 8):
        inputs = np.zeros((size, 2), np.float32), np.zeros(size, np.float32)
        assert predict({"params": {"b": jnp.float32(0)}}, inputs).shape == (size, 2)
    assert seen == [(8, False)]
