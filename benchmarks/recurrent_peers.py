"""One recurrent layer by jnets and by other libraries of JAX, from the same weights.

Axes: T steps, B batch, I inputs, H hidden, G gates.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from benchmarks.recurrent_case import CELLS, Case, Weights
from jnets.layers import GRU, LSTM, RNN, Policy
from jnets.ops import recurrence
from jnets.ops.bptt import bptt
from jnets.typing import PyTree

SAVES = ("gates", "states", "sqrt")


class Program(NamedTuple):
    """h of all steps = apply(params, x), [T, B, ...] both if `time_major`."""

    apply: Callable[[Any, Any], Any]
    params: PyTree
    time_major: bool = True


def blocks(array: np.ndarray, *order: int) -> np.ndarray:
    """The gates' blocks on the last axis in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[k] for k in order], axis=-1)


def jnets(case: Case, weights: Weights) -> dict[str, Program]:
    """The layer as it comes, on x [B, T, I], and its core by each save policy."""
    cell, policy = CELLS[case.cell], Policy("float32", case.dtype, "float32")
    kinds = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
    kinds["gru_before"] = partial(GRU, reset_after=False)
    kinds["rnn_relu"] = partial(RNN, activation="relu")
    layer = kinds[case.cell](case.hidden, policy=policy)
    form = recurrence.Form(cell, compute=case.dtype if case.half else None)
    params = {"kernel": weights.input, "bias": weights.bias}
    params |= zip((m.name for m in cell.matrices), weights.recurrent, strict=True)
    params |= zip((name for name, _ in cell.vectors), weights.pointwise, strict=True)

    def core(save, weights, x):
        start = (jnp.zeros((case.batch, case.hidden)),) * cell.states
        return bptt(form, recurrence.Weights(*weights), x, start, save=save)[0]

    def whole(params, x):
        return layer.apply({"params": {"layer0": params}}, x)[0]

    found = {f"jnets bptt, {s}": Program(partial(core, s), weights) for s in SAVES}
    return {"jnets": Program(whole, params, time_major=False)} | found


def flax(case: Case, weights: Weights) -> dict[str, Program]:
    dtype = jnp.dtype(case.dtype)
    # The state of a SimpleCell is of param_dtype. Its own initialiser has no bfloat16.
    zeros = nn.initializers.zeros
    simple = partial(nn.SimpleCell, param_dtype=dtype, recurrent_kernel_init=zeros)
    cells = {
        "lstm": {"LSTMCell": nn.LSTMCell, "OptimizedLSTMCell": nn.OptimizedLSTMCell},
        "gru": {"GRUCell": nn.GRUCell},
        "rnn": {"SimpleCell": simple},
        "rnn_relu": {"SimpleCell": partial(simple, activation_fn=jax.nn.relu)},
    }
    names = {"lstm": "ifgo", "gru": "rzn"}.get(case.cell, ("",))
    w_x, w_h, b = (
        np.split(w, len(names), axis=-1)
        for w in (weights.input, weights.recurrent[0], weights.bias)
    )
    params, biased = {}, "h" if case.cell == "lstm" else "i"
    for k, name in enumerate(names):
        params[f"i{name}"], params[f"h{name}"] = {"kernel": w_x[k]}, {"kernel": w_h[k]}
        params[biased + name]["bias"] = b[k]
    if case.cell == "gru":
        params["hn"]["bias"] = weights.pointwise[0]

    def program(cell):
        layer = nn.RNN(cell(case.hidden, dtype=dtype), time_major=True)
        return Program(layer.apply, {"params": {"cell": params}})

    return {f"flax {name}": program(cell) for name, cell in cells[case.cell].items()}


