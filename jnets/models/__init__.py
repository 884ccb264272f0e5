"""Models by name: `create`, `list_models`, and what there is to know of them."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import Policy
from jnets.models.table import MODELS, Entry
from jnets.typing import Array


def list_models() -> list[str]:
    """The names that `create` takes."""
    return list(MODELS)


def entry(name: str) -> Entry:
    """The row of `MODELS` called `name`; an InputError lists the names there are."""
    if name not in MODELS:
        raise InputError(f"model {name!r} is unknown; expected one of {list_models()}")
    return MODELS[name]


def create(name: str, /, **fields: Any) -> nn.Module:
    """Build the Linen module called `name`, with `fields` in place of its defaults.

    Lists are taken for tuples, so that fields read from JSON work as they are.
    Errors: InputError for an unknown model, an unknown field, or a value that is not
    of the field's kind.
    """
    row = entry(name)
    known = row.module.__dataclass_fields__
    values = {k: _frozen(v) for k, v in {**row.fields, **fields}.items()}
    for field, value in values.items():
        if field not in known or field in ("parent", "name"):
            names = sorted(set(known) - {"parent", "name"})
            raise InputError(f"model {name!r} has no field {field!r}; expected {names}")
        _check(field, value, known[field].default)
    if "policy" in values:
        values["policy"] = Policy(*values["policy"])
    return row.module(**values)


def example_inputs(name: str, examples: int = 1) -> tuple[Array, ...]:
    """Inputs of the right shapes for `init`: ones, in the dtypes that `name` reads."""
    return tuple(
        jnp.ones((examples, *shape), dtype) for shape, dtype in entry(name).inputs
    )


def parameter_count(name: str, **fields: Any) -> int:
    """Trainable scalars of a model, without computing any."""
    if "stack_blocks" in entry(name).module.__dataclass_fields__:
        fields = fields | {"stack_blocks": True}  # as many, and sooner traced
    shapes = jax.eval_shape(
        create(name, **fields).init, jax.random.key(0), *example_inputs(name)
    )
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def _check(field: str, value: Any, default: Any) -> None:
    """Raise an InputError unless `value` could stand where `default` stands."""

    def count(v: Any) -> bool:
        return isinstance(v, int) and not isinstance(v, bool) and v > 0

    if field in ("dropout", "aux_dropout", "feature_dropout"):
        good, wanted = 0 <= value < 1, "at least 0 and below 1"
    elif isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, Policy):
        good, wanted = _is_policy(value), "three names of dtypes"
    elif isinstance(default, tuple):
        good = isinstance(value, tuple) and all(map(count, value))
        wanted = "a list of whole numbers above 0"
    elif count(default):
        good, wanted = count(value), "a whole number above 0"
    else:
        return
    if not good:
        raise InputError(f"{field}={value!r} is not usable; expected {wanted}")


def _is_policy(value: Any) -> bool:
    try:
        return len(value) == 3 and all(jnp.dtype(name) for name in value)
    except TypeError:
        return False


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value
