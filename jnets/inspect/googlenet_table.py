"""The table of the GoogLeNet paper, and of the lecture, beside what the model has.

C. Szegedy et al. Going deeper with convolutions. CVPR 2015, table 1. Its K are 1024
weights, biases left out; its M are 10^6 multiply-accumulates. Counted so, it has rows
that the channels in the same row do not give.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from jnets.errors import InputError
from jnets.inspect.summary import Layer, Summary, summarize
from jnets.models import create, example_inputs

DENSE, SEPARABLE = "googlenet_paper", "googlenet_paper_separable"


class Printed(NamedTuple):
    """A row as printed, and the layers or modules of the model that it stands for.

    `features` are the columns 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj.
    """

    type: str
    output: str
    depth: int
    features: tuple[int | None, ...] = (None,) * 6
    params: str = ""
    ops: str = ""
    layers: tuple[str, ...] = ()


def _inception(name: str, output: str, features, params: str, ops: str) -> Printed:
    layers = (f"inception_{name}",)
    return Printed(f"inception {name}", output, 2, features, params, ops, layers)


_STEM = Printed("conv 7x7/2", "112x112x64", 1, params="2.7K", ops="34M")
_REDUCED = (None, 64, 192, None, None, None)
TABLE = (
    _STEM._replace(layers=("conv1",)),
    _STEM._replace(type="  separable", layers=("conv1_depthwise", "conv1_pointwise")),
    Printed("max 3x3/2", "56x56x64", 0, layers=("pool1",)),
    Printed(
        *("conv 3x3/1", "56x56x192", 2, _REDUCED, "112K", "360M"),
        layers=("conv2_reduce", "conv2"),
    ),
    Printed("max 3x3/2", "28x28x192", 0, layers=("pool2",)),
    _inception("3a", "28x28x256", (64, 96, 128, 16, 32, 32), "159K", "128M"),
    _inception("3b", "28x28x480", (128, 128, 192, 32, 96, 64), "380K", "304M"),
    Printed("max 3x3/2", "14x14x480", 0, layers=("pool3",)),
    _inception("4a", "14x14x512", (192, 96, 208, 16, 48, 64), "364K", "73M"),
    _inception("4b", "14x14x512", (160, 112, 224, 24, 64, 64), "437K", "88M"),
    _inception("4c", "14x14x512", (128, 128, 256, 24, 64, 64), "463K", "100M"),
    _inception("4d", "14x14x528", (112, 144, 288, 32, 64, 64), "580K", "119M"),
    _inception("4e", "14x14x832", (256, 160, 320, 32, 128, 128), "840K", "170M"),
    Printed("max 3x3/2", "7x7x832", 0, layers=("pool4",)),
    _inception("5a", "7x7x832", (256, 160, 320, 32, 128, 128), "1072K", "54M"),
    _inception("5b", "7x7x1024", (384, 192, 384, 48, 128, 128), "1388K", "71M"),
    Printed("avg 7x7/1", "1x1x1024", 0, layers=("pool5",)),
    Printed("dropout 40%", "1x1x1024", 0),
    Printed("linear", "1x1x1000", 1, params="1000K", ops="1M", layers=("fc",)),
    Printed("softmax", "1x1x1000", 0),
)

# Why a figure is off, by the row's type. {implied} is what the printed weights would
# take at every position.
_STALE = (
    "{params} weights at {size} would take {implied:.1f}M; the {ops} printed are those "
    "of the channels printed."
)
NOTES = {
    "conv 7x7/2": (
        "The figures of a separable convolution, in the next row: 7x7 with 8 outputs "
        "for each colour, then 1x1 from 24 to 64."
    ),
    "inception 3b": "1K more than the channels printed give.",
    "inception 4a": (
        "{params} weights at {size} take {implied:.1f}M, as printed, but the channels "
        "printed give more of both."
    ),
    "inception 4b": "1K less than the channels printed give.",
    "inception 4c": _STALE,
    "inception 4d": _STALE,
    "inception 4e": _STALE,
    "inception 5a": (
        "Both figures are those of an input with 928 = 832 + 96 channels; {params} "
        "weights at {size} take {implied:.1f}M."
    ),
    "inception 5b": _STALE,
}
MARKS = "¹²³⁴⁵⁶⁷⁸⁹"


class Row(NamedTuple):
    """A printed row beside the model's weights in K and operations in M."""

    printed: Printed
    params: float
    ops: float

    @property
    def off(self) -> tuple[bool, bool]:
        """Which figures, params and ops, are wrong even if cut off, not rounded."""
        p = self.printed
        return _off(p.params, self.params), _off(p.ops, self.ops)

    @property
    def implied(self) -> float:
        """The operations in M that the printed params would take at each position."""
        *size, _ = map(int, self.printed.output.split("x"))
        return float(self.printed.params[:-1]) * 1024 * math.prod(size) / 1e6


