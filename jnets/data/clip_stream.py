"""Clips of videos for training: where they start and how they are seen, by the seed.

Axes: B clips, T frames, then height, width, channels.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import NamedTuple, TypeAlias

import numpy as np

from jnets.data.crops import View, random_crop
from jnets.data.dataset import permutation, random_bits
from jnets.data.frames import Videos
from jnets.data.pictures import read_views
from jnets.errors import InputError

Batch: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

AHEAD = 2  # batches that are read before they are asked for


class Seen(NamedTuple):
    """How training looks at a clip: `frames` in a row from a random place, the shorter
    side of each resized to `shorter`, and of that a random square of `size`, mirrored
    half of the time with `mirror`; the same square and side for all frames."""

    frames: int
    size: int
    shorter: int
    mirror: bool


class ClipStream:
    """One clip of each video, epoch after epoch; what `fit` calls a feed.

    `batches(first)` yields (x uint8 [B, T, size, size, 3], lengths int32 [B], labels
    int32 [B, T], weights float32 [B]) of update first, first + 1, ... without end. The
    label of a video is that of all its frames, -1 past the end of one that is shorter
    than a clip. Each epoch has an order of its own; places that are left in its last
    batch have weight 0. What is drawn for a video depends on (seed, epoch, video)
    alone. `threads` read frames, a few batches ahead.

    Raises InputError (PictureError) for a frame that cannot be read, and for a video
    whose frames differ in size.
    """

    def __init__(
        self, videos: Videos, seen: Seen, *, batch: int, seed: int, threads: int = 4
    ):
        if seen.size > seen.shorter:
            raise InputError(
                f"size={seen.size} is not usable; expected at most shorter, "
                f"{seen.shorter}"
            )
        self._videos, self._seen = videos, seen
        self._batch, self._seed, self._threads = batch, seed, threads

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch."""
        return -(-self._videos.size // self._batch)

    def examples(self, update: int) -> list[str]:
        """The folders of the videos that an update reads."""
        return [self._videos.folders[i] for i in self._places(update)]

    def batches(self, first: int = 0) -> Generator[Batch, None, None]:
        """The batches of update `first` and all that follow."""
        with ThreadPoolExecutor(self._threads) as pool:
            ahead: deque[list[Future[np.ndarray]]] = deque()
            try:
                for update in count(first):
                    epoch = update // self.per_epoch
                    places = self._places(update)
                    clips = [pool.submit(self._clip, epoch, i) for i in places]
                    ahead.append(clips)
                    if len(ahead) > AHEAD:
                        at = update - AHEAD
                        yield self._stacked(self._places(at), ahead.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _places(self, update: int) -> np.ndarray:
        epoch, at = divmod(update, self.per_epoch)
        order = permutation(self._videos.size, self._seed, 0, epoch)
        return order[at * self._batch : (at + 1) * self._batch]

    def _clip(self, epoch: int, place: int) -> np.ndarray:
        """uint8 [T or less, size, size, 3]."""
        seen, paths = self._seen, self._videos.frames[place]
        bits = random_bits(1, self._seed, 1, epoch, int(place))
        rng = np.random.Generator(np.random.Philox(int(bits[0])))
        start = int(rng.integers(max(len(paths) - seen.frames, 0) + 1))
        chosen: dict[tuple[int, int], View] = {}

        def choose(width: int, height: int) -> tuple[View]:
            shape = width, height
            if shape not in chosen:
                if chosen:
                    raise InputError(
                        f"{self._videos.folders[place]}: frames of {shape} and of "
                        f"{next(iter(chosen))} pixels; expected one size"
                    )
                size, shorter = seen.size, (seen.shorter, seen.shorter)
                view = random_crop(rng, *shape, size=size, shorter=shorter)
                flip = seen.mirror and bool(rng.integers(2))
                chosen[shape] = view._replace(flip=flip)
            return (chosen[shape],)

        part = paths[start : start + seen.frames]
        return np.stack([read_views(path, choose)[0] for path in part])

    def _stacked(self, places: np.ndarray, clips: list[Future[np.ndarray]]) -> Batch:
        seen, size = self._seen, self._batch
        x = np.zeros((size, seen.frames, seen.size, seen.size, 3), np.uint8)
        lengths = np.ones(size, np.int32)
        labels = np.full(x.shape[:2], -1, np.int32)
        weights = np.zeros(size, np.float32)
        for i, (place, future) in enumerate(zip(places, clips, strict=True)):
            clip = future.result()
            x[i, : len(clip)], lengths[i], weights[i] = clip, len(clip), 1
            labels[i, : len(clip)] = self._videos.labels[place]
        return x, lengths, labels, weights
