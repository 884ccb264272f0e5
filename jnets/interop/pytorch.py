"""torch.nn.RNN, LSTM and GRU into variables of jnets and back.

Of each cell PyTorch has weight_ih [G H, F], weight_hh [G H, P], bias_ih and bias_hh
[G H], and weight_hr [P, H] with a projection; the end of a name is `_l0`,
`_l0_reverse`, `_l1`, .... Gates are in the order i, f, g, o and r, z, n, as here.
"""

import re
from collections.abc import Mapping
from typing import Any

from jnets.errors import InputError
from jnets.interop import recurrent
from jnets.interop.recurrent import Convention, Given, Tensors, gru_biases, one_bias
from jnets.interop.tensors import array
from jnets.layers import GRU, LSTM, RNN
from jnets.layers.recurrent import Recurrent


def recurrent_to_variables(
    state_dict: Mapping[str, Any], layer: Recurrent, prefix: str = ""
) -> dict[str, Any]:
    """The variables of `layer`, an RNN, LSTM or GRU of jnets.layers.

    `state_dict` is that of torch.nn.RNN (tanh or relu), LSTM or GRU, of NumPy arrays or
    PyTorch tensors; or of a model that has one, whose names start with `prefix`, dot
    included. Returns {"params": ...} of NumPy arrays in the dtype given. PyTorch's two
    biases are one here, their sum; but bias_hh of a GRU's n is `recurrent_bias`. (So a
    step of gradient descent, which moves both, moves the sum twice as far there.)
    `bias=False` is `use_bias=False`, `proj_size` is `projection`.

    Errors: InputError, naming tensors both ways, if the state dict has a tensor that
    the layer lacks, lacks one, or has one of another shape; and naming the field, if
    the layer is of a form that PyTorch does not have.
    """
    _check(layer)
    whole = {k: array(v) for k, v in state_dict.items()}
    arrays = {k: v for k, v in whole.items() if k.startswith(prefix)}

    def name(k: int, tensor: str) -> str:
        return f"{prefix}{tensor}{_end(layer, k)}"

    features = recurrent.size(arrays, f"{prefix}weight_ih_l0", 1)
    return recurrent.to_variables(
        CONVENTION,
        layer,
        Given("state_dict", arrays, name, features),
        lambda: _hint(whole, layer, prefix),
    )


def recurrent_to_state_dict(
    variables: Mapping[str, Any], layer: Recurrent, prefix: str = ""
) -> Tensors:
    """PyTorch's state dict from variables of `layer`, each name after `prefix`.

    What `load_state_dict(strict=True)` accepts once its arrays are tensors, in the
    dtypes given. The bias goes into bias_ih, and bias_hh is zero, but for a GRU's n: so
    `recurrent_to_variables` gives back the same bits. Errors: as there, by the paths of
    jnets.
    """
    _check(layer)
    cells = recurrent.to_cells(CONVENTION, layer, variables)
    return {
        f"{prefix}{tensor}{_end(layer, k)}": value
        for k, cell in enumerate(cells)
        for tensor, value in cell.items()
    }


def _inward(layer: Recurrent, tensors: Tensors) -> Tensors:
    leaves = {
        "kernel": tensors["weight_ih"].T,
        "recurrent_kernel": tensors["weight_hh"].T,
    }
    if layer.use_bias:
        both = tensors["bias_ih"], tensors["bias_hh"]
        gru = isinstance(layer, GRU)
        leaves |= gru_biases(*both) if gru else {"bias": one_bias(*both)}
    if "weight_hr" in tensors:
        leaves["projection_kernel"] = tensors["weight_hr"].T
    return leaves


def _outward(layer: Recurrent, leaves: Tensors) -> Tensors:
    tensors = {
        "weight_ih": leaves["kernel"].T,
        "weight_hh": leaves["recurrent_kernel"].T,
    }
    if layer.use_bias:
        tensors["bias_ih"], tensors["bias_hh"] = recurrent.two_biases(leaves)
    if "projection_kernel" in leaves:
        tensors["weight_hr"] = leaves["projection_kernel"].T
    return tensors


CONVENTION = Convention(
    "PyTorch",
    _inward,
    _outward,
    {
        "activation": ("tanh", "relu"),
        "reset_after": (True,),
        "residual": (False,),
        "reverse": (False,),
    },
)


def _check(layer: Recurrent) -> None:
    recurrent.check(CONVENTION, layer)
    projection = getattr(layer, "projection", None)
    if projection is not None and projection >= layer.hidden:
        raise InputError(
            f"projection={projection} has no counterpart in PyTorch; expected less "
            f"than hidden={layer.hidden}"
        )


KINDS = {1: RNN, 3: GRU, 4: LSTM}  # by the number of gates


def _end(layer: Recurrent, k: int) -> str:
    number, reverse = divmod(k, 1 + layer.bidirectional)
    return f"_l{number}{'_reverse' * reverse}"


def _hint(arrays: Tensors, layer: Recurrent, prefix: str) -> str:
    """Where the weights are, or of which layer, as far as names tell."""
    first = "weight_hh_l0"
    if f"{prefix}{first}" not in arrays:
        others = sorted(k.removesuffix(first) for k in arrays if k.endswith(first))
        return f"; it has weights at prefix={others[0]!r}" if others else ""
    names = {k.removeprefix(prefix) for k in arrays if k.startswith(prefix)}
    found: dict[str, Any] = {
        "num_layers": sum(bool(re.fullmatch(r"weight_hh_l\d+", n)) for n in names),
        "bidirectional": f"{first}_reverse" in names,
        "use_bias": "bias_hh_l0" in names,
    }
    rows, hidden = (recurrent.size(arrays, f"{prefix}{first}", n) for n in (0, 1))
    if "weight_hr_l0" in names:
        found["projection"] = hidden
        hidden = recurrent.size(arrays, f"{prefix}weight_hr_l0", 1)
    kind = LSTM if "projection" in found else KINDS.get(rows // hidden, type(layer))
    other = kind(hidden=hidden, **found)
    if recurrent.title(other) == recurrent.title(layer):
        return ""
    try:
        recurrent_to_variables(arrays, other, prefix)
    except InputError:
        return ""
    return f"; it is one of {recurrent.title(other)}"
