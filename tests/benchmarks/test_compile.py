"""The benchmark of compiling runs as a process, and its table shows what it wrote."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

from benchmarks import compile as benchmark
from benchmarks import tables, timing
from benchmarks.timing import Run

ROOT = Path(__file__).parents[2]
# main, with rows that go elsewhere: nothing else is replaced.
PROGRAM = """
import pathlib, sys
from benchmarks import compile, timing
timing.RESULTS = pathlib.Path(sys.argv.pop(1))
compile.main()
"""
RUN = Run("cifar_resnet20", 2, 8)


def test_a_run_writes_a_row_that_the_table_shows(tmp_path, monkeypatch):
    flags = f"--models {RUN.model} --batch {RUN.batch} --size {RUN.size} --rounds 1"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path), *flags.split()],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (tmp_path / "compile.jsonl").read_text().splitlines())
    assert (row["model"], row["batch"], row["size"]) == RUN[:3]
    assert row["jax"] == jax.__version__
    for seconds in (row["seconds"][form] for form in ("flat", "stacked")):
        everything, cpu = (seconds[name][0] for name in ("all", "cpu"))
        phases = [seconds[name][0] for name in ("trace", "lower", "xla")]
        assert min(*phases, cpu) > 0
        assert abs(sum(phases) - everything) < 0.03  # each is rounded to 0.01
    for name, ratio in row["ratios"].items():
        flat, stacked = (row["seconds"][f][name][0] for f in ("flat", "stacked"))
        assert ratio == pytest.approx(stacked / flat, rel=0.05)
    assert set(row["differences"]) == {"loss", "parameters", "gradient", "statistics"}
    assert max(row["differences"].values()) <= benchmark.TOLERANCES["float32"]
    assert all(len(ms) == 3 and ms[0] > 0 for ms in row["ms_per_step"].values())
    assert f"{RUN.model}, 2 x 8 px, float32:" in done.stdout
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    assert f"| {RUN.model}, 2 x 8, {jax.__version__} |" in tables.compiling()


def result(gradient):
    """What a step gives: two blocks, flat or stacked, and a loss."""
    params = {"s": gradient}
    state = optax.sgd(1.0, momentum=0.9).init(params)
    state = optax.tree.set(state, trace=params)
    stats = {"s": {k: {"mean": jnp.ones_like(v["w"])} for k, v in gradient.items()}}
    found = type("State", (), {})()
    found.params, found.opt_state, found.batch_stats = params, state, stats
    return found, {"loss": jnp.array(2.0)}


@pytest.mark.parametrize("wrong", [0.0, 1e-4, 0.1])
def test_differences_are_to_the_largest_value_and_too_large_ones_stop(wrong):
    one, two, three = (jnp.full(2, v) for v in (1.0, 2.0, 4.0))
    flat = {"block1": {"w": one}, "block2": {"w": two}, "block3": {"w": three}}
    rest = jnp.stack([two, three + 4 * wrong])
    results = {
        "flat": result(flat),
        "stacked": result({"block1": {"w": one}, "rest": {"w": rest}}),
    }
    if wrong > benchmark.TOLERANCES["float32"]:
        with pytest.raises(AssertionError, match="cifar_resnet20: the forms differ"):
            benchmark.differences(RUN, results)
        return
    found = benchmark.differences(RUN, results)
    assert found["loss"] == found["statistics"] == 0
    assert found["gradient"] == found["parameters"] == pytest.approx(wrong, rel=0.02)
