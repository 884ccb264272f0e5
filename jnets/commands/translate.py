"""The command `translate`: lines in, what a trained run makes of each of them out."""

import argparse
import sys
from itertools import islice
from pathlib import Path

from rich.console import Console

from jnets.errors import InputError
from jnets.runs import load
from jnets.systems.text_to_text import ALPHA, BEAM, TextSpec, translate

LINES = 512  # read before any is written: they are sorted by length


def add_translate(commands) -> None:
    command = commands.add_parser(
        "translate", help="translate (or sum up) the lines of standard input"
    )
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument(
        "--beam", type=int, default=BEAM, help=f"hypotheses kept; 1 is greedy ({BEAM})"
    )
    command.add_argument(
        "--alpha",
        type=float,
        default=ALPHA,
        help=f"of length normalisation; 0 is none ({ALPHA})",
    )
    command.set_defaults(run=_translate)


def _translate(arguments: argparse.Namespace, console: Console) -> None:
    del console  # it would fold long lines
    for name, low in (("beam", 1), ("alpha", 0)):
        if not low <= getattr(arguments, name) < float("inf"):
            raise InputError(
                f"--{name}={getattr(arguments, name)} is not usable; expected at least "
                f"{low}"
            )
    model, variables, encode = load(arguments.run_dir)
    if not isinstance(encode.spec, TextSpec):
        raise InputError(
            f"run directory {arguments.run_dir} is of no translator; expected one of "
            f"experiments.translator or experiments.summariser"
        )
    how = {"beam": arguments.beam, "alpha": arguments.alpha}
    while lines := [line.strip() for line in islice(sys.stdin, LINES)]:
        for text in translate(model, variables, encode.spec, lines, **how):
            print(text, flush=True)
