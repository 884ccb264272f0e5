"""Is it faster to do many updates in one XLA program, or to call one update at a time?

    python -m benchmarks.updates_per_call

It depends on the model and the device, so it is measured; the experiments' choices of
`Plan.per_call` are made from this table.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing
from jnets.models import create, entry
from jnets.training import create_state, epoch_order, make_step, minibatch
from jnets.training.program import make_program

# model and examples per update
CASES = (("mlp", 32), ("lenet5", 64), ("lenet5_1998", 64), ("lenet_caffe", 64))
PER_CALL = (1, 10, 50)
UPDATES = 50


def case(name: str, examples: int, per_call: int):
    """A function that does UPDATES updates and blocks until they are done."""
    rng = np.random.default_rng(0)
    size = examples * UPDATES
    (shape, _), *_ = entry(name).inputs
    images = jnp.asarray(rng.standard_normal((size, *shape)).astype(np.float32))
    data = (images,), jnp.asarray(rng.integers(0, 10, size), jnp.int32)
    model, optimizer = create(name), optax.sgd(1e-5, momentum=0.9)
    descent = minibatch(examples)
    loss = optax.softmax_cross_entropy_with_integer_labels
    step = make_step(model, loss, optimizer, descent)
    program = make_program(step, per_call)
    order = epoch_order(jax.random.key(0), size, descent)
    state = create_state(model, (images[:1],), optimizer)

    def run():
        nonlocal state
        for _ in range(UPDATES // per_call):
            state, _ = program(state, data, order)
        jax.block_until_ready(state)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rows = []
    for name, examples in CASES:
        cases = {str(n): case(name, examples, n) for n in PER_CALL}
        seconds = timing.alternate(cases, rounds=rounds)
        milliseconds = {
            n: [round(1000 * t / UPDATES, 3) for t in sorted(s)]
            for n, s in seconds.items()
        }
        row = {"model": name, "examples": examples, "ms_per_update": milliseconds}
        rows.append(timing.machine("jaxlib") | row)
        shown = "  ".join(
            f"{n} a call: {s[len(s) // 2]:.2f} ({s[0]:.2f} to {s[-1]:.2f})"
            for n, s in milliseconds.items()
        )
        print(f"{name:<12} batch {examples}: ms per update, {shown}")
    print(f"rows: {timing.write('updates_per_call', rows)}")


if __name__ == "__main__":
    main()
