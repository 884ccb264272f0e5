"""The UCI handwritten digits that scikit-learn carries: 1,797 images, no download.

Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI repository
(1998), its test part: 32x32 bitmaps, each 4x4 block counted to a value 0..16.
"""

import numpy as np

from jnets.data.dataset import Dataset, permutation
from jnets.data.images import ImageSpec
from jnets.errors import InputError

CLASSES = tuple("0123456789")

# A digit fills the 8 rows, centred. It is enlarged to MNIST's 28x28, so that LeNet-5
# gets the same 32x32 input and the same values from both data sets.
DIGITS = ImageSpec(
    native=(8, 8),
    maximum=16,
    resize=28,
    size=32,
    low=-0.1,
    high=1.175,
    box=8,
    centre="box",
)

_TEST_SIZE = 360  # a fifth of 1,797
_SEED = 1998  # part of what "the test set" means; another seed is another test set


def load() -> tuple[Dataset, Dataset]:
    """The training (1,437) and the test set (360): uint8 images [N, 8, 8], 0..16.

    The split is fixed and stratified: every class has its share of the 360, rounded
    by largest remainder. It does not depend on the version of any package. Raises
    InputError when scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "digits: scikit-learn is missing; pip install jnets[experiments]"
        ) from None
    pixels, target = load_digits(return_X_y=True)
    images = np.asarray(pixels, np.uint8).reshape(-1, 8, 8)
    labels = np.asarray(target, np.int32)
    data = Dataset((images,), labels, CLASSES)
    held_out = _stratified(labels, _TEST_SIZE)
    return data.take(np.flatnonzero(~held_out)), data.take(np.flatnonzero(held_out))


def _stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """bool [N] with `count` true, each class in proportion to its size."""
    quota = np.bincount(labels) * count / len(labels)
    take = np.floor(quota).astype(int)
    take[np.argsort(take - quota, kind="stable")[: count - take.sum()]] += 1
    chosen = np.zeros(len(labels), bool)
    for label, number in enumerate(take):
        members = np.flatnonzero(labels == label)
        order = permutation(len(members), _SEED, label)
        chosen[members[order[:number]]] = True
    return chosen
