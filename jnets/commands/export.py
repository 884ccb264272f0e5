"""The command `export`: a trained run as a program that needs no jnets."""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from jnets.errors import InputError
from jnets.interop import stablehlo
from jnets.runs import Run, example_of, load, write_whole
from jnets.systems.table import SYSTEMS, kind_of


def add_export(commands) -> None:
    command = commands.add_parser(
        "export", help="a trained run as a program of StableHLO"
    )
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument("file", metavar="FILE", type=Path, help="what to write")
    command.add_argument(
        "--platforms",
        nargs="+",
        choices=stablehlo.PLATFORMS,
        default=["cpu"],
        help="where it can run (cpu)",
    )
    command.set_defaults(run=_export)


def _export(arguments: argparse.Namespace, console: Console) -> None:
    model, variables, encode = load(arguments.run_dir)
    example = example_of(Run.open(arguments.run_dir).description)
    system = SYSTEMS.get(kind_of(encode.spec) or "")
    if system is not None and system.search is not None:
        model, example = system.search(model, encode.spec), example[:-1]
    inputs = [(axes(array), str(array.dtype)) for array in example]
    program = stablehlo.export(model, variables, inputs, platforms=arguments.platforms)
    try:
        write_whole(arguments.file, program)
    except OSError as error:
        raise InputError(
            f"{arguments.file} cannot be written ({error.strerror})"
        ) from None
    shown = "; ".join(f"{dtype} [{shape}]" for shape, dtype in inputs)
    console.print(
        f"{arguments.file}: {len(program):,} bytes for "
        f"{', '.join(arguments.platforms)}; takes {shown}",
        markup=False,
        soft_wrap=True,
    )


def axes(example: np.ndarray) -> str:
    """Which axes are of any size: the batch, and the steps of sequences."""
    sequence = example.ndim == 3 or (example.ndim == 2 and example.dtype.kind == "i")
    letters = ["b", "t"] if sequence else ["b"]
    return ", ".join([*letters, *map(str, example.shape[len(letters) :])])
