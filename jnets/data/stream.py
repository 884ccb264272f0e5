"""Batches of pictures read while a model trains, by Grain.

Batch u of a run depends on the seed and u alone: not on when the run started or was
resumed, nor on how many processes or threads read. Grain shuffles, batches, and runs
the readers; what one example becomes is in `pictures` and `augmentation`.
"""

import functools
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jnets.data.augmentation import Augmentation
from jnets.data.augmentation import check as check_augmentation
from jnets.data.crops import Evaluation, View
from jnets.data.dataset import Dataset, random_bits
from jnets.data.image_folder import Examples
from jnets.data.pictures import PictureError, read_views, view_of
from jnets.data.workers import check_workers, grain_module, run
from jnets.errors import InputError

Pictures: TypeAlias = Examples | Dataset  # files, or uint8 [N, H, W, 3] in memory
Batch: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


class Stream:
    """Batches for training, epoch after epoch.

    `batches(first)` yields (images uint8 [batch, size, size, 3], labels int32
    [batch], weights float32 [batch]) of update first, first + 1, ... without end.
    Every epoch takes each example once, in an order of its own; the places that are
    left in its last batch get other pictures of that batch at weight 0, so that a
    batch norm meets nothing that is not of the data. What is drawn for an example
    depends on (seed, epoch, example).

    So does the place of a file that cannot be read (a black picture, if the batch has
    no other). The file is entered into `failures` ({path: reason}), once however often
    it comes; with `strict` it raises PictureError instead. `draft` decodes large JPEGs
    at a fraction of their size (`pictures.read_views`).

    workers: 0 reads in threads of this process; above 0 in as many processes of their
    own, which never touch the accelerator, end with the iterator or with this
    process, and leave Ctrl-C to it. Close the iterator (or `contextlib.closing`).
    Threads are as fast on few cores; processes pay from about 8 cores on. A script
    with workers needs `if __name__ == "__main__":`, as with any spawned process.

    Raises InputError for no examples, a batch below 1, a seed or workers below 0, an
    augmentation that does not fit together, arrays that are not uint8 [N, H, W, 3],
    or when Grain or Pillow is missing.
    """

    def __init__(
        self,
        examples: Pictures,
        augmentation: Augmentation,
        *,
        batch: int,
        seed: int,
        workers: int = 0,
        strict: bool = False,
        draft: bool = False,
    ):
        check_augmentation(augmentation)
        _check(examples, batch)
        check_workers(workers)
        self.failures: dict[str, str] = {}
        self._batch, self._workers, self._seed = batch, workers, seed
        self._size = examples.size
        self._reader = _Reader(examples, strict, draft)
        self._augmentation = augmentation

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch: ceil(examples / batch)."""
        return math.ceil(self._size / self._batch)

    def batches(self, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of update `first` and all that follow."""
        if first < 0:
            raise InputError(f"first: {first} is negative; expected an update")
        size = self._augmentation.size
        shape = (size, size, 3)
        draws = int(random_bits(2, self._seed)[1])
        # Before the shuffle, so that a draw belongs to the example, not its place.
        examples = grain_module().MapDataset.range(self._size)
        seen = _Augmented(self._reader, self._augmentation)
        data = self._shuffled(
            examples.random_map(seen, seed=draws), _stack(self._batch, shape)
        )
        return _batches(data[first:], self._workers, self._batch, shape, self.failures)

    def examples(self, update: int) -> list[str]:
        """What the batch of an update is made of: paths, or places in memory."""
        data = self._shuffled(grain_module().MapDataset.range(self._size), list)
        known = self._reader.examples
        return [
            known.paths[i] if isinstance(known, Examples) else str(i)
            for i in data[update]
        ]

    def _shuffled(self, data: Any, stack: Callable[[list], Any]) -> Any:
        """Batches of a Grain MapDataset of all examples, for ever."""
        # Twice: of few examples, one of Grain's shuffles leaves many in their places
        # under some seeds, even all.
        for order in random_bits(3, self._seed)[[0, 2]]:
            data = data.shuffle(seed=int(order) % 2**32)
        return data.batch(self._batch, batch_fn=stack).repeat()


