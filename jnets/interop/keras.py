"""Keras's SimpleRNN, LSTM and GRU into variables of jnets and back.

Of each cell Keras has kernel [F, G H], recurrent_kernel [H, G H] and bias [G H], of a
GRU with `reset_after=True` (its default) bias [2, G H]. An LSTM's gates are in the
order i, f, c, o, where c is g here; a GRU's are z, r, h, where h is n: r, z, n here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jnets.interop import recurrent
from jnets.interop.recurrent import Convention, Given, Tensors
from jnets.interop.tensors import array
from jnets.layers import GRU
from jnets.layers.recurrent import Recurrent


def recurrent_to_variables(weights: Sequence[Any], layer: Recurrent) -> dict[str, Any]:
    """The variables of `layer`, an RNN, LSTM or GRU of jnets.layers.

    `weights` is what `get_weights()` returns of keras.layers.SimpleRNN, LSTM or GRU, of
    a Bidirectional of one, or of several such layers one after the other, all of one
    size. Returns {"params": ...} of NumPy arrays in the dtype given. The two biases of
    a GRU are one here, their sum, but for h's second one, `recurrent_bias`.
    SimpleRNN's `activation` goes with `activation`; what is around the cells is not in
    their weights: `reverse=True` is `go_backwards=True`, whose outputs Keras gives last
    step first.

    Errors: InputError, naming tensors both ways, if weights are too many, too few or of
    another shape; and naming the field, if the layer is of a form that Keras does not
    have.
    """
    recurrent.check(CONVENTION, layer)
    names = _names(layer)
    arrays = {
        names[k] if k < len(names) else f"weights[{k}]": array(value)
        for k, value in enumerate(weights)
    }
    own = _tensors(layer)

    def name(k: int, tensor: str) -> str:
        return names[k * len(own) + own.index(tensor)]

    features = recurrent.size(arrays, names[0], 0)
    given = Given("weights", arrays, name, features)
    return recurrent.to_variables(CONVENTION, layer, given)


def recurrent_to_weights(
    variables: Mapping[str, Any], layer: Recurrent
) -> list[np.ndarray]:
    """What `set_weights()` takes, from variables of `layer`: all its layers' arrays.

    A GRU's bias goes into the first of Keras's two, and the second is zero but for h:
    so `recurrent_to_variables` gives back the same bits. Errors: as there, by the paths
    of jnets.
    """
    recurrent.check(CONVENTION, layer)
    cells = recurrent.to_cells(CONVENTION, layer, variables)
    return [cell[tensor] for cell in cells for tensor in _tensors(layer)]


def _tensors(layer: Recurrent) -> tuple[str, ...]:
    """In Keras's order."""
    bias = ("bias",) if layer.use_bias else ()
    return ("kernel", "recurrent_kernel", *bias)


def _names(layer: Recurrent) -> list[str]:
    """What errors call each of the weights."""
    tensors = [
        f"{t} of {path}" for path in recurrent.paths(layer) for t in _tensors(layer)
    ]
    return [f"weights[{k}], the {name}" for k, name in enumerate(tensors)]


def _inward(layer: Recurrent, tensors: Tensors) -> Tensors:
    if not isinstance(layer, GRU):
        return dict(tensors)
    leaves = {name: _swapped(value) for name, value in tensors.items()}
    if not layer.reset_after:
        inner = leaves["recurrent_kernel"]
        leaves["recurrent_kernel"] = inner[:, : 2 * layer.hidden]
        leaves["candidate_kernel"] = inner[:, 2 * layer.hidden :]
    elif layer.use_bias:
        leaves |= recurrent.gru_biases(*leaves["bias"])
    return leaves


def _outward(layer: Recurrent, leaves: Tensors) -> Tensors:
    if not isinstance(layer, GRU):
        return dict(leaves)
    tensors = {name: leaves[name] for name in _tensors(layer)}
    if not layer.reset_after:
        both = leaves["recurrent_kernel"], leaves["candidate_kernel"]
        tensors["recurrent_kernel"] = np.concatenate(both, axis=-1)
    elif layer.use_bias:
        tensors["bias"] = np.stack(recurrent.two_biases(leaves))
    return {name: _swapped(value) for name, value in tensors.items()}


def _swapped(a: np.ndarray) -> np.ndarray:
    """z, r, h <-> r, z, n."""
    z, r, n = np.split(a, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


CONVENTION = Convention("Keras", _inward, _outward, {"projection": (None,)})
