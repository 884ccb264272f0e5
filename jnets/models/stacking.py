"""Repeated identical blocks: run by one loop, their parameters in one stack.

A residual net's stage is one block that may change the shape of its input and then
blocks that are all alike. XLA compiles every one of them anew unless they are the body
of a loop, for which their parameters must lie in one array per name, with the blocks
along a leading axis: `stage3/rest` in place of `stage3/block2` to `stage3/block36`.
`chain` runs either form, `stack` and `unstack` turn the trees of one into the other.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.errors import InputError
from jnets.typing import Array, PyTree

UNROLLED = 4

# A mapping of names to trees and the path to it -> what takes its place, if anything.
Change = Callable[[Mapping[str, PyTree], str], dict[str, PyTree] | None]


def chain(
    block: Callable[[str, bool], nn.Module],
    count: int,
    x: Array,
    *,
    stacked: bool,
    remat: bool,
) -> Array:
    """x through `count` blocks, which the compact module that calls this will own.

    `block(name, first)` makes one. They are `block1` to `block<count>`; `stacked`,
    `block1` and then `rest`, whose parameters and batch statistics have a leading axis
    of count - 1 and are the inputs and outputs of a `lax.scan`. Each of them is drawn
    by itself, with the fans of one block. `remat` keeps no block's inner activations
    for the backward pass: they are computed again.
    """
    call = nn.remat(_call) if remat else _call
    alone = 1 if stacked else count
    for i in range(1, alone + 1):
        x = call(block(f"block{i}", i == 1), x)
    if alone == count:
        return x
    # A loop's body is not merged with its own copy in the backward loop.
    inner = nn.remat(_call, prevent_cse=False) if remat else _call

    def body(module: nn.Module, x: Array, _: None) -> tuple[Array, None]:
        return inner(module, x), None

    loop = nn.scan(
        body,
        variable_axes={"params": 0, "batch_stats": 0},
        split_rngs={"params": True},
        length=count - 1,
        unroll=count - 1 if count - 1 <= UNROLLED else 1,
    )
    return loop(block("rest", False), x, None)[0]


def _call(module: Any, x: Array) -> Array:
    return module(x)


def stack(tree: PyTree) -> PyTree:
    """A tree with `block1` to `block<n>` as one with `block1` and `rest`.

    `tree` is a model's variables, its parameters or batch statistics alone, or any
    tree shaped like them, such as an optimizer's state: mappings are searched, tuples
    too, and everything else is passed on. The bits stay, `unstack` gives them back.
    Leaves may be NumPy's or JAX's arrays and stay so.

    Errors: InputError for a tree without blocks or already stacked, for block numbers
    with a gap, and for blocks after the first that differ in structure, shape or dtype.
    """
    return _convert(tree, _stacked, "block1, block2, ...")


def unstack(tree: PyTree) -> PyTree:
    """The inverse of `stack`: `rest` becomes `block2` to `block<n>`.

    Errors: InputError for a tree without `rest`, or whose `rest` has blocks beside it
    other than `block1`, or leaves whose leading axes differ or are empty.
    """
    return _convert(tree, _unstacked, "block1 and rest")


def _convert(tree: PyTree, change: Change, wanted: str) -> PyTree:
    """`change` applied within each outermost mapping, which must have a use for it."""
    if isinstance(tree, tuple | list):
        parts = [_convert(part, change, wanted) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if not isinstance(tree, Mapping) or not jax.tree.leaves(tree):
        return tree
    new, changed = _search(tree, change, "")
    if not changed:
        raise InputError(
            f"a tree with {sorted(tree)} has no stage to convert; expected stages with "
            f"{wanted}"
        )
    return new


def _search(tree: PyTree, change: Change, path: str) -> tuple[PyTree, bool]:
    """The tree with every stage in it changed, and whether there was one."""
    if not isinstance(tree, Mapping):
        return tree, False
    stage = change(tree, path or "the tree")
    if stage is not None:
        return stage, True
    found = {k: _search(v, change, f"{path}/{k}".lstrip("/")) for k, v in tree.items()}
    return {k: v for k, (v, _) in found.items()}, any(c for _, c in found.values())


def _numbers(stage: Mapping[str, PyTree], path: str) -> list[int]:
    """The numbers of a stage's blocks; none where the mapping is no stage."""
    matches = [re.fullmatch(r"block(\d+)", name) for name in stage]
    numbers = sorted(int(m[1]) for m in matches if m)
    if numbers and numbers != list(range(1, len(numbers) + 1)):
        raise InputError(f"{path} has blocks {numbers}; expected 1 to {len(numbers)}")
    return numbers


def _stacked(stage: Mapping[str, PyTree], path: str) -> dict[str, PyTree] | None:
    numbers = _numbers(stage, path)
    if not numbers:
        return None
    if "rest" in stage:
        raise InputError(f"{path} is stacked already; expected blocks by number")
    rest = [stage[f"block{n}"] for n in numbers[1:]]
    others = {k: v for k, v in stage.items() if not re.fullmatch(r"block\d+", k)}
    first = {"block1": stage["block1"]}
    if not rest:
        return others | first
    for n, block in zip(numbers[1:], rest, strict=True):
        if _kind(block) != _kind(rest[0]):
            raise InputError(f"{path}/block{n} differs from block2; expected its like")
    return others | first | {"rest": jax.tree.map(_join, *rest)}


def _unstacked(stage: Mapping[str, PyTree], path: str) -> dict[str, PyTree] | None:
    numbers = _numbers(stage, path)
    if not numbers and "rest" not in stage:
        return None
    if "rest" not in stage and numbers == [1]:
        return dict(stage)
    if numbers != [1] or "rest" not in stage:
        raise InputError(f"{path} has {sorted(stage)}; expected block1 and rest")
    leaves = jax.tree.leaves(stage["rest"])
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
    if len(counts) != 1 or 0 in counts:
        raise InputError(
            f"{path}/rest has leading axes of {sorted(counts)}; expected one number of "
            "blocks, at least 1"
        )
    blocks = {
        # With "...", an element of a NumPy vector stays an array.
        f"block{i + 2}": jax.tree.map(lambda leaf, i=i: leaf[i, ...], stage["rest"])
        for i in range(counts.pop())
    }
    return {k: v for k, v in stage.items() if k != "rest"} | blocks


def _kind(block: PyTree) -> tuple:
    leaves, structure = jax.tree.flatten(block)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def _join(*leaves: Array) -> Array:
    # jnp.stack would narrow NumPy's float64.
    host = all(isinstance(leaf, np.ndarray) for leaf in leaves)
    return np.stack(leaves) if host else jnp.stack(leaves)  # type: ignore[return-value]
