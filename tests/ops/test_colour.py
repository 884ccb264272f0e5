"""Pixels by hand and by NumPy; colour noise along its axes, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.errors import InputError
from jnets.ops.colour import EIGENVALUES, EIGENVECTORS, PIXELS, normalise, pca_noise

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3)).astype(np.uint8)

# What red, green, blue = 255, 128, 0 become.
BY_HAND = {
    "torchvision": (
        (1 - 0.485) / 0.229,
        (128 / 255 - 0.456) / 0.224,
        -0.406 / 0.225,
    ),
    "caffe": (-104.0, 11.0, 132.0),  # blue first
    "vgg": (131.32, 11.221, -103.939),
    "cifar": (129.7 / 63.0, 5.0 / 62.1, -113.9 / 66.7),
    "inception": (1.0, 1 / 255, -1.0),
    "lrcn": (-128.0, 0.0, 127.0),  # blue first
}


@pytest.mark.parametrize("name", PIXELS)
def test_by_hand(name):
    pixel = jnp.array([[[[255, 128, 0]]]], jnp.uint8)

    def function(x):
        return normalise(x, **PIXELS[name]._asdict())

    for found in (function(pixel), jax.jit(function)(pixel)):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found.ravel(), BY_HAND[name], rtol=1e-6, atol=1e-6)


def test_every_row_has_a_hand_value():
    assert set(BY_HAND) == set(PIXELS)


@pytest.mark.parametrize("name", PIXELS)
def test_every_value_of_a_byte_is_within_two_units_of_float32(name):
    """In float64 by NumPy; the steps of ToTensor and Normalize round three times."""
    mean, std, bgr, scale = PIXELS[name]
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    found = jax.jit(lambda x: normalise(x, **PIXELS[name]._asdict()))(every)
    x = every[..., ::-1] if bgr else every
    exact = (x / scale - np.array(mean)) / np.array(std)
    unit = np.finfo(np.float32).eps * 255 / scale / np.array(std)
    assert (np.abs(found - exact) <= 2 * unit).all()


def test_other_types():
    pixels = PIXELS["torchvision"]._asdict()
    narrow = normalise(jnp.asarray(IMAGES), **pixels, dtype="bfloat16")
    assert narrow.dtype == jnp.bfloat16
    wide = normalise(jnp.asarray(IMAGES), **pixels)
    np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))
    floating = normalise(jnp.asarray(IMAGES, jnp.float32), **pixels)
    np.testing.assert_array_equal(floating, wide)


@pytest.mark.parametrize("change", [dict(scale=0.0), dict(std=(1.0, 0.0, 1.0))])
def test_what_cannot_be_divided_by(change):
    with pytest.raises(InputError, match=r"^scale .* and std .* give numbers > 0"):
        normalise(jnp.asarray(IMAGES), **(PIXELS["caffe"]._asdict() | change))


def test_the_axes_of_the_noise_are_orthonormal():
    basis = np.array(EIGENVECTORS)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=2e-4)
    assert sorted(EIGENVALUES, reverse=True) == list(EIGENVALUES)


def test_noise_is_one_shift_per_image_along_the_axes(x64, key):
    images = jnp.asarray(IMAGES / 255)
    shift = np.asarray(jax.jit(pca_noise)(key, images) - images)
    shifts = shift[:, 0, 0]
    np.testing.assert_allclose(
        shift, np.broadcast_to(shifts[:, None, None], shift.shape)
    )
    assert len(np.unique(shifts[:, 0])) == 3
    alpha = 0.1 * np.asarray(jax.random.normal(key, (3, 3), jnp.float64))
    for i in range(3):
        expected = np.array(EIGENVECTORS) @ (alpha[i] * np.array(EIGENVALUES))
        np.testing.assert_allclose(shifts[i], expected, rtol=1e-10)


def test_the_spread_of_the_noise(key):
    """Covariance std^2 P diag(lambda^2) P^T, over 40,000 draws."""
    shifts = pca_noise(key, jnp.zeros((40_000, 1, 1, 3)), std=0.2)[:, 0, 0]
    basis, spread = np.array(EIGENVECTORS), np.square(EIGENVALUES)
    covariance = 0.04 * basis @ np.diag(spread) @ basis.T
    np.testing.assert_allclose(np.cov(shifts.T), covariance, rtol=0.04)


def test_bytes_get_the_same_noise_in_their_units(key):
    small = pca_noise(key, jnp.asarray(IMAGES / 255, jnp.float32))
    large = pca_noise(key, jnp.asarray(IMAGES))
    assert large.dtype == jnp.float32
    np.testing.assert_allclose(large / 255, small, atol=2e-7)
    outside = pca_noise(key, jnp.full((64, 1, 1, 3), 255, jnp.uint8))
    assert (outside > 255).any()  # not clipped


def test_no_noise(key):
    images = jnp.asarray(IMAGES)
    np.testing.assert_array_equal(pca_noise(key, images, std=0.0), IMAGES)
    with pytest.raises(InputError, match="^std -0.1 is not usable"):
        pca_noise(key, images, std=-0.1)


def test_strict_promotion(key):
    with jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.uint8, jnp.float32, jnp.bfloat16):
            images = pca_noise(key, jnp.asarray(IMAGES).astype(dtype))
            normalise(images, **PIXELS["vgg"]._asdict())
