"""One library's process, which computes one case whenever it is asked.

    python -m benchmarks.recurrent_worker LIBRARY CASE FOLDER

`benchmarks.recurrence` starts it, with the case in JSON. It compiles the programs,
checks that they compute what jnets does and answers with what it found; then for every
line of [program, kind, seconds] with the seconds of a call. jnets' process, the first,
leaves its numbers in the folder.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.recurrent_case import Case, Problem, problem
from benchmarks.recurrent_peers import LIBRARIES, Program

Calls = dict[str, Callable[[], Any]]
# The largest difference of h to the largest h. Of dE/dx, of norms: where a relu is next
# to its kink, rounding decides on a whole term. Products on a GPU take float32 as TF32,
# of 10 bits, by some libraries' default.
TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 5e-2}
PRODUCT = {"cpu": 2048, "gpu": 8192}  # rows and columns
MOST_CALLS = 1000  # in a turn


def compiled(program: Program, given: Problem) -> tuple[Calls, dict[str, Any]]:
    """Calls of "forward", h, and "both", (dE/dweights, dE/dx); and what compiling told.

    The calls block until the result is there.
    """
    arrays = given.x, given.factor
    if not program.time_major:
        arrays = tuple(a.swapaxes(0, 1) for a in arrays)
    params, x, factor = jax.tree.map(jnp.asarray, (program.params, *arrays))

    def both(params, x, factor):
        hs, pull = jax.vjp(program.apply, params, x)
        return pull(factor.astype(hs.dtype))

    jobs = {"forward": (program.apply, params, x), "both": (both, params, x, factor)}
    calls, seconds, temp = {}, {}, {}
    for kind, (function, *arguments) in jobs.items():
        started = time.perf_counter()
        found = jax.jit(function).lower(*arguments).compile()
        seconds[kind] = round(time.perf_counter() - started, 2)
        plan = found.memory_analysis()
        assert plan, "XLA gives no memory plan"
        temp[kind] = round(plan.temp_size_in_bytes / 2**20, 2)
        calls[kind] = partial(_blocking, found, *arguments)
    return calls, {"compile_seconds": seconds, "temp_mib": temp}


def _blocking(function, *arguments):
    return jax.block_until_ready(function(*arguments))


def product(case: Case) -> tuple[Callable[[], Any], float]:
    """One large product, and its 10^9 operations."""
    n = PRODUCT["cpu" if jax.default_backend() == "cpu" else "gpu"]
    a = jnp.asarray(np.random.default_rng(0).standard_normal((n, n)), case.dtype)
    return partial(_blocking, jax.jit(jnp.matmul), a, a), 2 * n**3 / 1e9


def programs(case: Case, name: str, path: Path):
    """Calls and facts of every program of a library on JAX; the gflop of its product.

    The programs are checked first.
    """
    given, calls, facts = problem(case), {}, {}
    jax.jit(jnp.tanh).lower(given.x).compile()  # the compiler's own start is not ours
    exact = jax.default_backend() == "cpu"
    make = LIBRARIES[name].programs
    assert make is not None
    for label, program in make(case, given.weights).items():
        calls[label], found = compiled(program, given)
        found["layout"] = "[T, B]" if program.time_major else "[B, T]"
        arrays = calls[label]["forward"](), calls[label]["both"]()[-1]
        h, d_x = (np.asarray(a.astype(jnp.float32)) for a in arrays)
        if not program.time_major:
            h, d_x = h.swapaxes(0, 1), d_x.swapaxes(0, 1)
        found["apart"] = check(case, {"h": h, "d_x": d_x}, path, exact)
        facts[label] = found
    peak, gflop = product(case)
    return calls | {"product": {"peak": peak}}, facts, gflop


def check(
    case: Case, found: dict[str, np.ndarray], path: Path, exact: bool
) -> dict[str, float]:
    """Differences of h and dE/dx to those at `path`; written there by the first.

    Errors: AssertionError if one is too large.
    """
    if not path.exists():
        np.savez(path, **found)  # pyright: ignore[reportArgumentType]
    limit = TOLERANCES["tf32" if case.dtype == "float32" and not exact else case.dtype]
    with np.load(path) as expected:
        for name, value in found.items():
            shapes = value.shape, expected[name].shape
            assert shapes[0] == shapes[1], f"{name} is {shapes[0]}, jnets' {shapes[1]}"
        away = {name: value - expected[name] for name, value in found.items()}
        h = np.abs(away["h"]).max() / np.abs(expected["h"]).max()
        d_x = np.linalg.norm(away["d_x"]) / np.linalg.norm(expected["d_x"])
    apart = {"h": float(f"{h:.1e}"), "d_x": float(f"{d_x:.1e}")}
    for name, value in apart.items():
        assert value <= limit, f"{name} is {value} from jnets', over {limit}: {case}"
    return apart


def seconds_of(call: Callable[[], object], least: float) -> float:
    """Mean seconds of as many calls as fill `least`, after one that wakes things up."""
    started = time.perf_counter()
    call()
    count = int(least / (time.perf_counter() - started))
    count = min(max(1, count), MOST_CALLS)
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def main() -> None:
    name, case, folder = sys.argv[1:]
    case, path = Case(**json.loads(case)), Path(folder) / "jnets.npz"
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    jax.config.update("jax_enable_compilation_cache", False)
    if name == "torch":
        from benchmarks import torch_recurrence

        found = torch_recurrence.programs(case, path)
    else:
        found = programs(case, name, path)
    calls, facts, gflop = found
    version = timing.versions(LIBRARIES[name].package)
    first = {"programs": facts, "product_gflop": gflop, "versions": version}
    if name == "jnets":
        first["machine"] = timing.machine("jaxlib")
    print(json.dumps(first), file=answers, flush=True)
    for line in sys.stdin:
        label, kind, least = json.loads(line)
        answer = seconds_of(calls[label][kind], least)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
