"""The benchmark of recurrence runs as processes and checks what its peers compute."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import recurrence, recurrent_case, recurrent_worker, tables, timing
from benchmarks.recurrent_case import CELLS, Case
from benchmarks.recurrent_peers import LIBRARIES, blocks

ROOT = Path(__file__).parents[2]
# main, with rows that go elsewhere: nothing else is replaced.
PROGRAM = """
import pathlib, sys
from benchmarks import recurrence, timing
timing.RESULTS = pathlib.Path(sys.argv.pop(1))
recurrence.main()
"""
FLAX = LIBRARIES["flax"].cells
SMALL = (4, 3, 2, 5)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    return tmp_path


def test_a_run_writes_rows_that_the_tables_show(results):
    flags = "--cells lstm --shapes 4,3,2,5 --peers flax --rounds 2 --seconds 0.001"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(results), *flags.split()],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (results / "recurrence.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    saves = [f"jnets bptt, {save}" for save in ("gates", "states", "sqrt")]
    flax = ["flax LSTMCell", "flax OptimizedLSTMCell"]
    assert [row["program"] for row in rows] == ["jnets", *saves, *flax]
    for row in rows:
        assert tuple(row[k] for k in ("steps", "batch", "inputs", "hidden")) == SMALL
        assert max(row["apart"].values()) <= 1e-5
        for kind in ("forward", "both"):
            ms = row["ms"][kind]
            assert 0 < ms["fastest"] <= ms["median"] <= ms["slowest"]
            assert ms["runs"] == 2 and row["compile_seconds"][kind] > 0
            ratio = ms["median"] / rows[0]["ms"][kind]["median"]
            assert row["jnets_ratio"][kind] == pytest.approx(ratio, abs=0.006)
    assert [row.get("flax") is None for row in rows] == [True] * 4 + [False] * 2
    assert "flax OptimizedLSTMCell [T, B]: forward" in done.stdout
    assert f"| lstm; 4, 3, 2, 5, both | {rows[0]['ms']['both']['median']:.2f} (" in (
        tables.recurrence()
    )
    assert tables.recurrence_programs().count("\n| 4, 3, 2, 5 |") == 1


@pytest.mark.parametrize(
    "cell,dtype",
    [*((cell, "float32") for cell in CELLS), ("lstm", "bfloat16"), ("rnn", "bfloat16")],
)
def test_jnets_and_flax_compute_the_same(cell, dtype, tmp_path):
    case, path = Case(cell, *SMALL, dtype=dtype), tmp_path / "jnets.npz"
    names = ["jnets", *(["flax"] if cell in FLAX else [])]
    given = recurrent_case.problem(case)
    for name in names:
        programs = LIBRARIES[name].programs(case, given.weights)
        for label in programs.keys() - {"jnets bptt, states", "jnets bptt, sqrt"}:
            ours, d_x = numbers(programs[label], given)
            found = {"h": ours, "d_x": d_x}
            apart = recurrent_worker.check(case, found, path, exact=True)
            assert max(apart.values()) <= {"float32": 2e-6, "bfloat16": 2e-2}[dtype]
    assert ours.shape == (4, 3, 5) and np.abs(ours).mean() > 0.05
    assert d_x.shape == (4, 3, 2)


def numbers(program, given):
    """h and dE/dx, [T, B, ...]."""
    arrays = given.x, given.factor
    if not program.time_major:
        arrays = tuple(a.swapaxes(0, 1) for a in arrays)
    params, x, factor = jax.tree.map(jnp.asarray, (program.params, *arrays))

    @jax.jit
    def both(params, x, factor):
        hs, pull = jax.vjp(program.apply, params, x)
        return hs, pull(factor.astype(hs.dtype))[1]

    found = (np.asarray(a, np.float32) for a in both(params, x, factor))
    return [a if program.time_major else a.swapaxes(0, 1) for a in found]


def test_the_gradient_is_of_the_sum_of_factors_times_outputs():
    given = recurrent_case.problem(Case("rnn", *SMALL))
    program = LIBRARIES["jnets"].programs(Case("rnn", *SMALL), given.weights)
    program = program["jnets bptt, gates"]
    calls, facts = recurrent_worker.compiled(program, given)
    w_x, b, (w_h,), _ = given.weights

    def energy(x):
        h, total = np.zeros((3, 5)), 0.0
        for t in range(4):
            h = np.tanh(x[t] @ w_x + b + h @ w_h)
            total += (given.factor[t] * h).sum()
        return total

    d_weights, d_x = calls["both"]()
    step = np.zeros_like(given.x, np.float64)
    step[1, 2, 0] = 1e-5
    slope = (energy(given.x + step) - energy(given.x - step)) / 2e-5
    assert float(d_x[1, 2, 0]) == pytest.approx(slope, rel=1e-4)
    assert jax.tree.map(np.shape, d_weights) == jax.tree.map(np.shape, given.weights)
    assert set(facts["temp_mib"]) == set(facts["compile_seconds"]) == set(calls)


def test_numbers_that_differ_or_have_another_shape_stop(tmp_path):
    case, path = Case("lstm", *SMALL), tmp_path / "jnets.npz"
    one = {"h": np.full((4, 3, 5), 0.5), "d_x": np.full((4, 3, 2), 2.0)}

    def check(exact=True, **changed):
        return recurrent_worker.check(case, one | changed, path, exact)

    assert check() == {"h": 0, "d_x": 0}
    off = one["h"].copy()
    off[3, 2, 1] += 0.5 * 9e-5
    assert check(h=off) == {"h": 9e-5, "d_x": 0}
    off[3, 2, 1] += 0.5 * 9e-5
    with pytest.raises(AssertionError, match="h is 0.00018 from jnets', over 0.0001"):
        check(h=off)
    assert check(h=off, exact=False)["h"] == 1.8e-4
    with pytest.raises(AssertionError, match="d_x is 0.1 from jnets'"):
        check(d_x=one["d_x"] * 1.1)
    with pytest.raises(AssertionError, match=r"h is \(3, 4, 5\), jnets' \(4, 3, 5\)"):
        check(h=one["h"].swapaxes(0, 1))


def test_blocks_of_gates_in_another_order():
    assert list(blocks(np.arange(6), 0, 2, 1)) == [0, 1, 4, 5, 2, 3]


def test_operations_and_bytes():
    lstm = Case("lstm", 100, 32, 128, 128)
    assert recurrent_case.gflop(lstm) == {"forward": 0.8388608, "both": 2.5165824}
    gru = Case("gru_before", 2, 1, 3, 1)
    # 2 steps, (3 + 1) rows, 3 columns
    assert recurrent_case.gflop(gru)["forward"] * 1e9 == 2 * 2 * 4 * 3
    words = {k: n * 2**20 / 4 for k, n in recurrent_case.mib(gru).items()}
    # Of a step: W_h 3, x 3, zx twice 3, h 1; and back W_h 3, x, dx 3 each, h twice,
    # dE/dh 1, gates twice 3, delta four times 3.
    assert words == {"forward": 2 * 13, "both": 2 * (13 + 30)}
    elman = {
        k: n * 2**20 / 4 for k, n in recurrent_case.mib(Case("rnn", 1, 1, 1, 1)).items()
    }
    assert elman == {"forward": 1 + 1 + 2 + 1, "both": 5 + 1 + 2 + 3 + 4}


def test_a_turn_is_a_call_and_as_many_as_fill_it(monkeypatch):
    now, calls = [0.0], []

    def call():
        calls.append(now[0])
        now[0] += 0.5 if len(calls) == 1 else 0.25

    monkeypatch.setattr(recurrent_worker.time, "perf_counter", lambda: now[0])
    assert recurrent_worker.seconds_of(call, least=2.0) == 0.25
    assert len(calls) == 1 + 4
    assert recurrent_worker.seconds_of(call, least=0.1) == 0.25
    assert len(calls) == 5 + 2


def test_programs_take_turns_by_kind():
    asked = []

    class Worker:
        def __init__(self, *programs):
            self.facts = {"programs": dict.fromkeys(programs)}

        def seconds(self, program, kind, least):
            asked.append(f"{program} {kind}")
            return float(len(asked))

    workers = {"jnets": Worker("a", "b"), "flax": Worker("c")}
    seconds = recurrence.in_turns(workers, 2, 0.1)
    once = ["product peak", *(f"{p} {k}" for k in ("forward", "both") for p in "abc")]
    assert asked == once * 2
    assert seconds["flax", "c", "forward"] == [4.0, 11.0]
    assert recurrence.spread([0.3, 0.1, 0.2]) == (
        {"median": 200, "fastest": 100, "slowest": 300, "runs": 3}
    )


def test_peers_are_left_out_with_a_reason(monkeypatch):
    found = {"flax", "torch"}
    monkeypatch.setattr(
        recurrence.importlib.util, "find_spec", lambda name: name in found
    )
    names, left_out = recurrence.chosen(Case("gru_before", *SMALL), recurrence.PEERS)
    assert names == ["jnets"]
    missing = dict.fromkeys(("haiku", "equinox", "keras"), "not installed")
    assert left_out == missing | {"flax": "no gru_before", "torch": "no gru_before"}


def test_a_process_that_ends_stops_the_run(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with recurrence.ExitStack() as stack:
        with pytest.raises(SystemExit, match="flax's process ended without an answer"):
            recurrence.Worker(stack, "flax", Case("lstm", *SMALL), str(tmp_path))


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,0", "a,2,3,4"])
def test_shapes_are_four_positive_numbers(text):
    with pytest.raises(recurrence.argparse.ArgumentTypeError, match="four numbers"):
        recurrence.shape(text)
    assert recurrence.shape("1,2,3,4") == (1, 2, 3, 4)


def row(program, forward, both, **more):
    """A row as `measure` makes it, with the slowest time far off the median."""
    case = Case("lstm", 100, 32, 128, 128)._asdict()
    stack = {"device": "a chip", "cores": 4, "jax": "1.2"} | case
    stack["floor_ms"] = {"forward": 1.004, "both": 3.0}
    ms = {"forward": forward, "both": both}
    times = {
        kind: {"median": m, "fastest": m / 2, "slowest": 1000 * m}
        for kind, m in ms.items()
    }
    found = {
        "library": program.split()[0].rstrip(","),
        "program": program,
        "ms": times,
        "jnets_ratio": {"forward": forward / 2, "both": both / 4},
    }
    return stack | more | found


def on_jax(program, forward, both, mib):
    more = {"temp_mib": dict.fromkeys(("forward", "both"), mib)}
    more["compile_seconds"] = {"forward": 0.5, "both": mib / 10}
    return row(program, forward, both, **more)


def test_the_table_shows_the_best_peer_on_jax_and_of_torch(results):
    rows = [
        on_jax("jnets", 2, 4, 30),
        on_jax("jnets bptt, states", 1, 3, 20),
        on_jax("flax LSTMCell", 3, 10, 70),
        on_jax("haiku", 5, 8, 50),
        row("torch", 6, 7, torch="3.4"),
        row("torch, 1 thread", 4, 9, torch="3.4"),
        on_jax("jnets", 2, 4, 30) | {"batch": 1},
    ]
    (results / "recurrence.jsonl").write_text("\n".join(map(json.dumps, rows)))
    setting, _, head, line, *shown = (
        tables.recurrence().split("\n\na chip")[0].split("\n")
    )
    assert setting == "a chip, 4 cores, jax 1.2, torch 3.4, float32:"
    assert {text.count("|") for text in (head, line, *shown)} == {10}
    assert shown == [
        "| lstm; 100, 32, 128, 128, forward | 2.00 (1.00 to 2,000.00) "
        "| 3.00 (1.50 to 3,000.00), flax LSTMCell | 1.50 "
        "| 4.00 (2.00 to 4,000.00), torch, 1 thread | 2.00 | 1.00 "
        "| 30.0, 70.0 | 0.5, 0.5 |",
        "| lstm; 100, 32, 128, 128, both | 4.00 (2.00 to 4,000.00) "
        "| 8.00 (4.00 to 8,000.00), haiku | 2.00 "
        "| 7.00 (3.50 to 7,000.00), torch | 1.75 | 3.00 | 30.0, 50.0 | 3.0, 5.0 |",
    ]
    alone = tables.recurrence().splitlines()[-2]
    assert alone == (
        "| lstm; 100, 1, 128, 128, forward | 2.00 (1.00 to 2,000.00) |  |  |  |  "
        "| 1.00 | 30.0 | 0.5 |"
    )
    every, _, second = tables.recurrence_programs().partition("\n\nlstm; ")
    assert every.splitlines()[0] == f"lstm; {setting}"
    assert every.splitlines()[-1] == (
        "| 100, 32, 128, 128 | 2.00, 4.00, 30.0 | 1.00, 3.00, 20.0 | 3.00, 10.00, 70.0 "
        "| 5.00, 8.00, 50.0 | 6.00, 7.00 | 4.00, 9.00 |"
    )
    assert second.splitlines()[-1] == "| 100, 1, 128, 128 | 2.00, 4.00, 30.0 |"


def test_tables_without_rows_say_so(results):
    assert tables.recurrence() == tables.recurrence_programs() == "Not measured yet."
