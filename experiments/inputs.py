"""Which data an experiment reads: a directory, a download, or the embedded default."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from jnets.data import cifar, digits, image_folder, mnist, names, shapes, tutorial_names
from jnets.data.dataset import Dataset
from jnets.data.image_folder import Folder
from jnets.data.images import ImageSpec

DOWNLOADS = Path("data")  # where --fetch puts files when --data-dir says nothing


def handwriting(
    data_dir: Path | None, fetch: bool
) -> tuple[Dataset, Dataset, ImageSpec]:
    """MNIST if a directory or a download is asked for, else scikit-learn's digits."""
    if data_dir is None and not fetch:
        return *digits.load(), digits.DIGITS
    with _download_bar() as progress:
        directory = data_dir or DOWNLOADS / "mnist"
        train, test = mnist.load(directory, fetch=fetch, progress=progress)
    return train, test, mnist.MNIST


def surnames(data_dir: Path | None, fetch: bool) -> Dataset:
    """A folder of names, the tutorial's names if asked for, else the package's."""
    if data_dir is None and not fetch:
        return names.shipped()
    directory = data_dir or DOWNLOADS / "names"
    if fetch:
        with _download_bar() as progress:
            tutorial_names.download(directory, progress=progress)
    return names.read_folder(directory)


def pictures(data_dir: Path | None, val_fraction: float, seed: int) -> Folder:
    """A folder of pictures if one is given, else one of shapes, drawn once and kept."""
    if data_dir is None:
        data_dir = DOWNLOADS / "shapes"
        if not data_dir.exists():
            shapes.write_folder(
                data_dir, per_class_train=400, per_class_val=50, side=48, seed=0
            )
    return image_folder.read(data_dir, val_fraction=val_fraction, seed=seed)


def small_pictures(data_dir: Path | None) -> tuple[Dataset, Dataset]:
    """CIFAR if a place is given, else shapes of its size: to train on, to test on."""
    if data_dir is not None:
        return cifar.load(data_dir)
    return shapes.arrays(5000, seed=0), shapes.arrays(1000, seed=1)


@contextmanager
def _download_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first byte; one task, restarted for each file."""
    console = Console(file=sys.stderr)
    bar = Progress(
        TextColumn("downloading"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
