"""The names that signatures throughout jnets are written in. No logic."""

from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
PRNGKey: TypeAlias = jax.Array  # a typed key, as made by jax.random.key
PyTree: TypeAlias = Any  # nested dicts, tuples and dataclasses of arrays
Size: TypeAlias = Any  # an int, or a symbol for one in a program to be exported
