"""Recurrent layers of jnets run beside another framework's, and what is stored."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jnets.interop.pytorch import recurrent_to_state_dict
from jnets.layers import GRU, LSTM
from tests.fixtures import formula

STORED = Path(__file__).parents[1] / "fixtures" / "recurrent.npz"
SHAPE, LENGTHS = (2, 4, 2), [2, 4]  # those of make_recurrent.py


class Stored(NamedTuple):
    """A case of make_recurrent.py; `gradients` are by the names of weights, and x."""

    x: np.ndarray
    weights: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    cotangents: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def stored(name: str) -> Stored:
    def made(part: str, shape) -> np.ndarray:
        return formula.uniform(f"{name}.{part}", tuple(shape), -1, 1)

    with np.load(STORED) as file:
        shapes = json.loads(str(file["tensors"]))[name]
        outputs = {k: file[f"{name}.{k}"] for k in "yhc" if f"{name}.{k}" in file}
        ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
        parts = np.split(file[f"{name}.dw"], ends[:-1])
        gradients = {"x": file[f"{name}.dx"]}
    for (tensor, shape), part in zip(shapes.items(), parts, strict=True):
        gradients[tensor] = part.reshape(shape)
    weights = {tensor: made(tensor, shape) for tensor, shape in shapes.items()}
    cotangents = {k: made(f"d{k}", v.shape) for k, v in outputs.items()}
    return Stored(made("x", SHAPE), weights, outputs, cotangents, gradients)


def run(layer, variables, x, cotangents, **arguments):
    """(outputs y, h and c, gradients by variables, gradient by x) of the inner product
    of outputs and cotangents."""

    @jax.jit
    def both(variables, x, arguments):
        def loss(variables, x):
            y, final = layer.apply(variables, x, **arguments)
            outputs = {"y": y, "h": final.h, "c": final.c}
            parts = [jnp.vdot(outputs[k], v) for k, v in cotangents.items()]
            return sum(parts), outputs

        return jax.grad(loss, argnums=(0, 1), has_aux=True)(variables, x)

    (d_variables, dx), outputs = both(variables, jnp.asarray(x), arguments)
    return outputs, d_variables, dx


def torch_gradients(layer, d_variables):
    """By PyTorch's names: what is of both biases' sum is of each of them."""
    state = recurrent_to_state_dict(d_variables, layer)
    for name in state:
        if name.startswith("bias_hh"):
            apart = layer.hidden if isinstance(layer, GRU) else 0
            shared = len(state[name]) - apart
            state[name][:shared] = state[name.replace("hh", "ih")][:shared]
    return state


def close(found, expected, tolerance=1e-5):
    """Everything in `expected`, by name, on the scale of the largest of each or 1."""
    for name, value in expected.items():
        scale = max(1.0, float(np.abs(value).max(initial=0)))
        error = np.abs(np.asarray(found[name], np.float64) - value).max(initial=0)
        assert error <= tolerance * scale, (name, error, scale)


def random_variables(layer, features, seed=0):
    """Like those of `layer`, but normal."""
    x = jnp.zeros((1, 1, features))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    rng = np.random.default_rng(seed)

    def normal(leaf):
        return (rng.standard_normal(leaf.shape) / 2).astype(np.float32)

    return jax.tree.map(normal, shapes)


def same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        one, two = np.asarray(one), np.asarray(two)
        assert one.dtype == two.dtype and one.shape == two.shape
        assert one.tobytes() == two.tobytes()


# Fields that no other framework has a value for.
ODD = [
    (LSTM(3, peepholes=True), "peepholes=True"),
    (LSTM(3, forget=False), "forget=False"),
    (LSTM(3, output_tanh=False), "output_tanh=False"),
    (LSTM(3, layer_norm=True), "layer_norm=True"),
    (LSTM(3, learned_start=True), "learned_start=True"),
]
