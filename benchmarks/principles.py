"""What the lecture's design principles save: small filters, factorised ones, shortcuts.

    python -m benchmarks.principles --batch 16 --size 96

Each body is built in several forms: parameters, multiply-accumulates of one image and
milliseconds of a training step, the forms taking turns. No accuracy is measured here.
"""

import argparse
import gc
import statistics
from typing import Any

import jax.numpy as jnp

from benchmarks import timing
from benchmarks.models import ours
from benchmarks.timing import Run
from jnets.inspect import summarize
from jnets.models import create

# Without hidden layers, which would hide what the convolutions cost.
_VGG = {"hidden": (), "map_size": 1}
_WIDE = _VGG | {"blocks": ((64,), ((64, 7), (64, 7)), ((64, 7), (64, 7)))}
_GOOGLENET = {"aux": False}


def _forms(model: str, fields: dict[str, Any], filters: tuple[str, ...]):
    return {name: (model, fields | {"filters": name}) for name in filters}


# Body -> form -> (model, fields); the first form is what others are compared with.
BODIES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "VGG of 7x7, 64 maps": _forms(
        "vgg11", _WIDE, ("full", "stacked", "asymmetric", "bottleneck")
    ),
    "VGG A, of 3x3": _forms("vgg11", _VGG, ("full", "asymmetric", "bottleneck")),
    "GoogLeNet, 5x5 branch": _forms(
        "googlenet_bn", _GOOGLENET, ("5x5", "stacked", "asymmetric", "3x3")
    ),
    "34 layers, shortcuts": {
        "none": ("plain34", {}),
        "identity": ("resnet34_a", {}),
        "projection": ("resnet34", {}),
    },
}


def measure(body: str, batch: int, size: int, rounds: int) -> list[dict[str, Any]]:
    """A row per form of the body."""
    cases, rows = {}, {}
    for form, (model, fields) in BODIES[body].items():
        net = summarize(create(model, **fields), jnp.ones((1, size, size, 3)))
        cases[form] = ours(Run(model, batch, size), fields)[0].train
        rows[form] = timing.machine("jaxlib") | {
            "body": body,
            "form": form,
            "batch": batch,
            "size": size,
            "parameters": net.parameters,
            "macs": net.macs,
        }
    found = timing.alternate(cases, rounds=rounds)
    first = statistics.median(next(iter(found.values())))
    for form, seconds in found.items():
        rows[form]["ms_per_step"] = [round(1000 * s, 1) for s in sorted(seconds)]
        rows[form]["ms_to_first"] = round(statistics.median(seconds) / first, 2)
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", nargs="+", choices=BODIES, default=BODIES)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for body in options.bodies:
        found = measure(body, options.batch, options.size, options.rounds)
        for row in found:
            ms = row["ms_per_step"]
            print(
                f"{body}: {row['form']:<11}{row['parameters'] / 1e6:>7.2f} M parameters"
                f"{row['macs'] / 1e6:>8,.0f} M MACs {ms[len(ms) // 2]:>8,.1f} ms a step"
                f" ({ms[0]:,.1f} to {ms[-1]:,.1f})",
                flush=True,
            )
        rows += found
        gc.collect()
    timing.write("principles", rows, also=("body", "batch", "size"))


if __name__ == "__main__":
    main()
