"""The command `predict`: what a trained run makes of new inputs."""

import argparse
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from jnets.errors import InputError
from jnets.runs import Loaded, load, probabilities
from jnets.systems.table import SYSTEMS, kind_of


def add_predict(commands) -> None:
    command = commands.add_parser(
        "predict", help="what a trained run makes of new inputs"
    )
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="+",
        help="a picture, a folder of five, an image of a digit, a name or a text: as "
        "the run takes",
    )
    command.add_argument("--top", type=int, default=3, help="classes to print (3)")
    command.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace, console: Console) -> None:
    if arguments.top < 1:
        raise InputError(f"--top={arguments.top} is not usable; expected at least 1")
    loaded = load(arguments.run_dir)
    system = SYSTEMS.get(kind_of(loaded.encode.spec) or "")
    # All inputs are read before anything is printed: a bad one leaves no half table.
    if system is None or system.answers is None:
        console.print(_classes(loaded, arguments.inputs, arguments.top))
        return
    model, variables, encode = loaded
    answers = system.answers(model, variables, encode.spec, arguments.inputs)
    table = _table("input", "answer")
    for given, answer in zip(arguments.inputs, answers, strict=True):
        table.add_row(Text(given), Text(answer))
    console.print(table)


def _classes(loaded: Loaded, inputs: list[str], top: int) -> Table:
    apply = jax.jit(loaded.model.apply)
    table = _table("input", "class", "likeliest classes")
    for given in inputs:
        ranked = probabilities(loaded, apply, given)
        shown = "  ".join(f"{name} {p:.3f}" for name, p in ranked[:top])
        table.add_row(*map(Text, (given, ranked[0][0], shown)))  # no markup in names
    return table


def _table(*titles: str) -> Table:
    return Table(*(Column(title, overflow="fold") for title in titles))
