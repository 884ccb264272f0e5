"""Seconds until a training step is compiled: blocks one by one beside stacked ones.

    python -m benchmarks.compile                        every depth
    python -m benchmarks.compile --models resnet152 --batch 8 --size 224

The step is that of `benchmarks.models`: forward, backward and an update by SGD with
momentum, as `make_train_step` compiles it. Tracing, lowering and XLA's part are timed
apart, the two forms taking turns, with JAX's caches emptied before each and the one on
disk off. "cpu" is the processor time of all threads, which other programs disturb less.
The programs of the last round then do a step from the same parameters and must agree,
and several more, as a loop may cost time when it runs.
"""

import argparse
import gc
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from benchmarks.timing import Run
from jnets.models import create, entry
from jnets.models.stacking import unstack
from jnets.training import Batch, TrainState, create_state, make_train_step, minibatch
from jnets.typing import PyTree

MODELS = ("resnet50", "resnet101", "resnet152", "resnet200", "cifar_resnet110")
FORMS = ("flat", "stacked")
PHASES: tuple[str, ...] = ("trace", "lower", "xla")
KEYS = ("model", "batch", "size", "dtype")
# Largest difference to the largest value: only the order of sums may differ.
TOLERANCES = {"float32": 1e-3, "float64": 1e-10}


def parts(run: Run, form: str):
    """A form's model, its jitted step, and a function from variables to its state."""
    stacked = form == "stacked"
    model = create(run.model, policy=(run.dtype,) * 3, stack_blocks=stacked)
    optimizer = optax.sgd(1e-3, momentum=0.9)
    loss = optax.softmax_cross_entropy_with_integer_labels
    step = make_train_step(model, loss, optimizer, minibatch(run.batch))

    def state(variables: PyTree) -> TrainState:
        return create_state(model, (), optimizer, variables=variables)

    return model, step, state


def examples(run: Run) -> Batch:
    rng = np.random.default_rng(0)
    shape = (run.batch, run.size, run.size, 3)
    images = jnp.asarray(rng.standard_normal(shape), run.dtype)
    labels = jnp.asarray(rng.integers(0, 10, run.batch), jnp.int32)
    return Batch((images,), labels, jnp.ones(run.batch))


def compiled(run: Run, form: str) -> tuple[Any, dict[str, float]]:
    """The compiled step and the seconds of each phase, from shapes alone."""
    jax.clear_caches()
    gc.collect()
    model, step, make_state = parts(run, form)
    batch = jax.eval_shape(lambda: examples(run))
    variables = jax.eval_shape(model.init, jax.random.key(0), *batch.inputs)
    state = jax.eval_shape(make_state, variables)
    clock, cpu = [time.perf_counter()], time.process_time()
    traced = step.trace(state, batch)  # pyright: ignore
    clock.append(time.perf_counter())
    lowered = traced.lower()
    clock.append(time.perf_counter())
    program = lowered.compile()
    clock.append(time.perf_counter())
    seconds = dict(zip(PHASES, np.diff(clock).tolist(), strict=True))
    seconds["all"] = clock[-1] - clock[0]
    return program, seconds | {"cpu": time.process_time() - cpu}


def starts(run: Run, batch: Batch) -> dict[str, TrainState]:
    """The states of both forms with the same parameters."""
    model, _, make_stacked = parts(run, "stacked")
    _, _, make_flat = parts(run, "flat")
    variables = jax.jit(model.init)(jax.random.key(0), *batch.inputs)
    # The forms share no buffer: a step consumes its state.
    flat = jax.tree.map(jnp.array, unstack(variables))
    return {"flat": make_flat(flat), "stacked": make_stacked(variables)}


