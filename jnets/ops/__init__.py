"""Pure functions on arrays: no Flax, no parameters, no state.

The recurrent files (`cells`, `unroll`, `bptt`) are imported by their own names.
"""

from jnets.ops.activations import ACTIVATIONS, activation, prelu, scaled_tanh
from jnets.ops.conv import conv, conv_transpose, convolve, correlate
from jnets.ops.losses import lenet_map_loss, nll_loss
from jnets.ops.norm import local_response_norm
from jnets.ops.pool import (
    adaptive_avg_pool,
    avg_pool,
    global_avg_pool,
    max_pool,
    subsample,
)
from jnets.ops.window import (
    ReceptiveField,
    Window,
    output_size,
    receptive_field,
    resolve_padding,
)

__all__ = [
    "ACTIVATIONS",
    "ReceptiveField",
    "Window",
    "activation",
    "adaptive_avg_pool",
    "avg_pool",
    "conv",
    "conv_transpose",
    "convolve",
    "correlate",
    "global_avg_pool",
    "lenet_map_loss",
    "local_response_norm",
    "max_pool",
    "nll_loss",
    "output_size",
    "prelu",
    "receptive_field",
    "resolve_padding",
    "scaled_tanh",
    "subsample",
]
