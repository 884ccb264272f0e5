"""Which data an experiment reads: a directory, a download, or the embedded default."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from jnets.data import digits, mnist, names, tutorial_names
from jnets.data.dataset import Dataset
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
