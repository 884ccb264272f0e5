"""Updates per second of the lecture's surname program: jnets against PyTorch.

    python -m benchmarks.surname              needs torch (CPU build)

Both train the same network from the same parameters on the same names in the same
order, one at a time. They take turns in one process; a ratio is of medians.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch  # pyright: ignore[reportMissingImports]

from benchmarks import timing, torch_surname
from jnets.data import names
from jnets.models import create
from jnets.training import create_state, make_step, online
from jnets.training.program import make_program

JNETS_UPDATES = 20_000
TORCH_UPDATES = 1_000
RATE = torch_surname.RATE


def jnets_case(data, drawn: np.ndarray):
    """(run, params): `run()` trains on `drawn` from the initial params, blocking."""
    model = create("surname_rnn", classes=len(data.classes))
    optimizer = optax.sgd(RATE)
    inputs = tuple(map(jnp.asarray, data.inputs))
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    step = make_step(model, cross_entropy, optimizer, online(), norms=False)
    program = make_program(step, len(drawn), merge=True)
    start = create_state(model, tuple(x[:1] for x in inputs), optimizer)
    args = (inputs, jnp.asarray(data.labels)), jnp.asarray(drawn[:, None])

    def run():
        # A copy, because the program consumes its state.
        _, metrics = program(jax.tree.map(jnp.copy, start), *args)
        return np.asarray(metrics["loss"])

    return run, start.params


def torch_case(data, params, drawn: np.ndarray):
    used = data.take(drawn)
    tokens, lengths = used.inputs
    letters = len(names.ALPHABET)
    prepared = torch_surname.examples(tokens, lengths, used.labels, letters)

    def run():
        rnn = torch_surname.RNN(len(names.ALPHABET), 128, len(data.classes))
        rnn.load(params)
        return np.asarray(torch_surname.run(rnn, prepared))

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder of <Class>.txt files")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    data = names.read_folder(options.data_dir) if options.data_dir else names.shipped()
    drawn = names.balanced_draws(data.labels, JNETS_UPDATES, seed=0)

    ours, params = jnets_case(data, drawn)
    torch.set_num_threads(1)  # its best setting: the products are too small to share
    theirs = torch_case(data, params, drawn[:TORCH_UPDATES])
    cases = {"jnets": ours, "torch": theirs}

    apart = np.abs(ours()[:TORCH_UPDATES] - theirs()).max()
    assert apart < 1e-4, f"the two programs differ by {apart} in loss"

    seconds = timing.alternate(cases, rounds=options.rounds)
    counts = {"jnets": JNETS_UPDATES, "torch": TORCH_UPDATES}
    found = {name: timing.rates(counts[name], s) for name, s in seconds.items()}
    base = found["torch"]["median"]
    rows = []
    for name, rate in found.items():
        ratio = round(rate["median"] / base, 2)
        rows.append(
            timing.machine("jaxlib", "torch")
            | {"program": name, "names": len(data.labels), "updates_per_second": rate}
            | {"ratio": ratio, "loss_apart": float(apart)}
        )
        print(
            f"{name:<6} {rate['median']:>9,.0f} updates/s "
            f"({rate['slowest']:,.0f} to {rate['fastest']:,.0f}, {rate['runs']} runs), "
            f"{ratio:.2f} x torch"
        )
    print(f"largest difference of {TORCH_UPDATES} losses: {apart:.1e}")
    print(f"rows: {timing.write('surname', rows)}")


if __name__ == "__main__":
    main()
