"""The activation functions of the lecture, by function and by name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jnets.errors import InputError
from jnets.typing import Array


def scaled_tanh(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """f(x) = 1.7159 tanh(2 x / 3), so that f(1) = 1 and f(-1) = -1 (to 3e-6).

    Targets of +-1 then lie where the second derivative is largest in size, away from
    the flat tails, and the gain f'(x) is near 1 for inputs of unit variance.
    Source: LeCun, Bottou, Bengio and Haffner 1998, appendix A.

    >>> import jax.numpy as jnp
    >>> round(float(scaled_tanh(jnp.array(1.0))), 4)
    1.0
    """
    return 1.7159 * jnp.tanh(x * (2 / 3))


def prelu(
    x: Float[Array, "*n c"], slope: Float[Array, " c_slope"] | Float[Array, ""]
) -> Float[Array, "*n c"]:
    """x where x > 0 and slope * x elsewhere; one learned slope per channel, or one.

    Errors: InputError if slope is neither a scalar nor [c].
    Source: He, Zhang, Ren and Sun 2015, section 2.1 (slopes start at 0.25).

    >>> import jax.numpy as jnp
    >>> prelu(jnp.array([[-4.0, 2.0]]), jnp.array([0.25, 0.25])).tolist()
    [[-1.0, 2.0]]
    """
    if slope.shape not in ((), x.shape[-1:]):
        raise InputError(
            f"slope has shape {slope.shape}: expected () or {x.shape[-1:]}"
        )
    slope = slope.reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.where(x > 0, x, slope * x)


def identity(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """f(x) = x: a linear layer or recurrence, by the same name as the others."""
    return x


# leaky_relu has slope 0.01 below zero, elu is exp(x) - 1 below zero.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": identity,
    "tanh": jnp.tanh,
    "scaled_tanh": scaled_tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The function called `name` in `ACTIVATIONS`; InputError lists the known names.

    >>> import jax.numpy as jnp
    >>> activation("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if name not in ACTIVATIONS:
        raise InputError(
            f"activation {name!r} is not known: choose one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
