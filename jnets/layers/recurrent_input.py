"""What recurrent layers accept, and what they say of the rest."""

import warnings
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jnets.errors import InputError
from jnets.layers import recurrent_init
from jnets.typing import Array

if TYPE_CHECKING:
    from jnets.layers.recurrent import Recurrent, RecurrentState


def valid_steps(x: Array, lengths: Array | None, mask: Array | None) -> Array | None:
    """bool [T, B] from lengths [B] or a mask [B, T]; None if all steps count."""
    if mask is not None:
        return jnp.asarray(mask).T
    if lengths is None:
        return None
    return jnp.arange(x.shape[1])[:, None] < jnp.asarray(lengths)[None]


def check_fields(layer: "Recurrent") -> None:
    """Raise an InputError for fields that make no layer."""
    for name in ("hidden", "num_layers", "unroll", "window", "projection"):
        value = getattr(layer, name, None)
        if value is not None and value < 1:
            raise InputError(f"{name}={value} is not usable; expected at least 1")
    for name in ("dropout", "recurrent_dropout"):
        value = getattr(layer, name)
        if not 0 <= value < 1:
            raise InputError(f"{name}={value} is not usable; expected 0 <= rate < 1")
    if layer.bidirectional and layer.reverse:
        raise InputError(
            "reverse=True with bidirectional=True: both directions are there already"
        )
    if layer.residual and layer.highway:
        raise InputError("residual=True with highway=True: expected one of them")
    if layer.save not in ("gates", "states", "sqrt") and not (
        isinstance(layer.save, int) and layer.save > 0
    ):
        raise InputError(
            f"save={layer.save!r} is unknown; expected 'gates', 'states', 'sqrt' or a "
            f"number of steps"
        )
    if layer.implementation not in ("auto", "scan", "cudnn"):
        raise InputError(
            f"implementation={layer.implementation!r} is unknown; expected 'auto', "
            f"'scan' or 'cudnn'"
        )
    forget_bias = getattr(layer, "forget_bias", 0.0)
    if forget_bias and not getattr(layer, "forget", True):
        raise InputError(
            f"forget_bias={forget_bias} with forget=False: there is no forget gate"
        )
    _check_use(layer)
    recurrent_init.check("scheme", layer.scheme)
    if layer.recurrent_scheme is not None:
        recurrent_init.check("recurrent_scheme", layer.recurrent_scheme, inner=True)


def _check_use(layer: "Recurrent") -> None:
    """What is not wrong by itself, but does not go with the rest."""
    states = layer.cell().states
    if states > 2:
        raise InputError(
            f"own has {states} states; expected one or two, h and c: use jnets.ops.bptt"
        )
    if layer.dropout and layer.num_layers == 1 and not layer.variational:
        warnings.warn(
            f"dropout={layer.dropout} does nothing: it is between layers, and there is "
            f"one",
            stacklevel=2,
        )


def plain(layer: "Recurrent", **fields: object) -> None:
    """Raise an InputError unless these fields are what layer_norm=True needs."""
    for name, expected in fields.items():
        value = getattr(layer, name)
        if value != expected:
            raise InputError(
                f"{name}={value!r} with layer_norm=True is not there; expected "
                f"{name}={expected!r}"
            )


def check_inputs(
    layer: "Recurrent",
    x: Array,
    lengths: Array | None,
    mask: Array | None,
    resets: Array | None,
    state: "RecurrentState | None",
) -> None:
    """Raise an InputError that names the argument that does not fit x."""
    if x.ndim != 3:
        raise InputError(f"x has shape {x.shape}; expected [batch, steps, features]")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise InputError(f"x has dtype {x.dtype}; expected floating point numbers")
    batch, steps, _ = x.shape
    if lengths is not None and mask is not None:
        raise InputError("lengths and mask are both given; expected one of them")
    _check_lengths(lengths, batch, steps)
    for name, given in (("mask", mask), ("resets", resets)):
        if given is None:
            continue
        given = jnp.asarray(given)
        if given.shape != (batch, steps) or given.dtype != bool:
            raise InputError(
                f"{name} has shape {given.shape} and dtype {given.dtype}; expected "
                f"bool {(batch, steps)}, x's batch and steps"
            )
    if state is not None:
        _check_state(layer, state, batch)


def _check_lengths(lengths: Array | None, batch: int, steps: int) -> None:
    if lengths is None:
        return
    known = not isinstance(lengths, Tracer)  # inside jit values are not
    values = np.asarray(lengths) if known else lengths
    if values.shape != (batch,) or not jnp.issubdtype(values.dtype, jnp.integer):
        raise InputError(
            f"lengths has shape {values.shape} and dtype {values.dtype}; expected "
            f"integers of shape {(batch,)}, one for each sequence of x"
        )
    if known and values.size and not (0 <= values.min() and values.max() <= steps):
        raise InputError(
            f"lengths go from {values.min()} to {values.max()}; expected 0 to {steps}, "
            f"the steps of x"
        )


def _check_state(layer: "Recurrent", state: "RecurrentState", batch: int) -> None:
    count = layer.num_layers * (1 + layer.bidirectional)
    sizes = layer.sizes()
    given = [s for s in state if s is not None]
    expected = [(count, batch, n) for n in sizes]
    if [s.shape for s in given] != expected:
        raise InputError(
            f"initial_state has shapes {[s.shape for s in given]}; expected "
            f"{expected}, [layers x directions, batch, size] each"
        )
    for name, s in zip(("h", "c"), given, strict=False):
        if s.dtype != layer.policy.param_dtype:
            raise InputError(
                f"initial_state.{name} is {s.dtype}; expected {layer.policy.param}, "
                f"the dtype of the layer's parameters"
            )
