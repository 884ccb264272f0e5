"""The command `sample`: text that a trained language model writes."""

import argparse
from pathlib import Path

from rich.console import Console

from jnets.errors import InputError
from jnets.runs import load
from jnets.systems.language_model import LanguageSpec, sample


def add_sample(commands) -> None:
    command = commands.add_parser(
        "sample", help="text that a trained language model writes"
    )
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument(
        "--prime", default="", help="text to go on from, the beginning of a line"
    )
    command.add_argument(
        "--temperature",
        type=float,
        default=0.7,
        help="1: as the model has it; lower: what is likely; 0: the likeliest (0.7)",
    )
    command.add_argument(
        "--length", type=int, default=400, help="characters, or words, to write (400)"
    )
    command.add_argument("--seed", type=int, default=0, help="another text (0)")
    command.set_defaults(run=_sample)


def _sample(arguments: argparse.Namespace, console: Console) -> None:
    del console  # it would wrap lines
    a = arguments
    if not 0 <= a.seed < 2**32:
        raise InputError(f"--seed={a.seed} is not usable; expected 0 to {2**32 - 1}")
    model, variables, encode = load(a.run_dir)
    if not isinstance(encode.spec, LanguageSpec):
        raise InputError(f"{a.run_dir} is not the run of a language model")
    how = {"length": a.length, "temperature": a.temperature, "seed": a.seed}
    print(sample(model, variables, encode.spec, a.prime, **how))