class OrderedPass:
    """Every example once, in order, seen as an `Evaluation` says.

    `batches()` yields (images uint8 [batch, views, h, w, 3], labels, weights): as
    `Stream`, with its treatment of the last batch, of unreadable files, and of
    `workers`. Whole pictures differ in shape, so "whole" takes batches of 1. Raises
    InputError as `Stream` does, and for an evaluation that cannot be.
    """

    def __init__(
        self,
        examples: Pictures,
        evaluation: Evaluation,
        *,
        batch: int,
        workers: int = 0,
        strict: bool = False,
        draft: bool = False,
    ):
        _check(examples, batch)
        check_workers(workers)
        if evaluation.crops == "whole" and batch != 1:
            raise InputError(f"batch: {batch}; whole pictures need batches of 1")
        square = evaluation.shorter
        views = tuple(evaluation.views(square, square))
        self._shape = (len(views), *views[0].size[::-1], 3)
        self.failures: dict[str, str] = {}
        self._batch, self._workers = batch, workers
        self._size = examples.size
        self._seen = _Seen(_Reader(examples, strict, draft), evaluation)

    @property
    def count(self) -> int:
        """Batches in the pass: ceil(examples / batch)."""
        return math.ceil(self._size / self._batch)

    def batches(self) -> Generator[Batch, None, None]:
        """The batches of one pass from the start."""
        data = grain_module().MapDataset.range(self._size).map(self._seen)
        data = data.batch(self._batch, batch_fn=_stack(self._batch, self._shape))
        return _batches(data, self._workers, self._batch, self._shape, self.failures)


class _Record(NamedTuple):
    """One example read; without an image, `path` and `reason` say why."""

    image: np.ndarray | None
    label: int
    path: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Reader:
    examples: Pictures
    strict: bool
    draft: bool

    def read(self, index: int, choose) -> _Record:
        """Example `index` as views [views, h, w, 3]."""
        label = int(self.examples.labels[index])
        if isinstance(self.examples, Dataset):
            array = self.examples.inputs[0][index]
            height, width = array.shape[:2]
            views: Iterable[View] = choose(width, height)
            return _Record(np.stack([view_of(array, view) for view in views]), label)
        try:
            path = self.examples.paths[index]
            return _Record(read_views(path, choose, draft=self.draft), label)
        except PictureError as error:
            if self.strict:
                raise
            return _Record(None, label, error.path, error.reason)


@dataclass(frozen=True)
class _Augmented:
    reader: _Reader
    augmentation: Augmentation

    def __call__(self, index: int, rng: np.random.Generator) -> _Record:
        record = self.reader.read(
            index, lambda width, height: [self.augmentation.draw(rng, width, height)]
        )
        image = None if record.image is None else record.image[0]
        return record._replace(image=image)


@dataclass(frozen=True)
class _Seen:
    reader: _Reader
    evaluation: Evaluation

    def __call__(self, index: int) -> _Record:
        return self.reader.read(index, self.evaluation.views)


def _stack(batch: int, shape: tuple[int, ...]):
    return functools.partial(_stacked, batch=batch, shape=shape)


def _stacked(records: list[_Record], batch: int, shape: tuple[int, ...]):
    """(images, labels, weights, failures) of `batch` places, weight 0 where none."""
    found = [record.image.shape for record in records if record.image is not None]
    images = np.zeros((batch, *(found[0] if found else shape)), np.uint8)
    labels, weights = np.zeros(batch, np.int32), np.zeros(batch, np.float32)
    for place, record in enumerate(records):
        labels[place] = record.label
        if record.image is not None:
            images[place], weights[place] = record.image, 1
    good, empty = np.flatnonzero(weights), np.flatnonzero(weights == 0)
    if good.size:
        images[empty] = images[np.resize(good, empty.size)]
    failures = [(each.path, each.reason) for each in records if each.image is None]
    return images, labels, weights, failures


def _batches(
    data: Any,
    workers: int,
    batch: int,
    shape: tuple[int, ...],
    failures: dict[str, str],
) -> Generator[Batch, None, None]:
    running = run(data, workers, batch * math.prod(shape))
    try:
        for images, labels, weights, failed in running:
            failures.update(failed)
            yield images, labels, weights
    finally:
        running.close()


def _check(examples: Pictures, batch: int) -> None:
    if batch < 1:
        raise InputError(f"batch: {batch}; expected at least 1")
    if examples.size < 1:
        raise InputError("examples: none; expected at least one picture")
    if isinstance(examples, Dataset):
        array = examples.inputs[0]
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
            raise InputError(
                f"examples: {array.dtype} {list(array.shape)}; expected uint8 "
                "[N, H, W, 3]"
            )
