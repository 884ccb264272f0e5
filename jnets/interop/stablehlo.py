"""Programs that run without jnets: StableHLO, with the variables inside.

What is written is a function of inputs for any size of the axes that are given by a
letter, compiled anew wherever it is loaded, on any of its platforms.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
from jax import export as jax_export
from jax.errors import InconclusiveDimensionOperation

from jnets.errors import InputError
from jnets.layers.direction import portable
from jnets.typing import Array, PyTree

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Shape = tuple[str, str]  # axes, as "b, t, 32", and a dtype


def export(
    model: nn.Module | Callable[..., Any],
    variables: PyTree,
    inputs: Sequence[Shape],
    *,
    platforms: Sequence[str] = ("cpu",),
) -> bytes:
    """A trained model as bytes for `load` here, or `jax.export.deserialize` anywhere.

    The program is `model.apply(variables, *inputs)`, or where `model` is a function,
    `model(variables, *inputs)`; of its results named tuples are plain ones.

        export(lstm, variables, [("b, t, 32", "float32")], platforms=["cpu", "cuda"])

    Recurrent layers run by `lax.scan`, whatever their `implementation` is elsewhere.
    Errors: InputError for unknown platforms, axes that are none, a model that cannot
    have them without a size, or if flatbuffers is not installed.
    """
    unknown = sorted(set(platforms) - set(PLATFORMS))
    if unknown or not platforms:
        raise InputError(f"platforms={list(platforms)}; expected some of {PLATFORMS}")
    arguments = _shaped(inputs)
    apply = model.apply if isinstance(model, nn.Module) else model
    with portable():
        try:
            exported = jax_export.export(
                jax.jit(lambda *given: _plain(apply(variables, *given))),
                platforms=list(platforms),
            )(*arguments)
        except InconclusiveDimensionOperation as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"inputs={list(inputs)}: the model needs sizes in place of letters "
                f"({reason})"
            ) from None
    try:
        return bytes(exported.serialize())
    except ImportError:
        raise InputError(
            "export needs flatbuffers: pip install 'jnets[export]'"
        ) from None


def load(program: bytes) -> Callable[..., Array]:
    """What `export` wrote, as a function of the inputs.

    Errors: InputError for other bytes, or if this machine is none of its platforms.
    """
    try:
        exported = jax_export.deserialize(bytearray(program))
    except Exception as error:  # flatbuffers' own errors are of many kinds
        raise InputError(
            f"program: not what export wrote ({type(error).__name__})"
        ) from error
    here = jax.default_backend()
    here = "cuda" if here == "gpu" else here
    if here not in exported.platforms:
        raise InputError(
            f"program: made for {', '.join(exported.platforms)}; this machine is {here}"
        )
    return exported.call


def _plain(tree: Any) -> Any:
    """Tuples in place of named ones, whose names another process would not know."""
    if isinstance(tree, tuple):
        return tuple(map(_plain, tree))
    if isinstance(tree, dict):
        return {name: _plain(part) for name, part in tree.items()}
    return tree


def _shaped(inputs: Sequence[Shape]) -> list[Any]:
    """The same letter is the same size in all inputs."""
    scope = jax_export.SymbolicScope()
    arguments = []
    for axes, dtype in inputs:
        try:
            shape = jax_export.symbolic_shape(axes, scope=scope)
            arguments.append(jax.ShapeDtypeStruct(shape, dtype))
        except (ValueError, TypeError):
            raise InputError(
                f"inputs: {(axes, dtype)!r}; expected axes, as 'b, t, 32', and a dtype"
            ) from None
    return arguments
