"""Variables that were trained before: from a file of weights, or from a run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.interop import timm, torchvision, weights
from jnets.interop.rows import MODELS as IN_FILES
from jnets.runs import Description, Run, load
from jnets.typing import Array, PyTree


class Trained(NamedTuple):
    """Variables; and what was run, if a run made them."""

    variables: PyTree
    description: Description | None


def read(name: str, path: Path) -> Trained:
    """The model `name` as `path` has it.

    `path` is a file with torchvision's state dict of that model in it, or timm's (see
    `jnets.interop.weights`), or the directory of a run that trained it. Errors:
    InputError, which names `path`, for anything else, and for another model.
    """
    if path.is_dir():
        return _read_run(name, path)
    if not path.exists():
        raise InputError(f"weights={path} is neither a file nor a directory")
    if name not in IN_FILES:
        raise InputError(
            f"weights={path} is a file, and torchvision has no {name}; expected the "
            f"directory of a run that trained one"
        )
    tensors = weights.read(path)
    try:
        tensors = timm.from_timm(name, tensors)
        return Trained(torchvision.to_variables(name, tensors), None)
    except InputError as error:
        raise InputError(f"weights={path}: {error}") from error


def _read_run(name: str, path: Path) -> Trained:
    description = Run.open(path).description
    if description.model != name:
        raise InputError(
            f"weights={path} is a run of {description.model}; expected one of {name}"
        )
    return Trained(load(path).variables, description)


def read_variables(name: str, path: Path) -> PyTree:
    """The variables alone of what `read` finds."""
    return read(name, path).variables


def adopt(fresh: PyTree, trained: PyTree) -> dict[str, Any]:
    """`fresh` variables with the trained ones in place, but for classifiers of another
    number of classes, which stay fresh.

    A classifier is a fully connected layer (`fc...`) of other outputs and as many
    inputs. Parts that only `fresh` has, auxiliary heads, stay too. Errors: InputError
    for trained variables that differ in anything else.
    """
    new, old = _by_name(fresh), _by_name(trained)
    odd = sorted(set(old) - set(new))
    odd += [n for n in new if n not in old and not n.split("/")[1].startswith("aux")]
    for name, leaf in old.items():
        like = new.get(name, leaf)
        same = -1 if name.split("/")[-2].startswith("fc") else None  # but for classes
        if leaf.shape[:same] != like.shape[:same]:
            odd.append(f"{name} {leaf.shape} for {like.shape}")
    if odd:
        more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise InputError(f"weights do not fit the model: {', '.join(odd[:3])}{more}")

    def choose(path, leaf: Array) -> Array:
        found = old.get(_name(path), leaf)
        return jnp.asarray(found, leaf.dtype) if found.shape == leaf.shape else leaf

    return jax.tree_util.tree_map_with_path(choose, fresh)


def _by_name(tree: PyTree) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
