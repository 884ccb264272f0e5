"""The figures of finished runs, kept as rows and shown as the table of README.md here.

    python -m experiments.results RUN...     keep the figures of finished runs
    python -m experiments.results --check    exit 1 if the table is not that of the rows

A run takes the place of an earlier one of the same experiment, options, seed, cores and
jax. Runs that differ in their seed alone are one line of the table: the mean, and the
figure of each.
"""

import argparse
import dataclasses
import importlib
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jnets.errors import InputError
from jnets.runs import Run, write_whole

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "results.jsonl", HERE / "README.md"
MARK = "<!-- results -->"
SAME = ("experiment", "options", "on")  # in which the runs of a line agree

Row = dict[str, Any]


def row(directory: Path) -> Row:
    """Errors: InputError for a run that is not finished."""
    described = Run.open(directory).description
    try:
        done = json.loads((directory / "result.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"run directory {directory} has no result.json; expected one of a run that "
            f"came to its end"
        ) from None
    options = chosen(described.experiment, described.config)
    seed = options.pop("seed", 0)
    return {"experiment": described.experiment, "options": options, "seed": seed} | done


def chosen(experiment: str, config: dict[str, Any]) -> dict[str, Any]:
    """What differs from the experiment's defaults; of a path its name alone."""
    default = importlib.import_module(f"experiments.{experiment}").Config()
    options = {}
    for field in dataclasses.fields(default):
        value, usual = config.get(field.name), getattr(default, field.name)
        if isinstance(value, str) and "Path" in str(field.type):
            value = Path(value).name
        if value is not None and value != json.loads(json.dumps(usual, default=str)):
            options[field.name] = value
    return options


def keep(found: Sequence[Row]) -> None:
    """Put rows among those that are kept, in the order of their experiments."""
    keys = ("experiment", "options", "seed")
    machine = ("device", "cores", "jax")

    def key(row: Row) -> str:
        on = {name: row["on"][name] for name in machine}
        return json.dumps([*(row[k] for k in keys), on])

    every = {key(row): row for row in [*rows(), *found]}
    lines = (json.dumps(every[k]) + "\n" for k in sorted(every))
    write_whole(ROWS, "".join(lines))


def rows() -> list[Row]:
    if not ROWS.exists():
        return []
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def table(rows: Sequence[Row]) -> str:
    """A line per command and machine."""
    lines = ["| command `python -m experiments.` | result | on |", "|---|---|---|"]
    groups: dict[str, list[Row]] = {}
    for each in rows:
        groups.setdefault(json.dumps([each[k] for k in SAME]), []).append(each)
    for group in groups.values():
        flags = map(_shown, group[0]["options"].items())
        command = " ".join([group[0]["experiment"], *flags])
        on = group[0]["on"]
        cores = f"{on['cores']} core{'s' * (on['cores'] > 1)}"
        stack = f"{on['device']}, {cores}, jax {on['jax']}"
        seeds = ", ".join(str(each["seed"]) for each in group)
        stack += f"; seed{'s' * (len(group) > 1)} {seeds}"
        cells = (f"`{command}`", _figures(group), stack)
        shown = (cell.replace("|", r"\|") for cell in cells)  # as in a BLEU signature
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def _figures(group: Sequence[Row]) -> str:
    found = []
    for name in group[0]["result"]:
        values = [each["result"][name] for each in group]
        if isinstance(values[0], str):
            found.append(f"{name} {', '.join(dict.fromkeys(values))}")
            continue
        mean = _number(statistics.mean(values))
        each = f" ({', '.join(map(_number, values))})" if len(values) > 1 else ""
        found.append(f"{name} {mean}{each}")
    return "; ".join(found)


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"


def _shown(option: tuple[str, Any]) -> str:
    name, value = option
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {value}"


def filled(page: str) -> str:
    """The page with the table of the rows after its mark."""
    before, _, _ = page.partition(MARK)
    return f"{before}{MARK}\n{table(rows())}\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = PAGE.read_text("utf-8")
    if options.check:
        return int(filled(page) != page)
    try:
        found = [row(directory) for directory in options.runs]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if found:
        keep(found)
    write_whole(PAGE, filled(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
