"""Pixels into what a net was trained on: mean, scale, channel order, colour noise.

Axes: b images, y rows, x columns, 3 channels, red first.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num

from jnets.errors import InputError
from jnets.typing import Array, PRNGKey


class Pixels(NamedTuple):
    """The arguments of `normalise`, as plain data: y = (x / scale - mean) / std.

    `mean` and `std` are in the order of the result: blue first if `bgr`.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False
    scale: float = 1.0


PIXELS: dict[str, Pixels] = {
    # Of ILSVRC images in [0, 1]: fb.resnet.torch, and all of torchvision.
    "torchvision": Pixels((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=255.0),
    # Caffe's GoogLeNet: 0 to 255, blue first.
    "caffe": Pixels((104.0, 117.0, 123.0), bgr=True),
    # Simonyan & Zisserman 2015, section 2.1: minus the mean RGB; their figures.
    "vgg": Pixels((123.68, 116.779, 103.939)),
    # Of CIFAR-10's training images, as fb.resnet.torch has them.
    "cifar": Pixels((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    # The released LRCN for actions (Donahue et al. 2015): 0 to 255, blue first.
    "lrcn": Pixels((128.0, 128.0, 128.0), bgr=True),
    # To [-1, 1]: TensorFlow's Inception nets.
    "inception": Pixels((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), scale=255.0),
}

# Principal components of the RGB values of ILSVRC images in [0, 1]: standard
# deviations, and directions as columns (rows are red, green, blue). The paper has no
# numbers; these are fb.resnet.torch's.
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def normalise(
    images: Num[Array, "b y x 3"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float] = (1.0, 1.0, 1.0),
    *,
    bgr: bool = False,
    scale: float = 1.0,
    dtype: jnp.dtype | str = "float32",
) -> Float[Array, "b y x 3"]:
    """y = (x / scale - mean) / std per channel, computed in float32.

    `images` are 0 to 255, RGB, uint8 or floating. `scale` 255 is for a mean and std of
    images in [0, 1]; `bgr` turns the channels round first, so mean and std are then
    blue first. The steps are those of torchvision's ToTensor and Normalize, in their
    order; XLA may multiply by the inverse of a constant, which is within two units in
    the last place of x / scale. `normalise(images, **PIXELS[name]._asdict())`.

    Errors: InputError if scale or a std is not positive.

    >>> import jax.numpy as jnp
    >>> white = jnp.full((1, 1, 1, 3), 255, jnp.uint8)
    >>> normalise(white, **PIXELS["caffe"]._asdict()).ravel().tolist()
    [151.0, 138.0, 132.0]
    """
    if not (scale > 0 and min(std) > 0):
        raise InputError(
            f"scale {scale} and std {std} are not usable: give numbers > 0"
        )
    x = images.astype(jnp.float32)
    x = x[..., ::-1] if bgr else x
    x = x if scale == 1 else x / scale
    y = (x - _per_channel(mean)) / _per_channel(std)
    return y.astype(dtype)


def _per_channel(values: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(1, 1, 1, 3)


def pca_noise(
    key: PRNGKey, images: Num[Array, "b y x 3"], std: float = 0.1
) -> Float[Array, "b y x 3"]:
    """Shift the colour of each image along the principal components of RGB.

    Every pixel of an image gets P (alpha * lambda), one alpha ~ N(0, std^2) per image
    and component; P and lambda are EIGENVECTORS and EIGENVALUES, of values in [0, 1].
    `images` are RGB: floating ones in [0, 1]; integers, 0 to 255, become float32 of
    that range and the shift is 255 times as large. Nothing is clipped.

    Errors: InputError if std is negative.
    Source: Krizhevsky, Sutskever and Hinton 2012, section 4.1; `std` is the paper's.
    """
    if not std >= 0:
        raise InputError(f"std {std} is not usable: give a number of at least 0")
    floating = jnp.issubdtype(images.dtype, jnp.floating)
    x = images if floating else images.astype(jnp.float32)
    alpha = std * jax.random.normal(key, (images.shape[0], 3), x.dtype)
    basis = np.multiply(EIGENVECTORS, EIGENVALUES) * (1.0 if floating else 255.0)
    shift = alpha @ jnp.asarray(basis.T, x.dtype)
    return x + shift[:, None, None, :]
