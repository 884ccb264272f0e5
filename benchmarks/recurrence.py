"""Milliseconds of one recurrent layer, forward and with its gradient, beside peers.

    python -m benchmarks.recurrence           LSTM, GRU and Elman, every shape and peer
    python -m benchmarks.recurrence --cells lstm --shapes 100,32,128,128
    python -m benchmarks.recurrence --dtype bfloat16 --peers flax torch

A shape is T,B,I,H: steps, batch, inputs, hidden units. "forward" is h of all steps,
"both" the gradient of sum(factor h), with a fixed random factor, with respect to all
weights and x. Each library has a process of its own, which stays alive; the programs
take turns, so that what else the machine does falls on all alike. A turn is as many
calls as fill --seconds, and its figure their mean. All start from the same weights and
must give the same numbers, or the run stops. Libraries that are not installed are left
out, and said to be.

"jnets" is the layer, `jnets.layers.LSTM` and so on, "jnets bptt" what is inside of it
with each save policy. The floor is the products' operations at the rate of one large
product, the fastest that XLA or PyTorch did in the same turns.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks import timing
from benchmarks.recurrent_case import CELLS, Case, gflop, mib
from benchmarks.recurrent_peers import LIBRARIES

SHAPES = (
    (100, 32, 128, 128),
    (35, 20, 200, 200),
    (100, 32, 512, 512),
    (200, 128, 512, 512),
    (100, 1, 64, 128),
    (1000, 16, 128, 128),
)
DEFAULT_CELLS = ("lstm", "gru", "rnn")
PEERS = tuple(name for name in LIBRARIES if name != "jnets")
KINDS = ("forward", "both")
KEYS = ("cell", "steps", "batch", "inputs", "hidden", "dtype")


class Worker:
    """A library's process; `facts` are its first answer."""

    def __init__(self, stack: ExitStack, name: str, case: Case, folder: str):
        command = [sys.executable, "-m", "benchmarks.recurrent_worker", name]
        command += [json.dumps(case._asdict()), folder]
        own = {"KERAS_HOME": folder, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        pipe = subprocess.PIPE
        self._process = stack.enter_context(  # its end closes stdin, which ends it
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, text=True, env=os.environ | own
            )
        )
        self._name = name
        self.facts = self._answer()

    def seconds(self, program: str, kind: str, least: float) -> float:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([program, kind, least]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._name}'s process ended without an answer; see above")
        return json.loads(line)


def chosen(case: Case, peers: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """jnets and the peers that can run the case, and why the others cannot."""
    left_out = {}
    for name in peers:
        if not importlib.util.find_spec(name):
            left_out[name] = "not installed"
        elif case.cell not in LIBRARIES[name].cells:
            left_out[name] = f"no {case.cell}"
    return ["jnets", *(name for name in peers if name not in left_out)], left_out


def measure(
    case: Case, peers: Sequence[str], rounds: int, least: float
) -> list[dict[str, Any]]:
    """A row per program, of jnets' layer first."""
    names, left_out = chosen(case, peers)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        workers = {name: Worker(stack, name, case, folder) for name in names}
        seconds = in_turns(workers, rounds, least)
    row = workers["jnets"].facts["machine"] | case._asdict() | {"left_out": left_out}
    peak = max(
        workers[name].facts["product_gflop"] / min(seconds[name, "product", "peak"])
        for name in names
        if (name, "product", "peak") in seconds
    )
    floor = {kind: round(1000 * n / peak, 3) for kind, n in gflop(case).items()}
    counts = {"gflop": _rounded(gflop(case), 4), "mib_moved": _rounded(mib(case), 2)}
    row |= counts | {"peak_gflops": round(peak), "floor_ms": floor}
    rows = []
    for name, worker in workers.items():
        for program, facts in worker.facts["programs"].items():
            ms = {kind: spread(seconds[name, program, kind]) for kind in KINDS}
            found = {"library": name, "program": program, "ms": ms}
            rows.append(row | worker.facts["versions"] | found | facts)
    for row in rows:
        row["jnets_ratio"] = {k: ratio(row, rows[0], k) for k in KINDS}
    return rows


def in_turns(
    workers: dict[str, Worker], rounds: int, least: float
) -> dict[tuple[str, str, str], list[float]]:
    """Seconds by library, program and kind; all programs of a kind, then the next.

    XLA's large product is jnets' process's to do, not every library's.
    """
    turns = [(n, "product", "peak") for n in ("jnets", "torch") if n in workers]
    for kind in KINDS:
        for name, worker in workers.items():
            turns += [(name, program, kind) for program in worker.facts["programs"]]
    seconds = {turn: [] for turn in turns}
    for _ in range(rounds):
        for name, program, kind in turns:
            taken = workers[name].seconds(program, kind, least)
            seconds[name, program, kind].append(taken)
    return seconds


def spread(seconds: list[float]) -> dict[str, Any]:
    """Milliseconds."""
    found = {"median": statistics.median, "fastest": min, "slowest": max}
    ms = {name: round(1000 * of(seconds), 4) for name, of in found.items()}
    return ms | {"runs": len(seconds)}


def ratio(theirs: dict, ours: dict, kind: str) -> float:
    """How many times faster ours is."""
    return round(theirs["ms"][kind]["median"] / ours["ms"][kind]["median"], 2)


def _rounded(values: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in values.items()}


def show(row: dict[str, Any]) -> str:
    shown = []
    for kind, ms in row["ms"].items():
        limits = f"{ms['fastest']:,.2f} to {ms['slowest']:,.2f}"
        times = f"{row['jnets_ratio'][kind]:.2f} times jnets'"
        shown.append(f"{kind} {ms['median']:,.2f} ms ({limits}; {times})")
    if "temp_mib" in row:
        shown.append(f"{row['temp_mib']['both']:,.1f} MiB")
        shown.append(f"compiled in {row['compile_seconds']['both']:.1f} s")
    return f"  {row['program']} {row['layout']}: {', '.join(shown)}"


def heading(row: dict[str, Any]) -> str:
    shape = ", ".join(str(row[k]) for k in ("steps", "batch", "inputs", "hidden"))
    floors = ", ".join(f"{kind} {ms:,.2f}" for kind, ms in row["floor_ms"].items())
    missing = "".join(f"; {n}: {why}" for n, why in row["left_out"].items())
    return (
        f"{row['cell']}, {shape}, {row['dtype']}: at {row['peak_gflops']:,} GFLOP/s "
        f"at least {floors} ms{missing}"
    )


def shape(text: str) -> tuple[int, int, int, int]:
    try:
        steps, batch, inputs, hidden = map(int, text.split(","))
        assert min(steps, batch, inputs, hidden) > 0
    except (ValueError, AssertionError):
        raise argparse.ArgumentTypeError(
            f"{text}: expected four numbers, steps,batch,inputs,hidden"
        ) from None
    return steps, batch, inputs, hidden


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=DEFAULT_CELLS)
    parser.add_argument("--shapes", nargs="+", type=shape, default=SHAPES)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--threads", type=int, help="default: every core")
    options = parser.parse_args()
    # Before a process starts: each library has as many threads as there are cores.
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)
    for cell in options.cells:
        for sizes in options.shapes:
            case = Case(cell, *sizes, dtype=options.dtype)
            rows = measure(case, options.peers, options.rounds, options.seconds)
            print("\n".join([heading(rows[0]), *map(show, rows)]), flush=True)
            timing.write("recurrence", rows, also=KEYS)


if __name__ == "__main__":
    main()
