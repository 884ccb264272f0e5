"""The `jnets` command. It looks at models and runs; it never trains."""

import argparse
import sys

from rich.console import Console

import jnets
from jnets.commands.evaluate import add_evaluate
from jnets.commands.export import add_export
from jnets.commands.look import add_doctor, add_list, add_summary
from jnets.commands.predict import add_predict
from jnets.commands.sample import add_sample
from jnets.commands.translate import add_translate
from jnets.errors import InputError

COMMANDS = (
    add_list,
    add_summary,
    add_predict,
    add_sample,
    add_translate,
    add_evaluate,
    add_export,
    add_doctor,
)


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
    for add in COMMANDS:
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
