"""Initialisations of recurrent weights, block by block.

A kernel of G gates is G matrices side by side, each with its own fans: drawn as one
matrix, an orthogonal one would not be orthogonal for any gate.
"""

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers.init import INITS, Initializer, initialisation, symmetric_uniform
from jnets.ops.cells import Cell

RECURRENT = ("orthogonal", "identity")


def kernel(scheme: str, hidden: int, blocks: int) -> Initializer:
    """Of [rows, blocks H]; `scheme` is a name of INITS or of RECURRENT.

    "pytorch_uniform" is what torch.nn.RNN, LSTM and GRU start from: U(+-1/sqrt(H)),
    whatever the rows. "orthogonal": all singular values 1 (Saxe et al. 2014; Flax's
    and Keras's recurrent kernels). "identity": Le, Jaitly & Hinton 2015, the IRNN.
    """
    if scheme == "pytorch_uniform":
        return symmetric_uniform(hidden**-0.5)

    def init(key, shape, dtype):
        rows, columns = shape[0], shape[1] // blocks
        block = {
            "orthogonal": jax.nn.initializers.orthogonal(),
            "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
        }.get(scheme) or initialisation(scheme).kernel(rows, columns)
        keys = jax.random.split(key, blocks)
        parts = [block(each, (rows, columns), dtype) for each in keys]
        return jnp.concatenate(parts, axis=1)

    return init


def bias(scheme: str, hidden: int, cell: Cell, *, forget: float = 0.0) -> Initializer:
    """Of [G H]. PyTorch keeps two biases where one would do: ours is their sum, but
    where the cell has the second one apart. `forget` is added to the second block."""
    apart = sum(n for name, n in cell.vectors if name == "recurrent_bias")
    twice = (cell.gates - apart) * hidden

    def init(key, shape, dtype):
        value = jnp.zeros(shape, dtype)
        if scheme == "pytorch_uniform":
            one, two = (
                symmetric_uniform(hidden**-0.5)(each, shape, dtype)
                for each in jax.random.split(key)
            )
            value = one + jnp.where(jnp.arange(shape[0]) < twice, two, 0)
        return value.at[hidden : 2 * hidden].add(forget) if forget else value

    return init


def vector(name: str, scheme: str, hidden: int, forget: float = 0.0) -> Initializer:
    """Of a cell's vectors: a normalisation starts as what it is called, gains at 1 and
    shifts at 0 but for the forget gate's; others start as biases do."""
    if name.startswith("gain"):
        return jax.nn.initializers.ones
    if name == "shift" and forget:

        def init(key, shape, dtype):
            return jnp.zeros(shape, dtype).at[hidden : 2 * hidden].add(forget)

        return init
    if scheme == "pytorch_uniform" and not name.startswith("shift"):
        return symmetric_uniform(hidden**-0.5)
    return jax.nn.initializers.zeros


def check(name: str, scheme: str, *, inner: bool = False) -> None:
    """Raise an InputError unless the scheme is known, RECURRENT for `inner` kernels."""
    known = [*(RECURRENT if inner else ()), *sorted(INITS)]
    if scheme not in known:
        raise InputError(f"{name}={scheme!r} is unknown; expected one of {known}")