def differences(run: Run, results: dict[str, tuple[TrainState, Any]]):
    """Of loss, gradient and statistics: largest difference to the largest value."""

    def values(state: TrainState, metrics, change):
        # After one step the momentum is the gradient.
        gradient = optax.tree.get(state.opt_state, "trace")
        trees = {"parameters": state.params, "gradient": gradient}
        trees |= {"statistics": state.batch_stats}
        found = {k: jax.tree.leaves(change(tree)) for k, tree in trees.items()}
        return {"loss": [metrics["loss"]]} | found

    ours = values(*results["stacked"], unstack)
    found = {}
    for name, theirs in values(*results["flat"], lambda tree: tree).items():
        a, b = (
            np.concatenate([np.ravel(x) for x in leaves])
            for leaves in (theirs, ours[name])
        )
        found[name] = float(f"{np.abs(a - b).max() / np.abs(a).max():.1e}")
    worst = max(found.values())
    assert worst <= TOLERANCES[run.dtype], f"{run.model}: the forms differ: {found}"
    return found


def work(run: Run, programs: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Whether the programs' results are equal, and milliseconds of their steps."""
    batch = examples(run)
    states = starts(run, batch)
    results = {n: program(states.pop(n), batch) for n, program in programs.items()}
    row: dict[str, Any] = {"differences": differences(run, results)}

    def case(name: str):
        def step():
            results[name] = programs[name](results[name][0], batch)
            jax.block_until_ready(results[name])

        return step

    found = timing.alternate({name: case(name) for name in programs}, rounds=rounds)
    ms = {n: [round(1000 * s, 1) for s in sorted(found[n])] for n in programs}
    return row | {"ms_per_step": ms}


def measure(run: Run, rounds: int) -> dict[str, Any]:
    """A row: seconds of both forms, their ratio, and what the programs then do."""
    compiled(Run("cifar_resnet20", 1, 8, run.dtype), "stacked")  # imports, thread pools
    seconds: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    programs = {}
    for _ in range(rounds):
        programs.clear()
        for form in FORMS:
            programs[form], found = compiled(run, form)
            seconds[form].append(found)
    row = timing.machine("jaxlib") | run._asdict() | {"seconds": {}}
    for form, found in seconds.items():
        row["seconds"][form] = {
            name: sorted(round(f[name], 2) for f in found) for name in found[0]
        }
    for name in ("all", "cpu"):
        medians = [statistics.median(row["seconds"][f][name]) for f in FORMS]
        row.setdefault("ratios", {})[name] = round(medians[1] / medians[0], 3)
    return row | work(run, programs, max(rounds, 3))


def show(row: dict[str, Any]) -> str:
    """Several lines for a person."""
    lines = [f"{row['model']}, {row['batch']} x {row['size']} px, {row['dtype']}:"]
    for form, seconds in row["seconds"].items():
        medians = {name: statistics.median(s) for name, s in seconds.items()}
        phases = ", ".join(f"{name} {medians[name]:.1f}" for name in (*PHASES, "cpu"))
        ms = statistics.median(row["ms_per_step"][form])
        lines.append(
            f"  {form:<8}{medians['all']:>6.1f} s ({seconds['all'][0]:.1f} to "
            f"{seconds['all'][-1]:.1f}): {phases}; a step {ms:,.0f} ms"
        )
    ratios, limit = row["ratios"], TOLERANCES[row["dtype"]]
    found = ", ".join(f"{name} {d:.0e}" for name, d in row["differences"].items())
    lines.append(
        f"  ratio {ratios['all']:.2f}, of cpu {ratios['cpu']:.2f}; "
        f"differences (at most {limit}): {found}"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=224, help="pixels; CIFAR's: 32")
    parser.add_argument("--dtype", choices=TOLERANCES, default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)
    jax.config.update("jax_enable_x64", options.dtype == "float64")
    for model in options.models:
        (own, *_), _ = entry(model).inputs[0]
        run = Run(model, options.batch, min(own, options.size), options.dtype)
        row = measure(run, options.rounds)
        print(show(row), flush=True)
        timing.write("compile", [row], also=KEYS)


if __name__ == "__main__":
    main()
