"""The `jnets` command. It looks at models and runs; it never trains."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

import jnets
from jnets import doctor
from jnets.data import image_folder
from jnets.data.crops import Evaluation
from jnets.errors import InputError
from jnets.evaluation import CROPS, Ensemble, Score, evaluate
from jnets.inspect import printed_table, summarize, to_table
from jnets.models import MODELS, create, entry, example_inputs, parameter_count
from jnets.models.lenet import LeNet, LeNet1998
from jnets.ops.colour import PIXELS
from jnets.runs import load, probabilities


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other mistake is told."""

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on standard error, status 2.

    Status 130 when interrupted.
    """
    # A table keeps its shape when piped: 80 columns unless a terminal is wider.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 80)
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "jnets", description="Look at the models of jnets, and use trained ones."
    )
    parser.add_argument("--version", action="version", version=jnets.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_list, _add_summary, _add_predict, _add_evaluate, _add_doctor):
        add(commands)
    return parser


def _add_list(commands) -> None:
    command = commands.add_parser("list", help="the models, one line each")
    command.set_defaults(run=_list)


def _add_summary(commands) -> None:
    command = commands.add_parser("summary", help="a model, layer by layer")
    command.add_argument("model", metavar="MODEL", help="a name that `list` prints")
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--depth", type=int, help="one row for all layers alike in so many names"
    )
    form.add_argument(
        "--table", action="store_true", help="the paper's own table, and how it is off"
    )
    command.set_defaults(run=_summary)


def _add_predict(commands) -> None:
    command = commands.add_parser("predict", help="class probabilities of new inputs")
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument(
        "inputs",
        metavar="FILE",
        nargs="+",
        help="a picture, an image of a digit, or a name: what the run was trained on",
    )
    command.add_argument("--top", type=int, default=3, help="classes to print (3)")
    command.set_defaults(run=_predict)


def _add_evaluate(commands) -> None:
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


def _add_doctor(commands) -> None:
    command = commands.add_parser("doctor", help="versions, devices, settings")
    command.set_defaults(run=_doctor)


def _list(arguments: argparse.Namespace, console: Console) -> None:
    del arguments
    # Line by line: to count the parameters of all takes seconds.
    width = max(map(len, MODELS))
    console.print(f"{'model':<{width}}{'parameters':>13}  about")
    for name, row in MODELS.items():
        count = f"{parameter_count(name):,}"
        console.print(f"{name:<{width}}{count:>13}  {row.summary}", markup=False)


def _summary(arguments: argparse.Namespace, console: Console) -> None:
    model = create(arguments.model)
    if arguments.table:
        console.print(printed_table(arguments.model))
        return
    summary = summarize(model, *example_inputs(arguments.model))
    if arguments.depth is not None:
        summary = summary.grouped(arguments.depth)
    lecun = isinstance(model, LeNet | LeNet1998)
    console.print(to_table(arguments.model, summary, connections=lecun))


def _predict(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.top < 1:
        raise InputError(f"--top={arguments.top} is not usable; expected at least 1")
    loaded = load(arguments.run_dir)
    apply = jax.jit(loaded.model.apply)
    # All inputs are read before anything is printed: a bad one leaves no half table.
    rows = [(text, probabilities(loaded, apply, text)) for text in arguments.inputs]
    titles = ("input", "class", "likeliest classes")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for text, ranked in rows:
        shown = "  ".join(f"{name} {p:.3f}" for name, p in ranked[: arguments.top])
        table.add_row(*map(Text, (text, ranked[0][0], shown)))  # no markup in names
    console.print(table)


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


def _doctor(arguments: argparse.Namespace, console: Console) -> None:
    del arguments
    for name, value in doctor.report():
        console.print(f"{name:<32}{value}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
