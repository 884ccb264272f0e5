"""Pictures read while a model trains, by themselves or as albums, with what is told."""

import math
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np

from jnets.data.dataset import permutation
from jnets.data.picture_spec import PictureSpec
from jnets.data.pictures import PictureError
from jnets.errors import InputError

THREADS = 8  # that decode; Pillow lets go of the interpreter meanwhile


class PictureFeed:
    """Batches of (images, tokens, labels, weights), epoch after epoch.

    `paths` is an array of paths [N], or [N, P] of albums; `tokens` and `labels` are
    [N, ...]. Images are uint8 [batch, size, size, 3], or [batch, P, size, size, 3],
    from the centre as `spec` says: what a sentence tells may not be cut off, nor left
    and right be changed. Batch u depends on (seed, u) alone; the last of an epoch is
    filled up with its own examples at weight 0.

    An example with a file that cannot be read has weight 0 and another's pictures; the
    file is entered into `failures`, {path: reason}. Raises InputError for no examples
    or a batch below 1.
    """

    def __init__(
        self,
        paths: np.ndarray,
        tokens: np.ndarray,
        labels: np.ndarray,
        spec: PictureSpec,
        *,
        batch: int,
        seed: int,
    ):
        if not len(paths) or batch < 1:
            raise InputError(
                f"{len(paths)} examples in batches of {batch}; expected at least 1"
            )
        self.failures: dict[str, str] = {}
        self._paths, self._tokens, self._labels = paths, tokens, labels
        self._spec, self._batch, self._seed = spec, batch, seed

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch: ceil(examples / batch)."""
        return math.ceil(len(self._paths) / self._batch)

    def batches(self, first: int) -> Generator[tuple[np.ndarray, ...], None, None]:
        """The batches of update `first` and all that follow."""
        with ThreadPoolExecutor(THREADS) as pool:
            for update in count(first):
                rows = self._rows(update)
                images, good = self._read(pool, self._paths[rows])
                weights = good & (np.arange(self._batch) < len(rows))
                rows = np.resize(rows, self._batch)
                yield (
                    images,
                    self._tokens[rows],
                    self._labels[rows],
                    weights.astype(np.float32),
                )

    def examples(self, update: int) -> list[str]:
        """The paths that the batch of an update is made of."""
        return self._paths[self._rows(update)].ravel().tolist()

    def _rows(self, update: int) -> np.ndarray:
        epoch, place = divmod(update, self.per_epoch)
        order = permutation(len(self._paths), self._seed, epoch)
        return order[place * self._batch : (place + 1) * self._batch]

    def _read(
        self, pool: ThreadPoolExecutor, paths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images of a whole batch, and which of its examples could be read."""
        shape = (self._spec.size, self._spec.size, 3)
        found = list(pool.map(self._load, paths.ravel()))
        whole = np.array([image is not None for image in found])
        good: np.ndarray = np.all(whole.reshape(len(paths), -1), axis=1)
        images = np.stack(
            [np.zeros(shape, np.uint8) if i is None else i for i in found]
        )
        images = images.reshape(*paths.shape, *shape)
        at = np.resize(np.flatnonzero(good) if good.any() else [0], len(good))
        images = images[np.where(good, np.arange(len(good)), at)]
        return (
            images[np.resize(np.arange(len(good)), self._batch)],
            np.resize(good, self._batch),
        )

    def _load(self, path: str) -> np.ndarray | None:
        try:
            return self._spec.load(path)
        except PictureError as error:
            self.failures[error.path] = error.reason
            return None
