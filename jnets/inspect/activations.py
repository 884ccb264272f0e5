"""What the layers of a convolutional net hold and put out, as arrays to be shown."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.core
import numpy as np

from jnets.errors import InputError
from jnets.typing import Array, PyTree


def filters(variables: PyTree, layer: str) -> np.ndarray:
    """The kernels of `layer` as [c_out, *k, c_in], one filter per row.

    `layer` is a path, "stage1/block1/conv1". The kernels of a stack of blocks come as
    [c_out, blocks, *k, c_in].

    Errors: InputError naming the layers that have kernels.
    """
    found = variables["params"]
    for part in layer.split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    if not isinstance(found, Mapping) or "kernel" not in found:
        known = _with_kernels(variables["params"])
        more = f" and {len(known) - 8} more" if len(known) > 8 else ""
        raise InputError(
            f"layer {layer!r} has no kernel; expected one of {known[:8]}{more}"
        )
    return np.moveaxis(np.asarray(found["kernel"]), -1, 0)


def _with_kernels(params: PyTree) -> list[str]:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [[part.key for part in path] for path, _ in leaves]
    return ["/".join(path[:-1]) for path in paths if path[-1] == "kernel"]


def capture(
    model: nn.Module, variables: PyTree, *inputs: Array
) -> dict[str, np.ndarray]:
    """The output of every layer called on `inputs`, in order: {layer: [B, ...]}.

    A layer is named by its path, "stage1/block1/conv1". These are the layers' own
    results, before the activation function that the model applies to them.

    Errors: InputError for a model that rematerialises or stacks its blocks, whose
    layers have no values of their own that could be kept.
    """
    outputs: dict[str, np.ndarray] = {}

    def listen(next_call, args, kwargs, context):
        result = next_call(*args, **kwargs)
        if context.method_name == "__call__" and hasattr(context.module, "cost"):
            name = "/".join(context.module.path)
            if isinstance(result, jax.core.Tracer):
                raise InputError(
                    f"layer {name!r} is inside a rematerialised block or a stack of "
                    "them; expected a model with remat=False and stack_blocks=False"
                )
            outputs[name] = np.asarray(result)
        return result

    with nn.intercept_methods(listen):
        model.apply(variables, *inputs)
    return outputs
