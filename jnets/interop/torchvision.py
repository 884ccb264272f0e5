"""Torchvision's state dicts into variables of jnets and back, exact to the bit.

Torchvision's published weights of `googlenet` and `inception_v3` go with inputs of
mean 0.5 and standard deviation 0.5 of the range [0, 1]: there the option
`transform_input` turns ImageNet's normalisation into that one, inside the model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from jnets.errors import InputError
from jnets.interop.rows import MODELS, Path, Row, rows, shapes
from jnets.interop.tensors import array, both_ways, some

# How often a norm has seen a batch: PyTorch counts it and, with a fixed momentum,
# uses it for nothing.
COUNTER = "num_batches_tracked"


def to_variables(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of the jnets model `name` from torchvision's state dict.

    Takes NumPy arrays or PyTorch tensors; returns {"params": ..., "batch_stats": ...}
    of NumPy arrays in the dtype given, "batch_stats" empty for a model without norms.
    The classes are those of the state dict: apply `create(name, classes=...)` to them.
    The counters `num_batches_tracked` are dropped.

    A state dict without any auxiliary head gives variables without them. They are
    enough to predict; training needs the heads, which `model.init` makes.

    Errors: InputError, naming tensors both ways, if the state dict has a tensor that
    the model lacks, lacks one, or has one of another shape; and naming the model that
    it does fit, if there is one.
    """
    arrays = {
        k: array(v) for k, v in state_dict.items() if k.rpartition(".")[2] != COUNTER
    }
    table = _table(name, lambda row: row.source in arrays)
    missing = [row.source for row in table if row.source not in arrays]
    foreign = sorted(arrays.keys() - {row.source for row in table})
    wrong = [] if missing or foreign else _wrong_shapes(name, table, arrays)
    if missing or foreign or wrong:
        raise InputError(_misfit(name, arrays, foreign, missing, wrong))
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for row in table:
        # A copy: a tensor's memory changes when PyTorch trains on.
        leaf = np.array(row.transform.forward(arrays[row.source]), order="C")
        _put(variables, row.path, leaf)
    return variables


def to_state_dict(name: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Torchvision's state dict from variables of the jnets model `name`.

    What `load_state_dict(strict=True)` of torchvision's model accepts: without
    auxiliary heads in the variables that is the model built with `aux_logits=False`.
    The inverse of `to_variables`, with counters `num_batches_tracked` of 0. Dtypes are
    kept. Stacked blocks go through `jnets.models.stacking.unstack` first. Errors: as
    `to_variables`, by the paths of jnets.
    """
    trees = {key: variables.get(key, {}) for key in ("params", "batch_stats")}
    leaves: dict[Path, np.ndarray] = {
        tuple(key.key for key in path): array(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(trees)[0]
    }
    table = _table(name, lambda row: row.path in leaves)
    paths = {row.path for row in table}
    foreign = sorted("/".join(path) for path in leaves.keys() - paths)
    missing = ["/".join(path) for path in paths - leaves.keys()]
    if foreign or missing:
        raise InputError(
            f"variables are not those of {name}: {both_ways(foreign, sorted(missing))}"
        )
    expected = shapes(name, max(leaves[table[-1].path].size, 1))
    state_dict = {}
    for row in table:
        leaf = leaves[row.path]
        if leaf.shape != expected[row.path]:
            raise InputError(
                f"variables have {'/'.join(row.path)} of shape {leaf.shape}; "
                f"{name} has {expected[row.path]}"
            )
        state_dict[row.source] = np.array(row.transform.inverse(leaf), order="C")
        layer, _, part = row.source.rpartition(".")
        if part == "running_var":
            state_dict[f"{layer}.{COUNTER}"] = np.zeros((), np.int64)
    return state_dict


def _put(tree: dict[str, Any], path: Path, leaf: np.ndarray) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = leaf


def _is_auxiliary(row: Row) -> bool:
    return row.path[1].startswith("aux")


def _table(name: str, given: Callable[[Row], bool]) -> tuple[Row, ...]:
    """The model's rows, without its auxiliary heads if nothing of them is given."""
    table = rows(name)
    if any(map(given, filter(_is_auxiliary, table))):
        return table
    return tuple(row for row in table if not _is_auxiliary(row))


def _wrong_shapes(
    name: str, table: Iterable[Row], arrays: Mapping[str, np.ndarray]
) -> list[str]:
    """One note for each tensor whose shape is not the model's, in PyTorch's layout."""
    *_, head = table
    classes = arrays[head.source].shape[:1]
    if not all(classes) or not classes:
        return [f"{head.source} has no classes"]
    model, wrong = shapes(name, *classes), []
    for row in table:
        expected = row.transform.source_shape(model[row.path])
        found = arrays[row.source].shape
        if found != expected:
            wrong.append(f"{row.source} is {found}, expected {expected}")
    return wrong


def _misfit(
    name: str,
    arrays: Mapping[str, np.ndarray],
    foreign: list[str],
    missing: list[str],
    wrong: list[str],
) -> str:
    if wrong:
        return f"state_dict is not of {name}: {some(wrong)}"
    fitting = len(arrays) - len(foreign)
    text = (
        f"state_dict fits {name} in {fitting} of {fitting + len(missing)} tensors: "
        f"{both_ways(foreign, missing)}"
    )
    for other in MODELS:
        table = _table(other, lambda row: row.source in arrays)
        if {row.source for row in table} == arrays.keys():
            if not _wrong_shapes(other, table, arrays):
                return f"{text}; it is one of {other}"
    return text
