"""Images per second of training and inference, and memory: jnets beside torchvision.

    python -m benchmarks.models                            every family
    python -m benchmarks.models --models resnet50 --batch 128 --dtype bfloat16

A training step is forward, backward and an update by SGD with momentum; jnets' is the
compiled step of `make_train_step`, norms and the check for finite numbers included.
The programs take turns in one process. Each model has a process of its own, so that
the memory is its own. Without torch and torchvision jnets is measured alone.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from benchmarks.timing import Program, Run
from jnets.models import create, entry
from jnets.ops.losses import with_auxiliary
from jnets.training import Batch, create_state, make_train_step, minibatch

MODELS = (
    "alexnet",
    "zfnet",
    "vgg16",
    "googlenet",
    "inception_v3",
    "resnet18",
    "resnet50",
    "preact_resnet50",
)
PEER = all(map(importlib.util.find_spec, ("torch", "torchvision")))
AUX_WEIGHT = 0.3
KEYS = ("model", "batch", "size", "dtype")


def ours(
    run: Run, fields: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Program, dict[str, Any]]:
    """jnets' programs, and the seconds and MiB of compiling and running a step."""
    policy = ("float32", run.dtype, "float32")
    model = create(run.model, policy=policy, **fields)
    optimizer = optax.sgd(1e-3, momentum=0.9)
    rng = np.random.default_rng(0)
    shape = (run.batch, run.size, run.size, 3)
    images = jnp.asarray(rng.standard_normal(shape).astype(np.float32))
    labels = jnp.asarray(rng.integers(0, 1000, run.batch), jnp.int32)
    batch = Batch((images,), labels, jnp.ones(run.batch))
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    loss = with_auxiliary(cross_entropy, AUX_WEIGHT)
    step = make_train_step(model, loss, optimizer, minibatch(run.batch))
    state = create_state(model, (images[:1],), optimizer)
    started = time.perf_counter()
    step = step.lower(state, batch).compile()  # pyright: ignore
    facts = {"compile_seconds": round(time.perf_counter() - started, 1)}
    apply = jax.jit(model.apply).lower(state.variables, images).compile()

    def train():
        nonlocal state
        for _ in range(run.steps):
            state, metrics = step(state, batch)
        assert metrics["finite"], f"{run.model}: the loss is not finite"

    def infer():
        for _ in range(run.steps):
            logits = apply(state.variables, images)
        return np.asarray(logits)

    train()
    count = sum(p.size for p in jax.tree.leaves(state.params))
    return Program(train, infer, count), facts | {"mib": _mib(step)}


def _mib(step) -> dict[str, int]:
    """Peak memory of a compiled step: as XLA plans it, and as the device counted it."""
    plan = step.memory_analysis()
    planned = plan.argument_size_in_bytes + plan.temp_size_in_bytes
    planned += plan.output_size_in_bytes - plan.alias_size_in_bytes
    found = {"plan": planned}
    if stats := jax.devices()[0].memory_stats():
        found["device"] = stats["peak_bytes_in_use"]
    return {name: round(size / 2**20) for name, size in found.items()}


def theirs(run: Run, form: str, threads: int) -> tuple[Program, dict[str, Any]]:
    """The same of torchvision; memory is measured in a process of its own."""
    from benchmarks import torch_models

    _, compiled = torch_models.FORMS[form]
    on_gpu = torch_models.DEVICE == "cuda"
    program, mib = torch_models.program(run, form), {}
    facts: dict[str, Any] = {"mib": mib}
    if on_gpu or not compiled:  # a resident set would be the compiler's
        flags = {"batch": run.batch, "size": run.size, "dtype": run.dtype}
        flags |= {"form": form, "threads": threads}
        command = [sys.executable, "-m", "benchmarks.torch_models", run.model]
        command += [f"--{name}={value}" for name, value in flags.items()]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        mib["device" if on_gpu else "resident"] = int(done.stdout)
    if compiled:
        started = time.perf_counter()
        program.train()
        facts["compile_seconds"] = round(time.perf_counter() - started, 1)
    return program, facts


def measure(run: Run, forms: list[str], rounds: int) -> list[dict[str, Any]]:
    """A row per program."""
    cores, row = len(os.sched_getaffinity(0)), timing.machine("jaxlib") | run._asdict()
    found = {"jnets": ours(run)}
    if not PEER:
        row["note"] = "torch and torchvision are not installed"
    else:
        import torch  # pyright: ignore[reportMissingImports]

        from benchmarks import torch_models

        torch.set_num_threads(cores)
        row |= timing.versions("torch", "torchvision")
        if not torch_models.has(run.model):
            row["note"], forms = "torchvision has no such model", []
        for form in forms:
            found[f"torch {form}"] = theirs(run, form, cores)
    counts = {program.parameters for program, _ in found.values()}
    assert len(counts) == 1, (
        f"{run.model}: the programs are of different nets: {counts}"
    )
    rows = {name: row | {"program": name} | facts for name, (_, facts) in found.items()}
    for kind in ("train", "infer"):
        cases = {name: getattr(program, kind) for name, (program, _) in found.items()}
        seconds = timing.alternate(cases, rounds=rounds)
        rates = {n: timing.rates(run.batch * run.steps, s) for n, s in seconds.items()}
        for name, rate in rates.items():
            ratio = round(rates["jnets"]["median"] / rate["median"], 2)
            rows[name] |= {kind: rate, f"jnets_{kind}_ratio": ratio}
    return list(rows.values())


def show(row: dict[str, Any]) -> str:
    train, infer = (
        f"{row[kind]['median']:,.1f} ({row[kind]['slowest']:,.1f} to "
        f"{row[kind]['fastest']:,.1f})"
        for kind in ("train", "infer")
    )
    extra = [f"{size:,} MiB ({kind})" for kind, size in row["mib"].items()]
    if "compile_seconds" in row:
        extra.append(f"compiled in {row['compile_seconds']} s")
    if "note" in row:
        extra.append(row["note"])
    return (
        f"{row['model']}, {row['program']}: training {train} images/s, inference "
        f"{infer}; {', '.join(extra)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, help="pixels; default: the model's own")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: every core")
    parser.add_argument("--steps", type=int, help="in a timed call; 1, on a GPU 10")
    parser.add_argument("--forms", nargs="+", help="of torch; default: by device")
    options = parser.parse_args()
    # Before a backend starts: XLA has as many threads as there are cores to use.
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # leave some to torch
    if len(options.models) > 1:
        given = [a for a in sys.argv[1:] if a != "--models" and a not in options.models]
        for model in options.models:
            command = [sys.executable, "-m", "benchmarks.models", "--models", model]
            subprocess.run(command + given, check=True)
        return
    (model,) = options.models
    on_cpu = jax.default_backend() == "cpu"
    default = ["eager", "channels_last"] if on_cpu else ["channels_last", "compile"]
    (height, *_), _ = entry(model).inputs[0]
    steps = options.steps or (1 if on_cpu else 10)
    run = Run(model, options.batch, options.size or height, options.dtype, steps)
    rows = measure(run, options.forms or default, options.rounds)
    for row in rows:
        print(show(row), flush=True)
    timing.write("models", rows, also=KEYS)


if __name__ == "__main__":
    main()
