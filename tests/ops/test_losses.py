"""Losses: literals, the formulas in NumPy, limits, gradients in x64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from jnets.errors import InputError
from jnets.ops.losses import (
    lenet_map_loss,
    nll_loss,
    smoothed_cross_entropy,
    with_auxiliary,
)

RNG = np.random.default_rng(0)
PENALTIES = RNG.uniform(0.0, 30.0, (6, 10))
LABELS = RNG.integers(0, 10, 6)


def test_map_loss_is_equation_9(x64):
    for j in (0.1, 1.0, 10.0):
        loss = lenet_map_loss(jnp.asarray(PENALTIES), jnp.asarray(LABELS), j=j)
        mass = np.exp(-j) + np.exp(-PENALTIES).sum(1)
        expected = PENALTIES[np.arange(6), LABELS] + np.log(mass)
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
    default = lenet_map_loss(jnp.asarray(PENALTIES), jnp.asarray(LABELS))
    np.testing.assert_array_equal(default, loss)


def test_map_loss_by_hand():
    penalties = jnp.log(jnp.array([[2.0, 4.0]]))  # e^-y is 1/2 and 1/4
    loss = lenet_map_loss(penalties, jnp.array([1]), j=float(np.log(4.0)))
    np.testing.assert_allclose(loss, [np.log(4.0)], rtol=1e-6)  # mass is 1


def test_map_loss_pushes_a_class_until_its_penalty_passes_j(x64):
    def push(penalty, j):
        y = jnp.array([[12.0, penalty]])
        gradient = jax.grad(lambda y: lenet_map_loss(y, jnp.array([0]), j=j).sum())(y)
        return -gradient[0, 1]

    weights = np.exp([-12.0, -12.0, -10.0])
    assert push(12.0, 10.0) == pytest.approx(weights[1] / weights.sum(), 1e-12)
    assert push(5.0, 10.0) > 0.99 and push(20.0, 10.0) < 1e-4
    # Half-way between two codes that differ in 12 elements, j = 1 leaves no push.
    assert push(12.0, 1.0) < 2e-5


def test_map_loss_without_rubbish_class_is_the_cross_entropy_of_minus_y(x64):
    y, labels = jnp.asarray(PENALTIES), jnp.asarray(LABELS)
    expected = optax.softmax_cross_entropy_with_integer_labels(-y, labels)
    np.testing.assert_allclose(lenet_map_loss(y, labels, j=1e4), expected, rtol=1e-12)


def test_map_loss_stays_finite_for_huge_penalties():
    y = jnp.array([[1e4, 2e4], [0.0, 1e30]])
    value, gradient = jax.value_and_grad(
        lambda y: lenet_map_loss(y, jnp.array([0, 0])).sum()
    )(y)
    assert float(value) == pytest.approx(1e4 - 10.0, 1e-6)
    np.testing.assert_allclose(gradient, [[1.0, 0.0], [4.54e-5, 0.0]], atol=1e-7)


def test_nll_by_hand():
    log_probs = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]))
    loss = nll_loss(log_probs, jnp.array([1, 2]))
    np.testing.assert_allclose(loss, -np.log([0.25, 0.7]), rtol=1e-6)


def test_nll_of_a_log_softmax_is_the_cross_entropy(x64):
    logits, labels = jnp.asarray(PENALTIES), jnp.asarray(LABELS)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    loss = nll_loss(jax.nn.log_softmax(logits), labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", [nll_loss, lenet_map_loss, smoothed_cross_entropy])
def test_gradients_transformations_and_types(x64, loss):
    labels = jnp.asarray(LABELS)
    check_grads(jax.jit(lambda y: loss(y, labels)), (PENALTIES / 3,), order=1)
    y = jnp.asarray(PENALTIES)
    with jax.numpy_dtype_promotion("strict"):
        plain = loss(y, labels)
        np.testing.assert_allclose(jax.jit(loss)(y, labels), plain, rtol=1e-12)
        mapped = jax.jit(jax.vmap(loss))(y[:, None], labels[:, None])[:, 0]
        np.testing.assert_allclose(mapped, plain, rtol=1e-12)
    narrow = jax.jit(loss)(y.astype(jnp.bfloat16), labels)
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(narrow.astype(float), plain, rtol=2**-6, atol=0.1)


@pytest.mark.parametrize("j", [0.0, -1.0, float("nan")])
def test_j_must_be_positive(j):
    with pytest.raises(InputError, match=f"^j {j} .*positive"):
        lenet_map_loss(jnp.ones((1, 2)), jnp.array([0]), j=j)


def test_smoothing_by_hand():
    """Logits log 2, 0: p = 2/3, 1/3; the smoothed label is 0.9, 0.1."""
    logits = jnp.log(jnp.array([[2.0, 1.0]]))
    expected = 0.9 * np.log(3 / 2) + 0.1 * np.log(3)
    loss = smoothed_cross_entropy(logits, jnp.array([0]), 0.2)
    np.testing.assert_allclose(loss, [expected], rtol=1e-6)


def test_smoothing_as_torch_has_it(x64):
    """CrossEntropyLoss(label_smoothing=s, reduction="none") of torch 2.13."""
    logits, labels = jnp.array([[1.0, 2.0, -1.0], [0.0, -3.0, 5.0]]), jnp.array([0, 2])
    for smoothing, expected in {
        0.1: [1.3823455501015198, 0.44038184374439765],
        0.4: [1.4823455501015197, 1.7403818437443974],
    }.items():
        loss = smoothed_cross_entropy(logits, labels, smoothing)
        np.testing.assert_allclose(loss, expected, rtol=1e-13)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothing_is_the_cross_entropy_of_smoothed_labels(x64, smoothing):
    logits, labels = jnp.asarray(PENALTIES), jnp.asarray(LABELS)
    soft = optax.smooth_labels(jax.nn.one_hot(labels, 10), smoothing)
    expected = optax.softmax_cross_entropy(logits, soft)
    loss = smoothed_cross_entropy(logits, labels, smoothing)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    gradient = jax.grad(lambda z: smoothed_cross_entropy(z, labels, smoothing).sum())
    probabilities = jax.nn.softmax(logits)
    np.testing.assert_allclose(gradient(logits), probabilities - soft, atol=1e-12)


def test_smoothing_stays_finite():
    logits = jnp.array([[1e4, 0.0, -1e4], [-1e30, 0.0, 0.0]])
    loss = smoothed_cross_entropy(logits, jnp.array([0, 0]), 0.1)
    np.testing.assert_allclose(loss, [1e3, 1e30 * (0.9 + 0.1 / 3)], rtol=1e-5)
    masked = jnp.array([[0.0, -jnp.inf, 0.0]])
    loss = smoothed_cross_entropy(masked, jnp.array([2]), 0.0)
    np.testing.assert_allclose(loss, [np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_is_a_share(smoothing):
    with pytest.raises(InputError, match=f"^smoothing {smoothing} is not usable"):
        smoothed_cross_entropy(jnp.ones((1, 2)), jnp.array([0]), smoothing)


def test_auxiliary_heads_by_hand(x64):
    def logits(*odds):
        return jnp.log(jnp.array([odds]))

    heads = {"aux2": logits(1.0, 1.0), "aux1": logits(3.0, 1.0)}
    loss = with_auxiliary(optax.softmax_cross_entropy_with_integer_labels, 0.3)
    labels = jnp.array([1])
    expected = np.log(5 / 4) + 0.3 * (np.log(2) + np.log(4))
    np.testing.assert_allclose(loss((logits(1.0, 4.0), heads), labels), [expected])
    np.testing.assert_allclose(loss(logits(1.0, 4.0), labels), [np.log(5 / 4)])
    np.testing.assert_allclose(loss((logits(1.0, 4.0), {}), labels), [np.log(5 / 4)])


def test_auxiliary_gradients(x64):
    labels = jnp.asarray(LABELS)
    rng = np.random.default_rng(1)
    main, aux = rng.normal(size=(2, 6, 10))
    loss = with_auxiliary(lambda z, y: smoothed_cross_entropy(z, y, 0.1), 0.4)
    total = jax.jit(lambda main, aux: loss((main, {"aux": aux}), labels).sum())
    check_grads(total, (main, aux), order=1)
    alone = jax.grad(lambda z: smoothed_cross_entropy(z, labels, 0.1).sum())
    gradients = jax.grad(total, argnums=(0, 1))(jnp.asarray(main), jnp.asarray(aux))
    np.testing.assert_allclose(gradients[0], alone(jnp.asarray(main)), atol=1e-14)
    np.testing.assert_allclose(gradients[1], 0.4 * alone(jnp.asarray(aux)), atol=1e-14)


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_the_weight_of_heads_is_a_number(weight):
    with pytest.raises(InputError, match=f"^weight {weight} is not usable"):
        with_auxiliary(nll_loss, weight)
