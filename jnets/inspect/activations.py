"""What the layers of a convolutional net hold and put out, as arrays to be shown."""

import flax.linen as nn
import jax
import numpy as np

from jnets.errors import InputError
from jnets.typing import Array, PyTree


def filters(variables: PyTree, layer: str) -> np.ndarray:
    """The kernels of `layer` as [c_out, *k, c_in], one filter per row.

    Errors: InputError naming the layers that have kernels.
    """
    params = variables["params"]
    if "kernel" not in params.get(layer, {}):
        known = [name for name, p in params.items() if "kernel" in p]
        raise InputError(f"layer {layer!r} has no kernel; expected one of {known}")
    return np.moveaxis(np.asarray(params[layer]["kernel"]), -1, 0)


def capture(
    model: nn.Module, variables: PyTree, *inputs: Array
) -> dict[str, np.ndarray]:
    """The output of every layer called on `inputs`: {layer: [B, ...]}.

    These are the layers' own results, before the activation function that the model
    applies to them.
    """
    _, state = model.apply(variables, *inputs, capture_intermediates=True)
    leaves = jax.tree_util.tree_leaves_with_path(state["intermediates"])
    outputs = {}
    for path, value in leaves:
        names = [p.key for p in path if isinstance(p, jax.tree_util.DictKey)]
        if names != ["__call__"]:  # the model's own result is no layer's
            outputs["/".join(names[:-1])] = np.asarray(value)
    return outputs
