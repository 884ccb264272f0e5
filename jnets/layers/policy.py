"""Which dtype parameters are kept in, sums are computed in, and outputs have."""

from typing import NamedTuple

import jax.numpy as jnp

from jnets.typing import Array


class Policy(NamedTuple):
    """Dtypes by name, so that a policy is plain data and survives JSON.

    The default is float32 throughout. `Policy(compute="bfloat16")` is mixed
    precision: float32 parameters, bfloat16 products, float32 outputs for the loss.
    """

    param: str = "float32"
    compute: str = "float32"
    output: str = "float32"

    @property
    def param_dtype(self) -> jnp.dtype:
        return jnp.dtype(self.param)

    def cast(self, *arrays: Array) -> tuple[Array, ...]:
        """The arrays in the compute dtype."""
        return tuple(a.astype(self.compute) for a in arrays)

    def finish(self, x: Array) -> Array:
        """A model's result in the output dtype."""
        return x.astype(self.output)