def _off(printed: str, found: float) -> bool:
    if not printed:
        return False
    digits = printed[:-1]
    step = 10.0 ** -len(digits.partition(".")[2])
    return abs(float(digits) - found) >= step


def audit() -> list[Row]:
    """Every row of the table beside what the models of this package have."""
    dense, separable = (
        summarize(create(name), *example_inputs(name)) for name in (DENSE, SEPARABLE)
    )
    rows = []
    for printed in TABLE:
        found = dense if printed.layers != TABLE[1].layers else separable
        layers = list(_below(found, printed.layers))
        weights, macs = sum(map(_weights, layers)), sum(layer.macs for layer in layers)
        rows.append(Row(printed, weights / 1024, macs / 1e6))
    return rows


def _below(summary: Summary, names: tuple[str, ...]) -> Iterator[Layer]:
    for layer in summary.layers:
        if layer.name.startswith(tuple(f"{name}/" for name in names)) or (
            layer.name in names
        ):
            yield layer


def _weights(layer: Layer) -> int:
    """Parameters that are no biases: a bias is used once at each position."""
    uses = layer.connections - layer.macs
    return layer.parameters - uses // math.prod(layer.output[:-1])


def printed_table(name: str) -> Group:
    """The table that the paper of the model `name` prints, with the model's numbers.

    Errors: InputError for a model whose paper has no such table here.
    """
    if name not in (DENSE, SEPARABLE):
        raise InputError(
            f"model {name!r} has no printed table; expected {DENSE!r} or {SEPARABLE!r}"
        )
    rows, notes = audit(), []
    table = _empty()
    for row in rows:
        p, off = row.printed, row.off
        mark = MARKS[len(notes)] if any(off) else ""
        if mark:
            size = p.output.rpartition("x")[0]
            fields = {"params": p.params, "ops": p.ops, "size": size}
            notes.append(
                f"{mark} " + NOTES[p.type].format(implied=row.implied, **fields)
            )
        table.add_row(
            *(p.type, p.output, str(p.depth)),
            *("" if n is None else str(n) for n in p.features),
            p.params and p.params + (mark if off[0] else " "),
            p.params and f"{row.params:.2f}",
            p.ops and p.ops + (mark if off[1] else " "),
            p.ops and f"{row.ops:.2f}",
        )
    return Group(f"{DENSE}, {SEPARABLE}", table, Text("\n".join([*notes, _sums(rows)])))


def _empty() -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("type")
    for title in ("output", "d", "1x1", "red", "3x3", "red", "5x5", "proj"):
        table.add_column(title, justify="right")
    for title in ("params", "found", "ops", "found"):
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _sums(rows: list[Row]) -> str:
    dense, separable, *rest = rows
    ops = sum(row.ops for row in rest)
    printed = sum(float(row.printed.ops[:-1]) for row in rows[1:] if row.printed.ops)
    depth = sum(row.printed.depth for row in rows[1:])
    return (
        f"params are K of 1024 weights without biases, ops M of 10^6 multiply-adds, d "
        f"is the depth: {depth} layers. The ops printed add up to {printed:,.0f}M, "
        f"those found to {separable.ops + ops:,.0f}M with the separable convolution "
        f"and {dense.ops + ops:,.0f}M without."
    )
