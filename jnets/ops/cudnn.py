"""The LSTM of NVIDIA's cuDNN, where it computes what `bptt` does.

Decided in Python while tracing, as its operation exists on a GPU alone. Its products
are in TF32 unless `jax_default_matmul_precision` says otherwise, as XLA's are there.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import rnn

from jnets.ops.cells import State
from jnets.ops.cells_lstm import lstm
from jnets.ops.recurrence import Form, Steps, Weights, where
from jnets.typing import Array


def obstacle(form: Form, x: Array, steps: Steps, lengths: Array | None) -> str | None:
    """Why cuDNN cannot run this recurrence, in a few words; None if it can."""
    backend = jax.default_backend()
    plain = form._replace(reverse=False) == Form(lstm())
    reasons = {
        f"the backend is {backend}, not an NVIDIA GPU": backend not in ("gpu", "cuda"),
        "it has the plain LSTM alone": form.cell != lstm(),
        "it has no truncation and no other compute dtype": not plain,
        f"x is {x.dtype}, not float32": x.dtype != jnp.float32,
        "it has no resets": steps.resets is not None,
        "it has no dropout of h": steps.drop is not None,
        "it takes lengths, not a mask": steps.valid is not None and lengths is None,
        "there are no steps": not len(x),
    }
    return next((reason for reason, true in reasons.items() if true), None)


def cudnn_lstm(
    form: Form, weights: Weights, x: Array, start: State, lengths: Array | None
) -> tuple[Array, State]:
    """h of all steps [T, B, H] and the final state, as `bptt` gives them.

    x [T, B, F]; after its `lengths` [B] h is not defined. cuDNN needs a step of each
    sequence: one of none is given one, and its initial state back.
    """
    steps, batch, features = x.shape
    hidden = start[0].shape[-1]
    given = jnp.full((batch,), steps) if lengths is None else lengths
    counted = jnp.maximum(given, 1).astype(jnp.int32)
    x = jnp.swapaxes(x, 0, 1)
    x = _turned(x, counted) if form.reverse else x
    h, c = (s[None] for s in start)
    static = features, hidden, 1, 0.0, False
    result: Any = rnn.lstm(x, h, c, _packed(weights, hidden), counted, *static)
    hs, h, c = result
    hs = _turned(hs, counted) if form.reverse else hs
    return jnp.swapaxes(hs, 0, 1), where(given > 0, (h[0], c[0]), start)


def _packed(weights: Weights, hidden: int) -> Array:
    """W_ih, W_hh, b_ih, b_hh, gates i, f, g, o, output by input, in one row."""
    none = jnp.zeros((4 * hidden,), weights.input.dtype)
    bias = none if weights.bias is None else weights.bias
    parts = weights.input.T, weights.recurrent[0].T, bias, none
    return jnp.concatenate([part.reshape(-1) for part in parts])


def _turned(x: Array, lengths: Array) -> Array:
    """Each sequence of [B, T, ...] back to front; what follows it stays."""
    t = jnp.arange(x.shape[1])[None]
    last = lengths[:, None] - 1
    source = jnp.where(t <= last, last - t, t)
    return jnp.take_along_axis(x, source[..., None], axis=1)
