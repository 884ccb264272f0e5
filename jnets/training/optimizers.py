"""A recipe's optimizer: gradients in, updates out, rates as functions of the count."""

from collections.abc import Callable, Hashable
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jnets.errors import InputError
from jnets.training.rates import build, group_rates, make_schedule
from jnets.training.recipes import Recipe, Scalar
from jnets.training.schedules import check_rate
from jnets.typing import Array, PyTree


class Optimizer(NamedTuple):
    """What `make_step` takes, and the rate of most parameters after t updates."""

    transformation: optax.GradientTransformation
    schedule: optax.Schedule


def make_optimizer(recipe: Recipe, updates_per_epoch: float) -> Optimizer:
    """The recipe's optimizer, for parameters that are nested dicts.

    In this order: the gradient is clipped, decay is added, the recipe's rule applied
    with a rate for each group of parameters, and filters are bounded. Biases are the
    parameters called "bias", norms have a "scale" beside it; leading axes of stacked
    blocks do not matter. All that changes is arrays, the count of updates among them,
    so that a restored state goes on exactly.

    Errors: InputError for a rule, schedule, warm-up, unit or number that is none.
    """
    schedule = make_schedule(recipe, updates_per_epoch)
    parts: list[optax.GradientTransformation] = []
    if recipe.clip:
        parts.append(optax.clip_by_global_norm(check_rate(recipe.clip, "clip")))
    if recipe.weight_decay:
        if recipe.decays not in DECAYS:
            raise InputError(f"decays={recipe.decays!r} is unknown; expected {DECAYS}")
        decay = check_rate(recipe.weight_decay, "weight_decay")
        mask = partial(decayed, decays=recipe.decays)
        parts.append(optax.add_decayed_weights(decay, mask=mask))
    parts.append(_ruled(recipe, schedule, updates_per_epoch))
    if recipe.filter_rms:
        parts.append(bound_filters(recipe.filter_rms))
    return Optimizer(optax.chain(*parts), schedule)


def _rate_inside(schedule: optax.Schedule, mu: float) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_learning_rate(schedule), optax.trace(mu))


def _rate_outside(
    schedule: optax.Schedule, mu: float, *, nesterov: bool = False
) -> optax.GradientTransformation:
    trace = optax.trace(mu, nesterov)
    return optax.chain(trace, optax.scale_by_learning_rate(schedule))


def _rmsprop(
    schedule: optax.Schedule, rho: float, eps: float, mu: float
) -> optax.GradientTransformation:
    scaled = optax.scale_by_rms(rho, eps, eps_in_sqrt=False)
    return optax.chain(scaled, _rate_outside(schedule, mu))


def _rmsprop_tf(
    schedule: optax.Schedule, rho: float, eps: float, mu: float
) -> optax.GradientTransformation:
    scaled = optax.scale_by_rms(rho, eps, initial_scale=1.0)
    return optax.chain(scaled, _rate_inside(schedule, mu))


# Name -> the update with (schedule, *numbers), as `Recipe` states them.
RULES: dict[Scalar, Callable[..., optax.GradientTransformation]] = {
    "caffe": _rate_inside,
    "momentum": _rate_outside,
    "nesterov": partial(_rate_outside, nesterov=True),
    "rmsprop": _rmsprop,
    "rmsprop_tf": _rmsprop_tf,
}


def _ruled(
    recipe: Recipe, schedule: optax.Schedule, updates_per_epoch: float
) -> optax.GradientTransformation:
    """The recipe's rule, with each group of parameters at its own rate."""

    def rule(rate: optax.Schedule) -> optax.GradientTransformation:
        return build(RULES, "rule", recipe.rule, rate)

    if recipe.bias_factor == 1 and not recipe.rates:
        return rule(schedule)
    rates = group_rates(recipe, updates_per_epoch)
    patterns = [pattern for pattern, _ in recipe.rates]

    def group(path: str) -> str:
        kind = "biases" if _leaf(path) == "bias" else "kernels"
        return kind + next((p for p in patterns if fnmatchcase(path, p)), "")

    rules: dict[Hashable, optax.GradientTransformation] = {
        label: optax.chain(rule(rate), _stop_at_zero(rate))
        for label, rate in rates.items()
    }
    return optax.multi_transform(rules, lambda params: by_path(group, params))


def _stop_at_zero(rate: optax.Schedule) -> optax.GradientTransformation:
    """No update while the rate is 0, whatever momentum is left from before."""
    return optax.scale_by_schedule(
        lambda count: jnp.where(jnp.asarray(rate(count)) > 0, 1.0, 0.0)
    )


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def by_path(function: Callable[[str], object], tree: PyTree) -> PyTree:
    """A tree of function(path), the path of a leaf as "stage1/block1/conv1/kernel"."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: function(
            jax.tree_util.keystr(path, simple=True, separator="/")
        ),
        tree,
    )


DECAYS = ("all", "kernels", "not_norms")


def decayed(params: PyTree, decays: str) -> PyTree:
    """Whether decay applies to each parameter; `decays` as in `Recipe`."""
    paths = jax.tree.leaves(by_path(lambda path: path, params))
    norms = {path.rpartition("/")[0] for path in paths if _leaf(path) == "scale"}

    def applies(path: str) -> bool:
        if decays == "kernels":
            return _leaf(path) not in ("bias", "scale")
        return decays == "all" or path.rpartition("/")[0] not in norms

    return by_path(applies, params)


def bound_filters(limit: float) -> optax.GradientTransformation:
    """Shrink each filter whose root mean square exceeds `limit` after an update to it.

    Filters are kernels [..., kh, kw, inputs, outputs] of two-dimensional convolutions,
    one per output; other parameters are left alone. (Zeiler & Fergus 2014, section
    3.1, where the limit is 0.1.) Needs the parameters, and must come last.
    """
    check_rate(limit, "filter_rms")

    def bound(path: str, update: Array, param: Array) -> Array:
        if _leaf(path) != "kernel" or param.ndim < 4:
            return update
        moved = param + update
        square = jnp.mean(jnp.square(moved), axis=(-4, -3, -2), keepdims=True)
        # Untouched where it is small enough: x * 1 - param would cost digits.
        rms = jnp.sqrt(jnp.maximum(square, limit**2))
        return jnp.where(square > limit**2, moved * (limit / rms) - param, update)

    def update_fn(updates: PyTree, state: PyTree, params: PyTree = None):
        paths = by_path(lambda path: path, updates)
        return jax.tree.map(bound, paths, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update_fn)
