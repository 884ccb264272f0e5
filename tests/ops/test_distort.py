"""Affine resampling against hand values and the identity; random maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jnets.ops.distort import affine, random_affine, random_crop_and_flip

IDENTITY = jnp.array([[[1.0, 0, 0], [0, 1, 0]]])
RAMP = jnp.arange(20.0).reshape(1, 4, 5, 1)  # image[y, x] = 5 y + x


def moved(y: float, x: float):
    return IDENTITY.at[0, :, 2].set(jnp.array([y, x]))


def test_identity_is_exact():
    np.testing.assert_array_equal(affine(RAMP, IDENTITY), RAMP)


def test_whole_pixels_and_the_border():
    found = affine(RAMP, moved(1, -2))[0, :, :, 0]
    # out(y, x) = image(y + 1, x - 2); outside, the nearest pixel of the border.
    rows, columns = np.minimum(np.arange(4) + 1, 3), np.maximum(np.arange(5) - 2, 0)
    np.testing.assert_array_equal(found, RAMP[0, rows][:, columns][:, :, 0])


def test_between_pixels():
    found = affine(RAMP, moved(0.5, 0.25))[0, 0, 0, 0]
    assert found == 5 * 0.5 + 0.25


def test_scale_is_about_the_centre():
    half = IDENTITY.at[0, 0, 0].set(0.0)  # every row reads the middle one, y = 1.5
    expected = np.broadcast_to(7.5 + np.arange(5.0), (4, 5))
    np.testing.assert_allclose(affine(RAMP, half)[0, :, :, 0], expected, rtol=1e-6)


def test_shear_moves_rows_apart():
    sheared = IDENTITY.at[0, 1, 0].set(1.0)  # x grows with y - 1.5
    found = affine(RAMP, sheared)[0, :, 2, 0]
    np.testing.assert_allclose(found, 5 * np.arange(4) + np.arange(0.5, 4), rtol=1e-6)


def test_each_image_has_its_own_map():
    maps = jnp.concatenate([IDENTITY, moved(1, 0)])
    found = affine(jnp.concatenate([RAMP, RAMP]), maps)
    np.testing.assert_array_equal(found[0], RAMP[0])
    np.testing.assert_array_equal(found[1, :3], RAMP[0, 1:])


def test_gradient(x64):
    maps = jnp.array([[[0.9, 0.1, 0.31], [0.2, 1.1, -0.17]]])
    image = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 5, 2)))
    check_grads(
        lambda x: affine(jnp.asarray(x), maps), (image,), order=1, modes=["rev"]
    )


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_random_shifts_stay_in_their_bounds(shift):
    spot = jnp.zeros((64, 9, 9, 1)).at[:, 4, 4].set(1.0)
    moved = random_affine(jax.random.key(0), spot, shift=shift, scale=0.0, shear=0.0)
    np.testing.assert_allclose(moved.sum((1, 2, 3)), np.ones(64), rtol=1e-5)
    at = jnp.einsum("byxc,y->b", moved, jnp.arange(9.0)) - 4
    assert np.abs(at).max() <= shift
    assert (np.abs(at).max() > 0.5 * shift) == (shift > 0)


def test_a_uniform_background_stays():
    flat = jnp.full((3, 8, 8, 1), -0.1)
    found = random_affine(jax.random.key(1), flat)
    np.testing.assert_allclose(found, flat, rtol=1e-6)


def test_the_key_decides():
    first, again, other = (
        random_affine(jax.random.key(k), RAMP, shift=1.0) for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_crops_are_places_of_the_padded_image():
    """Every result is one of the 9 x 9 places, or its mirror image; all are drawn."""
    x = np.arange(1, 1 + 6 * 5 * 2).reshape(1, 6, 5, 2).astype(np.uint8)
    padded = np.pad(x[0], ((4, 4), (4, 4), (0, 0)))
    places = {}
    for top in range(9):
        for left in range(9):
            view = padded[top : top + 6, left : left + 5]
            places[view.tobytes()] = (top, left, False)
            places[view[:, ::-1].tobytes()] = (top, left, True)
    many = jnp.asarray(np.repeat(x, 2000, axis=0))
    out = np.asarray(random_crop_and_flip(jax.random.key(0), many))
    assert out.dtype == np.uint8 and out.shape == many.shape
    found = [places[view.tobytes()] for view in out]
    assert len(set(found)) == 162
    tops, lefts, flips = np.array(found).T
    for values in (tops, lefts):
        # A mean of 2,000 draws from 0..8: standard error 2.58 / sqrt(2000) = 0.058.
        assert values.mean() == pytest.approx(4, abs=0.25)
    assert flips.mean() == pytest.approx(0.5, abs=0.05)


def test_no_padding_leaves_only_the_mirror():
    x = jax.random.uniform(jax.random.key(1), (8, 4, 4, 3))
    out = random_crop_and_flip(jax.random.key(2), x, pad=0)
    same = jnp.all(out == x, axis=(1, 2, 3))
    mirrored = jnp.all(out == x[:, :, ::-1], axis=(1, 2, 3))
    assert bool(jnp.all(same ^ mirrored)) and 0 < int(same.sum()) < 8
