"""The command `evaluate`: top-1 and top-5 accuracy on a folder of pictures."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from jnets.data import image_folder
from jnets.data.crops import Evaluation
from jnets.errors import InputError
from jnets.evaluation import CROPS, Ensemble, Score, evaluate
from jnets.models import entry
from jnets.ops.colour import PIXELS


def add_evaluate(commands) -> None:
    command = commands.add_parser(
        "evaluate", help="top-1 and top-5 accuracy of weights on a folder of pictures"
    )
    command.add_argument("model", metavar="MODEL", help="a name that `list` prints")
    command.add_argument(
        "--weights",
        metavar="FILE",
        nargs="+",
        type=Path,
        required=True,
        help="torchvision's or timm's .pth or .safetensors, or a run; several are an "
        "ensemble",
    )
    command.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder with val/ in it, or of class folders",
    )
    _add_views(command)
    command.add_argument(
        "--batch", type=_count, help="pictures at once (as many as make 64 crops)"
    )
    command.add_argument(
        "--workers", type=int, default=0, help="processes that read (0: threads)"
    )
    command.add_argument(
        "--strict", action="store_true", help="stop at an unreadable picture"
    )
    command.set_defaults(run=_evaluate)


def _add_views(command) -> None:
    """How pictures are looked at."""
    command.add_argument(
        "--crops",
        choices=CROPS,
        default="1",
        help="1: centre; 10: corners and centre, mirrored; 144: GoogLeNet's; dense: "
        "whole pictures, one by one, every new shape compiled (1)",
    )
    command.add_argument(
        "--size", type=_count, help="side of a crop (the run's, or the model's usual)"
    )
    command.add_argument(
        "--shorter",
        metavar="PIXELS",
        type=_count,
        nargs="+",
        help="shorter side before cropping, several are averaged (the run's, "
        "or size * 256 / 224)",
    )
    command.add_argument(
        "--pixels",
        choices=PIXELS,
        help="colours of the weights (the run's, or the usual)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _evaluate(arguments: argparse.Namespace, console: Console) -> None:
    a = arguments
    examples = image_folder.read_for_evaluation(a.data)
    ensemble = Ensemble(a.model, a.weights, dense=a.crops == "dense", pixels=a.pixels)
    evaluations = _evaluations(a, ensemble)
    with _picture_bar() as progress:
        score = evaluate(
            ensemble,
            examples,
            evaluations,
            batch=_batch(evaluations[0]) if a.batch is None else a.batch,
            workers=a.workers,
            strict=a.strict,
            progress=progress,
        )
    for path, reason in sorted(score.failures.items()):
        print(f"left out: {path} ({reason})", file=sys.stderr)
    console.print(_score_table(a, [each.shorter for each in evaluations], score))


def _score_table(a: argparse.Namespace, scales: list[int], score: Score) -> Table:
    count, figures = len(a.weights), ("pictures", "top-1", "top-5", "left out")
    table = Table(
        *("crops", "scales"),
        *(Column(title, justify="right") for title in figures),
        title=a.model if count == 1 else f"{count} x {a.model}",
        title_style="",
        title_justify="left",
    )
    table.add_row(
        a.crops,
        "its own" if a.crops == "144" else " ".join(map(str, scales)),
        f"{score.pictures:,}",
        f"{100 * score.top1:.2f} %",
        "" if score.top5 is None else f"{100 * score.top5:.2f} %",
        f"{len(score.failures):,}",
    )
    return table


def _batch(evaluation: Evaluation) -> int:
    """As many pictures as make 64 views."""
    square = evaluation.shorter
    return max(1, 64 // len(tuple(evaluation.views(square, square))))


def _evaluations(a: argparse.Namespace, ensemble: Ensemble) -> list[Evaluation]:
    """As the arguments say; where they do not, as the pictures of a run were seen."""
    if a.crops == "144" and a.shorter:
        raise InputError("--shorter has no meaning for 144 crops, of scales of its own")
    if a.crops == "dense" and a.size is not None:
        raise InputError("--size has no meaning for whole pictures; give --shorter")
    side, shorter = entry(a.model).inputs[0][0][0], None
    if ensemble.spec is not None:
        side, shorter = ensemble.spec.size, ensemble.spec.shorter
    if a.size is not None:
        side, shorter = a.size, None
    scales = a.shorter or [shorter or round(side * 256 / 224)]
    return [Evaluation(CROPS[a.crops], side, each) for each in scales]


@contextmanager
def _picture_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; on standard error."""
    console = Console(file=sys.stderr)
    columns = TextColumn("pictures"), BarColumn(), MofNCompleteColumn()
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
