"""Timing that can be trusted on a machine that is not alone: ratios in one run."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from jnets import doctor

RESULTS = Path(__file__).parent / "results"


class Run(NamedTuple):
    """A model at work, whoever runs it."""

    model: str
    batch: int
    size: int
    dtype: str = "float32"
    steps: int = 1  # in one timed call


class Program(NamedTuple):
    """`train` and `infer` do a run's steps and block until they are done."""

    train: Callable[[], object]
    infer: Callable[[], object]
    parameters: int


def alternate(
    cases: Mapping[str, Callable[[], object]], *, rounds: int
) -> dict[str, list[float]]:
    """Seconds of every case, `rounds` times, the cases taking turns.

    Taking turns lets noise fall on all of them alike. Each case is called once before
    the clock starts, which compiles it, and must block until its result is there.
    """
    for case in cases.values():
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            started = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def rates(count: int, seconds: list[float]) -> dict[str, float]:
    """Median, slowest and fastest of `count` things per second."""
    return {
        "median": round(count / statistics.median(seconds), 1),
        "slowest": round(count / max(seconds), 1),
        "fastest": round(count / min(seconds), 1),
        "runs": len(seconds),
    }


def machine(*packages: str) -> dict[str, Any]:
    """What a figure was measured on."""
    return doctor.machine() | versions("jax", *packages)


def versions(*packages: str) -> dict[str, str]:
    return {name: metadata.version(name) for name in packages}


def write(name: str, rows: list[dict[str, Any]], *, also: tuple[str, ...] = ()) -> Path:
    """Replace rows of results/<name>.jsonl: those of this device, cores and jax.

    `also` are more fields that must agree for a row to be replaced.
    """
    path = RESULTS / f"{name}.jsonl"
    old = (
        [json.loads(line) for line in path.read_text().splitlines()]
        if path.exists()
        else []
    )
    keys = ("device", "cores", "jax", *also)
    new = {tuple(row[k] for k in keys) for row in rows}
    kept = [row for row in old if tuple(row[k] for k in keys) not in new]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept + rows))
    return path


def rows(name: str) -> list[dict[str, Any]]:
    """What `write` wrote under that name."""
    path = RESULTS / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]
