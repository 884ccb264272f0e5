"""Commands that look at models and at this machine: list, summary, doctor."""

import argparse

from rich.console import Console

from jnets import doctor
from jnets.inspect import printed_table, summarize, to_table
from jnets.models import MODELS, create, example_inputs, parameter_count
from jnets.models.lenet import LeNet, LeNet1998


def add_list(commands) -> None:
    command = commands.add_parser("list", help="the models, one line each")
    command.set_defaults(run=_list)


def add_summary(commands) -> None:
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


def add_doctor(commands) -> None:
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


def _doctor(arguments: argparse.Namespace, console: Console) -> None:
    del arguments
    for name, value in doctor.report():
        console.print(f"{name:<32}{value}", soft_wrap=True, markup=False)
