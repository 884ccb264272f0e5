"""Tensors by name as other frameworks give them, and what to say of wrong ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def array(value: Any) -> np.ndarray:
    """What NumPy makes of an array or a PyTorch tensor, wherever that lives."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):  # unknown to NumPy; float32 holds it exactly
            return value.float().numpy().astype(jnp.bfloat16)
    return np.asarray(value)


def flat(tree: Any, start: str) -> dict[str, np.ndarray]:
    """The leaves of nested dicts by their paths, as in start/layer0/kernel."""
    return {
        f"{start}/{jax.tree_util.keystr(path, simple=True, separator='/')}": array(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


def misfits(
    found: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> str:
    """What is unknown, missing, or of another shape; empty if nothing is."""
    missing = [name for name in expected if name not in found]
    foreign = sorted(found.keys() - expected.keys())
    if missing or foreign:
        return both_ways(foreign, missing)
    return some(
        [
            f"{name} is {found[name].shape}, expected {shape}"
            for name, shape in expected.items()
            if found[name].shape != shape
        ]
    )


def both_ways(foreign: Sequence[str], missing: Sequence[str]) -> str:
    notes = []
    if foreign:
        notes.append(f"{len(foreign)} unknown ({some(foreign)})")
    if missing:
        notes.append(f"{len(missing)} missing ({some(missing)})")
    return ", ".join(notes)


def some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
