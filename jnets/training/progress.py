"""What a person sees while training: a bar on a terminal, plain lines elsewhere."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


class ProgressBar:
    """Counts updates; everything goes to standard error.

    Standard output is left to results, so that it can be piped.
    """

    def __init__(self, total: int, *, done: int = 0):
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(
            "compiling", total=total, completed=done, figures=""
        )

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def advance(self, updates: int, epoch: int, loss: float) -> None:
        """Count updates just done and show the running loss of the epoch."""
        self._bar.update(
            self._task,
            advance=updates,
            description=f"epoch {epoch}",
            figures=f"loss {loss:.4f}",
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False)
