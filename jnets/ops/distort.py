"""Random distortions of images: LeNet-5's second training set, CIFAR's crops."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Num

from jnets.typing import Array, PRNGKey


def affine(
    images: Float[Array, "b y x c"], maps: Float[Array, "b 2 3"]
) -> Float[Array, "b y x c"]:
    """Resample images bilinearly: out(p) = image(M [p; 1]), p = (y, x) from the centre.

    `maps` holds one M per image, in pixels. A point outside the image has the value of
    the nearest point of its border, so a uniform background goes on.
    """
    _, height, width, _ = images.shape
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(jnp.mgrid[:height, :width], axis=-1) - middle[None, None]
    ones = jnp.ones((height, width, 1))
    points = jnp.concatenate([grid, ones], axis=-1)
    source = jnp.einsum("bij,yxj->byxi", maps, points) + middle[None, None, None]
    limit = jnp.array([height - 1.0, width - 1.0])[None, None, None]
    return jax.vmap(_bilinear)(images, jnp.clip(source, 0, limit))


def _bilinear(image: Array, points: Array) -> Array:
    """image [y, x, c] at points [..., 2] inside it, from the four pixels around."""
    low = jnp.floor(points).astype(jnp.int32)
    y0, x0 = low[..., 0], low[..., 1]
    y1 = jnp.minimum(y0 + 1, image.shape[0] - 1)
    x1 = jnp.minimum(x0 + 1, image.shape[1] - 1)
    v, u = jnp.split(points - low, 2, axis=-1)
    top = (1 - u) * image[y0, x0] + u * image[y0, x1]
    bottom = (1 - u) * image[y1, x0] + u * image[y1, x1]
    return ((1 - v) * top + v * bottom).astype(image.dtype)


def random_affine(
    key: PRNGKey,
    images: Float[Array, "b y x c"],
    *,
    shift: float = 3.0,
    scale: float = 0.15,
    shear: float = 0.2,
) -> Float[Array, "b y x c"]:
    """Translate, scale, squeeze and shear each image at random.

    The distortions of LeNet-5's enlarged training set: "combinations of" horizontal
    and vertical translation (up to `shift` pixels each way), scaling and squeezing
    (each axis by a factor 1 +- `scale`), and horizontal shearing (up to `shear` pixels
    per row). All uniform, independent for each image. The paper (section III-B) names
    the kinds, not the amounts; the defaults suit digits of 20 to 28 pixels in 32x32.
    """
    size = images.shape[0]
    u = jax.random.uniform(key, (size, 5), minval=-1.0, maxval=1.0)
    maps = jnp.zeros((size, 2, 3))
    maps = maps.at[:, 0, 0].set(1 + scale * u[:, 0])
    maps = maps.at[:, 1, 1].set(1 + scale * u[:, 1])
    maps = maps.at[:, 1, 0].set(shear * u[:, 2])
    maps = maps.at[:, :, 2].set(shift * u[:, 3:])
    return affine(images, maps)


def random_crop_and_flip(
    key: PRNGKey, images: Num[Array, "b y x c"], *, pad: int = 4
) -> Num[Array, "b y x c"]:
    """Pad by `pad` zeros, crop at random to the old size, mirror half of the images.

    Independent for each image. What is done to CIFAR, with the default, since
    He et al. 2016, section 4.2, after Lee et al. 2015.
    """
    size, height, width, channels = images.shape
    place, mirror = jax.random.split(key)
    corners = jax.random.randint(place, (size, 2), 0, 2 * pad + 1)
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def crop(image: Array, corner: Array) -> Array:
        start = corner[0], corner[1], 0
        return jax.lax.dynamic_slice(image, start, (height, width, channels))

    cropped = jax.vmap(crop)(padded, corners)
    flip = jax.random.bernoulli(mirror, shape=(size, 1, 1, 1))
    return jnp.where(flip, cropped[:, :, ::-1], cropped)
