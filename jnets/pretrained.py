"""Variables that were trained before: from a file of weights, or from a run."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.interop import timm, torchvision, weights
from jnets.runs import Run, load
from jnets.typing import Array, PyTree


def read_variables(name: str, path: Path) -> PyTree:
    """The variables of the model `name` from `path`.

    `path` is a file with torchvision's state dict of that model in it, or timm's (see
    `jnets.interop.weights`), or the directory of a run that trained it. Errors:
    InputError for anything else, and for another model.
    """
    if not path.is_dir():
        tensors = timm.from_timm(name, weights.read(path))
        return torchvision.to_variables(name, tensors)
    kept = Run.open(path).description.model
    if kept != name:
        raise InputError(f"weights={path} is a run of {kept}; expected one of {name}")
    return load(path).variables


def adopt(fresh: PyTree, trained: PyTree) -> dict[str, Any]:
    """`fresh` variables with the trained ones in place, but for classifiers of another
    number of classes, which stay fresh.

    A classifier is a kernel of other outputs and as many inputs, with its bias. Parts
    that only `fresh` has, auxiliary heads, stay too. Errors: InputError for trained
    variables that differ in anything else.
    """
    new, old = _by_name(fresh), _by_name(trained)
    odd = sorted(set(old) - set(new))
    odd += [n for n in new if n not in old and not n.split("/")[1].startswith("aux")]
    for name, leaf in old.items():
        like = new.get(name, leaf)
        if leaf.shape[:-1] != like.shape[:-1]:
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
