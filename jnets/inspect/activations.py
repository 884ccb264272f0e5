"""What the layers of a convolutional net hold and put out, as arrays to be shown."""

import flax.linen as nn
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
    """The output of every layer called on `inputs`, in order: {layer: [B, ...]}.

    These are the layers' own results, before the activation function that the model
    applies to them.
    """
    outputs: dict[str, np.ndarray] = {}

    def listen(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if context.method_name == "__call__" and hasattr(context.module, "cost"):
            outputs["/".join(context.module.path)] = np.asarray(result)
        return result

    with nn.intercept_methods(listen):
        model.apply(variables, *inputs)
    return outputs
