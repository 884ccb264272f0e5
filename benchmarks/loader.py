"""Pictures read per second: jnets' stream, Pillow alone, torchvision's loader.

    python -m benchmarks.loader                      512 JPEGs of 500 x 375, made here
    python -m benchmarks.loader --data-dir DIR       a folder of class folders

Each decodes whole files, takes a random resized crop of 224 pixels, mirrors half of
them and hands over batches of uint8, in memory of the main process. Pillow's loop is a
pool that does nothing else, so it says what there is to gain. 0 workers are threads,
one per core, which torchvision does not have. The programs take turns; a turn starts
its workers, takes batches until what was read ahead is used up, and is timed from
there. Files are in the page cache.
"""

import argparse
import contextlib
import importlib.util
import itertools
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import timing
from jnets.data.augmentation import augmentation
from jnets.data.crops import area_crop
from jnets.data.image_folder import Examples, read_for_evaluation
from jnets.data.stream import Stream

PEER = all(map(importlib.util.find_spec, ("torch", "torchvision")))
CORES = len(os.sched_getaffinity(0))
WORKERS = (0, 1, 2, 4)
AHEAD = 4  # batches of each worker that may be ready when a turn begins
KEYS = ("pixels", "pictures", "batch", "size")
Batches = Generator[np.ndarray, None, None]


def ours(examples: Examples, batch: int, size: int, workers: int) -> Batches:
    row = augmentation("torchvision", size)
    stream = Stream(examples, row, batch=batch, seed=0, workers=workers, strict=True)
    with contextlib.closing(stream.batches()) as batches:
        for images, _, _ in batches:
            yield images


def by_pillow(examples: Examples, batch: int, size: int, workers: int) -> Batches:
    """A pool whose task is a batch."""
    rng = np.random.default_rng(0)
    tasks = [
        (rng.choice(examples.paths, batch).tolist(), size, seed)
        for seed in range(64 + AHEAD * (workers or CORES))
    ]
    spawn = multiprocessing.get_context("spawn")  # JAX has threads: no fork
    with spawn.Pool(workers) if workers else ThreadPool(CORES) as pool:
        yield from pool.imap(_seen, tasks)


def _seen(task: tuple[list[str], int, int]) -> np.ndarray:
    """A batch of random resized crops, half of them mirrored: uint8 [B, S, S, 3]."""
    paths, size, seed = task
    rng = np.random.default_rng(seed)
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for place, path in enumerate(paths):
        with Image.open(path) as image:
            view = area_crop(rng, *image.size, size=size)
            part = image.convert("RGB").crop(view.region)
        part = part.resize((size, size), Image.Resampling.BILINEAR)
        if rng.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        images[place] = np.asarray(part)
    return images


def seconds(batches: Batches, workers: int, count: int) -> float:
    """Of `count` batches from the middle of the work."""
    with contextlib.closing(batches):
        for _ in range(AHEAD * (workers or CORES)):
            next(batches)
        started = time.perf_counter()
        for images in itertools.islice(batches, count):
            assert images.dtype == np.uint8 and images.shape[0] > 0
        return time.perf_counter() - started


def measure(
    root: Path, batch: int, size: int, *, rounds: int, count: int = 16
) -> list[dict[str, Any]]:
    """A row per program and number of workers."""
    examples = read_for_evaluation(root)
    sizes = [len(Path(path).read_bytes()) for path in examples.paths]  # now cached
    row = timing.machine("grain", "pillow") | {
        "pixels": _pixels(examples),
        "kib": round(statistics.mean(sizes) / 1024),
        "pictures": examples.size,
        "batch": batch,
        "size": size,
    }
    programs: dict[str, Callable[[int], Batches]] = {
        "jnets": lambda workers: ours(examples, batch, size, workers),
        "Pillow": lambda workers: by_pillow(examples, batch, size, workers),
    }
    if PEER:
        from benchmarks import torch_loader

        row |= timing.versions("torch", "torchvision")
        programs["torchvision"] = lambda n: torch_loader.batches(root, batch, size, n)
    cases = [
        (workers, name)
        for workers in WORKERS
        for name in programs
        if workers or name != "torchvision"
    ]
    found = {case: [] for case in cases}
    for workers, name in itertools.chain.from_iterable([cases] * rounds):
        taken = seconds(programs[name](workers), workers, count)
        found[workers, name].append(taken)
    return [
        row
        | {"program": name, "workers": workers}
        | {"images_per_second": timing.rates(count * batch, found[workers, name])}
        for workers, name in cases
    ]


def _pixels(examples: Examples) -> str:
    """The sizes of the pictures: one, or the median."""
    sizes = []
    for path in examples.paths[:: math.ceil(examples.size / 500)]:
        with Image.open(path) as image:
            sizes.append(image.size)
    width, height = (
        round(statistics.median(side)) for side in zip(*sizes, strict=True)
    )
    return f"{width} x {height}"


def write_pictures(root: Path, count: int, width: int = 500, height: int = 375) -> None:
    """JPEGs of 95 kB, near ImageNet's 110: noise at every scale, two classes."""
    rng = np.random.default_rng(0)
    for index in range(count):
        image = np.zeros((height, width, 3), np.float32)
        for cells, strength in ((3, 50), (12, 30), (48, 15), (160, 10), (500, 12)):
            noise = rng.normal(0, strength, (cells * height // width, cells, 3))
            for channel in range(3):
                plane = Image.fromarray(noise[..., channel].astype(np.float32))
                plane = plane.resize((width, height), Image.Resampling.BICUBIC)
                image[..., channel] += np.asarray(plane)
        path = root / "ab"[index % 2] / f"{index:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = np.clip(image + 128, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=92)


def show(row: dict[str, Any]) -> str:
    rate = row["images_per_second"]
    return (
        f"{row['pixels']}, {row['kib']} KiB; {row['workers']} workers, "
        f"{row['program']}: {rate['median']:,.0f} images/s "
        f"({rate['slowest']:,.0f} to {rate['fastest']:,.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="default: pictures made here")
    parser.add_argument("--pictures", type=int, default=512, help="to make")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        root = options.data_dir or Path(made)
        if options.data_dir is None:
            write_pictures(root, options.pictures)
        rows = measure(root, options.batch, options.size, rounds=options.rounds)
    for row in rows:
        print(show(row), flush=True)
    timing.write("loader", rows, also=KEYS)


if __name__ == "__main__":
    main()
