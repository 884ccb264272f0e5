"""The `jnets` command. It looks at models and runs; it never trains."""

import argparse
import sys
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table
from rich.text import Text

import jnets
from jnets import doctor
from jnets.errors import InputError
from jnets.inspect import summarize, to_table
from jnets.models import MODELS, create, example_inputs, parameter_count
from jnets.runs import load, probabilities


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other mistake is told."""

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on standard error, status 2."""
    # A table keeps its shape when piped: 80 columns unless a terminal is wider.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 80)
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments, console)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        sys.stderr.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "jnets", description="Look at the models of jnets, and use trained ones."
    )
    parser.add_argument("--version", action="version", version=jnets.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("list", help="the models, one line each")
    command.set_defaults(run=_list)

    command = commands.add_parser("summary", help="a model, layer by layer")
    command.add_argument("model", metavar="MODEL", help="a name that `list` prints")
    command.set_defaults(run=_summary)

    command = commands.add_parser("predict", help="class probabilities of new inputs")
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument(
        "inputs",
        metavar="FILE",
        nargs="+",
        help="an image of a digit, or a name for a classifier of names",
    )
    command.add_argument("--top", type=int, default=3, help="classes to print (3)")
    command.set_defaults(run=_predict)

    command = commands.add_parser("doctor", help="versions, devices, settings")
    command.set_defaults(run=_doctor)
    return parser


def _list(arguments: argparse.Namespace, console: Console) -> None:
    del arguments
    table = Table()
    for title in ("model", "parameters", "about"):
        table.add_column(title, justify="right" if title == "parameters" else "left")
    for name, row in MODELS.items():
        table.add_row(name, f"{parameter_count(name):,}", row.summary)
    console.print(table)


def _summary(arguments: argparse.Namespace, console: Console) -> None:
    model = create(arguments.model)
    summary = summarize(model, *example_inputs(arguments.model))
    console.print(to_table(arguments.model, summary))


def _predict(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.top < 1:
        raise InputError(f"--top={arguments.top} is not usable; expected at least 1")
    loaded = load(arguments.run_dir)
    apply = jax.jit(loaded.model.apply)
    # All inputs are read before anything is printed: a bad one leaves no half table.
    rows = [(text, probabilities(loaded, apply, text)) for text in arguments.inputs]
    table = Table("input", "class", "likeliest classes")
    for text, ranked in rows:
        shown = "  ".join(f"{name} {p:.3f}" for name, p in ranked[: arguments.top])
        table.add_row(*map(Text, (text, ranked[0][0], shown)))  # no markup in names
    console.print(table)


def _doctor(arguments: argparse.Namespace, console: Console) -> None:
    del arguments
    for name, value in doctor.report():
        console.print(f"{name:<32}{value}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
