"""Flax's SimpleCell, LSTMCell, OptimizedLSTMCell and GRUCell into variables and back.

Flax (flax.linen) has a Dense for each gate of the inputs, `i` and the gate's name, and
of the state, `h` and the name: i, f, g, o of an LSTM, r, z, n of a GRU, none of a
SimpleCell. One of both has the bias, and `hn` has `recurrent_bias`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jnets.errors import InputError
from jnets.interop import recurrent
from jnets.interop.recurrent import Convention, Given, Tensors
from jnets.interop.tensors import flat
from jnets.layers import GRU, LSTM, RNN
from jnets.layers.recurrent import Recurrent

GATES = {RNN: ("",), LSTM: tuple("ifgo"), GRU: tuple("rzn")}
BIASED = {RNN: "i", LSTM: "h", GRU: "i"}


def recurrent_to_variables(
    cells: Sequence[Mapping[str, Any]], layer: Recurrent
) -> dict[str, Any]:
    """The variables of `layer`, an RNN, LSTM or GRU of jnets.layers.

    `cells` are the parameters of each cell, of layer 0, its reverse, layer 1 and so on:
    of `nn.RNN(nn.LSTMCell(8))` that is `[variables["params"]["cell"]]`. Returns
    {"params": ...} of NumPy arrays in the dtype given, each number as it was. What is
    around the cells is not in their parameters: `reverse=True` is nn.RNN with
    `reverse=True, keep_order=True`, and a SimpleCell's `activation_fn` goes with
    `activation`; one with `residual=True` is another cell.

    Errors: InputError, naming tensors both ways, if the cells have a tensor that the
    layer lacks, lack one, or have one of another shape; and naming the field, if the
    layer is of a form that Flax's cells do not have.
    """
    recurrent.check(CONVENTION, layer)
    if isinstance(cells, Mapping):
        raise InputError("cells is one dict; expected a list with one for each cell")
    arrays: Tensors = {}
    for k, cell in enumerate(cells):
        arrays |= flat(cell, f"cells[{k}]")
    first = f"cells[0]/i{GATES[type(layer)][0]}/kernel"
    features = recurrent.size(arrays, first, 0)
    given = Given("cells", arrays, lambda k, name: f"cells[{k}]/{name}", features)
    return recurrent.to_variables(CONVENTION, layer, given)


def recurrent_to_cells(
    variables: Mapping[str, Any], layer: Recurrent
) -> list[dict[str, Any]]:
    """The parameters of each of Flax's cells from variables of `layer`.

    The inverse of `recurrent_to_variables`, to the bit. Errors: as there, by the paths
    of jnets.
    """
    recurrent.check(CONVENTION, layer)
    cells = []
    for tensors in recurrent.to_cells(CONVENTION, layer, variables):
        cell: dict[str, Any] = {}
        for name, value in tensors.items():
            dense, _, part = name.partition("/")
            cell.setdefault(dense, {})[part] = value
        cells.append(cell)
    return cells


def _inward(layer: Recurrent, tensors: Tensors) -> Tensors:
    gates, biased = GATES[type(layer)], BIASED[type(layer)]

    def joined(side: str, part: str) -> np.ndarray:
        return np.concatenate([tensors[f"{side}{g}/{part}"] for g in gates], axis=-1)

    leaves = {
        "kernel": joined("i", "kernel"),
        "recurrent_kernel": joined("h", "kernel"),
        "bias": joined(biased, "bias"),
    }
    if isinstance(layer, GRU):
        leaves["recurrent_bias"] = tensors["hn/bias"]
    return leaves


def _outward(layer: Recurrent, leaves: Tensors) -> Tensors:
    gates, biased = GATES[type(layer)], BIASED[type(layer)]
    split = {
        name: np.split(leaves[name], len(gates), axis=-1)
        for name in ("kernel", "recurrent_kernel", "bias")
    }
    tensors: Tensors = {}
    for k, gate in enumerate(gates):
        tensors[f"i{gate}/kernel"] = split["kernel"][k]
        tensors[f"h{gate}/kernel"] = split["recurrent_kernel"][k]
        tensors[f"{biased}{gate}/bias"] = split["bias"][k]
    if isinstance(layer, GRU):
        tensors["hn/bias"] = leaves["recurrent_bias"]
    return tensors


CONVENTION = Convention(
    "Flax's cells",
    _inward,
    _outward,
    {"use_bias": (True,), "projection": (None,), "reset_after": (True,)},
)
