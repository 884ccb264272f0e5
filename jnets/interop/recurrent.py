"""What the recurrent layers of other frameworks have in common, seen from jnets.

A framework is described by a Convention, cell by cell: a cell is one layer in one
direction, in the order layer 0, its reverse, layer 1 and so on. Axes: F features,
H hidden, P columns of h, G gates.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import numpy as np

from jnets.errors import InputError
from jnets.interop.tensors import flat, misfits
from jnets.layers import GRU, LSTM, RNN
from jnets.layers.recurrent import Recurrent
from jnets.layers.recurrent_input import check_fields

Tensors = dict[str, np.ndarray]
Shape = tuple[int, ...]

# Of these fields no other framework has more than the value here.
PLAIN = {
    "own": (None,),
    "layer_norm": (False,),
    "highway": (False,),
    "learned_start": (False,),
    "forget": (True,),
    "peepholes": (False,),
    "output_tanh": (True,),
}
# Fields that make other parameters: an error calls a layer by them.
TELLING = (
    "hidden",
    "num_layers",
    "bidirectional",
    "use_bias",
    "projection",
    "reset_after",
)


class Convention(NamedTuple):
    """How another framework keeps the weights of a cell.

    `inward` takes them, by the framework's names, to parameters of jnets, `outward`
    takes those back. `has` are the values of fields that the framework has.
    """

    framework: str
    inward: Callable[[Recurrent, Tensors], Tensors]
    outward: Callable[[Recurrent, Tensors], Tensors]
    has: Mapping[str, tuple[Any, ...]]


class Given(NamedTuple):
    """What an argument holds: every array by a name that says where it was found.

    `name(k, tensor)` is the name that a tensor of the k-th cell must have, `features`
    the size F of the inputs, as far as the arrays tell.
    """

    argument: str
    arrays: Tensors
    name: Callable[[int, str], str]
    features: int


def to_variables(
    convention: Convention,
    layer: Recurrent,
    given: Given,
    hint: Callable[[], str] = str,
) -> dict[str, Any]:
    """{"params": ...} for `layer`; InputError if the arrays are not exactly its own.

    `hint()` is what the error adds to the list of what does not fit.
    """
    params = shapes(layer, given.features)
    # Of any values, in the other framework's layout.
    like = {
        path: {name: np.broadcast_to(np.int8(0), s) for name, s in cell.items()}
        for path, cell in params.items()
    }
    cells = [convention.outward(layer, cell) for cell in like.values()]
    expected = {
        given.name(k, tensor): value.shape
        for k, cell in enumerate(cells)
        for tensor, value in cell.items()
    }
    wrong = misfits(given.arrays, expected)
    if wrong:
        raise InputError(f"{given.argument} is not of {title(layer)}: {wrong}{hint()}")
    variables = {}
    for k, (path, cell) in enumerate(zip(params, cells, strict=True)):
        tensors = {tensor: given.arrays[given.name(k, tensor)] for tensor in cell}
        leaves = convention.inward(layer, tensors)
        # Copies: a tensor's memory changes when its owner trains on.
        variables[path] = {n: np.array(leaf, order="C") for n, leaf in leaves.items()}
    return {"params": variables}


def to_cells(
    convention: Convention, layer: Recurrent, variables: Mapping[str, Any]
) -> list[Tensors]:
    """The framework's tensors of each cell; InputError unless variables are layer's."""
    leaves = flat(variables.get("params", {}), "params")
    params = shapes(layer, size(leaves, "params/layer0/kernel", 0))
    expected = {
        f"params/{path}/{name}": shape
        for path, cell in params.items()
        for name, shape in cell.items()
    }
    wrong = misfits(leaves, expected)
    if wrong:
        raise InputError(f"variables are not those of {title(layer)}: {wrong}")
    cells = []
    for path, cell in params.items():
        own = {name: leaves[f"params/{path}/{name}"] for name in cell}
        tensors = convention.outward(layer, own)
        cells.append({n: np.array(value, order="C") for n, value in tensors.items()})
    return cells


def check(convention: Convention, layer: Recurrent) -> None:
    """Raise an InputError that names the field of which the framework lacks a value."""
    if type(layer) not in (RNN, LSTM, GRU):
        raise InputError(
            f"layer is a {type(layer).__name__}; expected an RNN, LSTM or GRU of "
            f"jnets.layers"
        )
    check_fields(layer)
    for name, values in (PLAIN | dict(convention.has)).items():
        value = getattr(layer, name, values[0])
        if value not in values:
            plain = isinstance(value, bool | int | str)
            told = repr(value) if plain else f"a {type(value).__name__}"
            expected = " or ".join(map(repr, values))
            raise InputError(
                f"{name}={told} has no counterpart in {convention.framework}; "
                f"expected {name}={expected}"
            )


def paths(layer: Recurrent) -> list[str]:
    """The name of each cell among the parameters."""
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"layer{k}{end}" for k in range(layer.num_layers) for end in ends]


def shapes(layer: Recurrent, features: int) -> dict[str, dict[str, Shape]]:
    """Of the parameters of each cell."""
    x = jax.ShapeDtypeStruct((1, 1, features), np.float32)
    params = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]
    return {
        path: {name: leaf.shape for name, leaf in params[path].items()}
        for path in paths(layer)
    }


def size(arrays: Tensors, name: str, axis: int) -> int:
    """That axis of a matrix; 1 where there is none, which will not fit either."""
    shape = arrays[name].shape if name in arrays else ()
    return max(shape[axis], 1) if len(shape) == 2 else 1


def title(layer: Recurrent) -> str:
    """The layer by the fields that make its parameters, as in LSTM(hidden=8)."""
    default = {field.name: field.default for field in fields(layer)}
    told = [
        f"{name}={getattr(layer, name)}"
        for name in TELLING
        if name in default and getattr(layer, name) != default[name]
    ]
    return f"{type(layer).__name__}({', '.join(told)})"


def one_bias(inputs: np.ndarray, recurrent: np.ndarray) -> np.ndarray:
    """The sum of a cell's two biases, where a zero leaves all bits as they are:
    -0.0 + 0.0 is 0.0."""
    return np.where(recurrent == 0, inputs, inputs + recurrent)


def gru_biases(inputs: np.ndarray, recurrent: np.ndarray) -> Tensors:
    """Ours from two of a GRU whose last gate is n: there the second one is apart."""
    h = len(inputs) // 3
    gates = one_bias(inputs[: 2 * h], recurrent[: 2 * h])
    bias = np.concatenate([gates, inputs[2 * h :]])
    return {"bias": bias, "recurrent_bias": recurrent[2 * h :]}


def two_biases(leaves: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Back: all that can be is in the first one, and the second one zero."""
    bias, apart = leaves["bias"], leaves.get("recurrent_bias")
    recurrent = np.zeros_like(bias)
    if apart is not None:
        recurrent[-len(apart) :] = apart
    return bias, recurrent