def haiku(case: Case, weights: Weights) -> dict[str, Program]:
    """One product of x and h together; its forget gate adds 1, its GRU's z is 1 - z."""
    import haiku as hk  # pyright: ignore[reportMissingImports]

    w_x, b, w_h = weights.input, weights.bias, weights.recurrent
    if case.cell == "lstm":
        make, order = hk.LSTM, (0, 2, 1, 3)
        b = b - np.repeat(np.array([0, 1, 0, 0], np.float32), case.hidden)
        w = blocks(np.concatenate([w_x, w_h[0]]), *order)
        params = {"lstm/linear": {"w": w, "b": blocks(b, *order)}}
    elif case.cell == "gru_before":
        sign = np.repeat(np.array([1, -1, 1], np.float32), case.hidden)
        given = {"w_i": w_x, "w_h": np.concatenate(w_h, axis=1), "b": b}
        make = hk.GRU
        params = {"gru": {k: blocks(w * sign, 1, 0, 2) for k, w in given.items()}}
    else:
        make = partial(hk.VanillaRNN, double_bias=False)
        params = {"vanilla_rnn/linear": {"w": w_x, "b": b}}
        params["vanilla_rnn/linear_1"] = {"w": w_h[0]}

    def unroll(x):
        core = make(case.hidden)
        start = jax.tree.map(
            lambda s: s.astype(x.dtype), core.initial_state(case.batch)
        )
        return hk.dynamic_unroll(core, x, start)[0]

    net = hk.without_apply_rng(hk.transform(unroll))
    return {"haiku": Program(_in_dtype(case, net.apply), params)}


def equinox(case: Case, weights: Weights) -> dict[str, Program]:
    """A scan for one sequence, and vmap over the batch."""
    import equinox as eqx  # pyright: ignore[reportMissingImports]

    is_lstm = case.cell == "lstm"
    make = eqx.nn.LSTMCell if is_lstm else eqx.nn.GRUCell
    cell = make(case.inputs, case.hidden, key=jax.random.key(0))
    kernels = weights.input.T, weights.recurrent[0].T
    cell = eqx.tree_at(
        lambda c: (c.weight_ih, c.weight_hh, c.bias, *(() if is_lstm else (c.bias_n,))),
        cell,
        (*kernels, weights.bias, *weights.pointwise),
    )

    def sequence(cell, x):
        def step(state, x):
            state = cell(x, state)
            return state, state[0] if is_lstm else state

        zeros = jnp.zeros(case.hidden, x.dtype)
        return lax.scan(step, (zeros, zeros) if is_lstm else zeros, x)[1]

    apply = jax.vmap(sequence, in_axes=(None, 1), out_axes=1)
    return {"equinox": Program(_in_dtype(case, apply), cell)}


def keras(case: Case, weights: Weights) -> dict[str, Program]:
    """Its GRU has z before r, and two biases."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras  # pyright: ignore[reportMissingImports]

    layers = {
        "lstm": keras.layers.LSTM,
        "gru": keras.layers.GRU,
        "gru_before": partial(keras.layers.GRU, reset_after=False),
        "rnn": keras.layers.SimpleRNN,
        "rnn_relu": partial(keras.layers.SimpleRNN, activation="relu"),
    }
    layer = layers[case.cell](
        case.hidden,
        return_sequences=True,
        recurrent_initializer="zeros",  # its own has no bfloat16
        dtype=case.dtype,
    )
    layer.build((case.batch, case.steps, case.inputs))
    w_h = np.concatenate(weights.recurrent, axis=1)
    params = [weights.input, w_h, weights.bias]
    if case.cell.startswith("gru"):
        params = [blocks(w, 1, 0, 2) for w in params]
    if case.cell == "gru":
        second = np.pad(weights.pointwise[0], (2 * case.hidden, 0))
        params[2] = np.stack([params[2], second])
    rest = [v.value for v in layer.non_trainable_variables]

    def apply(params, x):
        return layer.stateless_call(params, rest, x)[0]

    return {"keras": Program(_in_dtype(case, apply), params, time_major=False)}


def _in_dtype(case: Case, apply):
    """Mixed precision where it is left to who calls: weights and x are cast first."""

    def cast(params, x):
        return apply(*jax.tree.map(lambda a: a.astype(case.dtype), (params, x)))

    return cast if case.half else apply


class Library(NamedTuple):
    programs: Callable[[Case, Weights], dict[str, Program]] | None  # None: PyTorch's
    package: str
    cells: tuple[str, ...] = tuple(CELLS)


# By the name of the module; jnets is first, as the others' numbers are held against it.
LIBRARIES = {
    "jnets": Library(jnets, "jax"),
    "flax": Library(flax, "flax", ("lstm", "gru", "rnn", "rnn_relu")),
    "haiku": Library(haiku, "dm-haiku", ("lstm", "gru_before", "rnn_relu")),
    "equinox": Library(equinox, "equinox", ("lstm", "gru")),
    "keras": Library(keras, "keras"),
    "torch": Library(None, "torch", ("lstm", "gru", "rnn", "rnn_relu")),
}
