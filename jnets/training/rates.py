"""A recipe's rates: of all parameters, and of groups, as functions of the count."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jnets.errors import InputError
from jnets.training.recipes import Recipe, Scalar, Stages
from jnets.training.schedules import check_rate

ToUpdates = Callable[[float], int]


class _Span(NamedTuple):
    """Updates in the warm-up and in the whole run, and times as updates."""

    warmup: int
    total: int
    updates: ToUpdates


def make_schedule(recipe: Recipe, updates_per_epoch: float) -> optax.Schedule:
    """The rate after t updates: warm-up, then the recipe's schedule; see `Recipe`.

    It starts from rate * batch / reference (Goyal et al. 2017, section 2.1). Times are
    rounded to whole updates, at least one; `updates_per_epoch` need not be whole.
    """
    rate = check_rate(recipe.rate * _scale(recipe), "rate")
    updates = _to_updates(recipe, updates_per_epoch)
    warmup, first = 0, None
    if recipe.warmup:
        first = build(WARMUPS, "warmup", recipe.warmup, rate, recipe, updates)
        warmup = updates(float(recipe.warmup[-1]))
    span = _Span(warmup, updates(recipe.length), updates)
    if span.total <= warmup:
        raise InputError(
            f"length={recipe.length} is not usable; expected more {recipe.unit} than "
            f"the warm-up's"
        )
    main = build(SCHEDULES, "schedule", recipe.schedule, rate, span)
    if first is None:
        return main

    def schedule(count):
        return jnp.where(count < warmup, first(count), main(count))

    return schedule


def build(
    table: Mapping[Scalar, Callable], what: str, spec: tuple[Scalar, ...], *given: Any
) -> Any:
    """table[name](*given, *numbers) of spec = (name, *numbers)."""
    name, *numbers = spec
    if name not in table:
        raise InputError(f"{what}={spec} is unknown; expected one of {[*table]}")
    try:
        inspect.signature(table[name]).bind(*given, *numbers)
    except TypeError:
        raise InputError(
            f"{what}={spec} has {len(numbers)} numbers, which {name!r} does not take"
        ) from None
    return table[name](*given, *numbers)


def _scale(recipe: Recipe) -> float:
    if recipe.batch < 1 or recipe.reference < 1:
        raise InputError(
            f"batch={recipe.batch} of reference={recipe.reference} is not usable; "
            f"expected at least 1"
        )
    return recipe.batch / recipe.reference


def _to_updates(recipe: Recipe, updates_per_epoch: float) -> ToUpdates:
    """Times in the recipe's unit as whole updates, at least one unless 0."""
    units = {"epochs": updates_per_epoch, "updates": 1}
    if recipe.unit not in units:
        raise InputError(f"unit={recipe.unit!r} is unknown; expected {[*units]}")
    check_rate(updates_per_epoch, "updates_per_epoch")
    return lambda time: max(round(time * units[recipe.unit]), math.ceil(time > 0))


def _constant(rate: float, span: _Span) -> optax.Schedule:
    del span
    return optax.constant_schedule(rate)


def _steps(rate: float, span: _Span, factor: float, *times: float) -> optax.Schedule:
    return optax.piecewise_constant_schedule(
        rate, {span.updates(time): factor for time in times}
    )


def _every(rate: float, span: _Span, factor: float, time: float) -> optax.Schedule:
    return optax.exponential_decay(rate, span.updates(time), factor, staircase=True)


def _power(rate: float, span: _Span, power: float) -> optax.Schedule:
    # Not 1 - t / T, of which rounding leaves little near the end.
    def schedule(count):
        return rate * (jnp.maximum(span.total - count, 0) / span.total) ** power

    return schedule


def _cosine(rate: float, span: _Span) -> optax.Schedule:
    curve = optax.cosine_decay_schedule(rate, span.total - span.warmup)
    return lambda count: curve(jnp.maximum(count - span.warmup, 0))


# Kind -> schedule of (rate, span, *numbers).
SCHEDULES: dict[Scalar, Callable[..., optax.Schedule]] = {
    "constant": _constant,
    "steps": _steps,
    "every": _every,
    "power": _power,
    "cosine": _cosine,
}


def _warm_linear(
    rate: float, recipe: Recipe, updates: ToUpdates, start: float, length: float
) -> optax.Schedule:
    del recipe
    return optax.linear_schedule(start, rate, updates(length))


def _warm_constant(
    rate: float, recipe: Recipe, updates: ToUpdates, start: float, length: float
) -> optax.Schedule:
    del rate, updates, length
    return optax.constant_schedule(check_rate(start * _scale(recipe), "warmup"))


# Kind -> schedule of (rate after it, recipe, updates, *numbers).
WARMUPS: dict[Scalar, Callable[..., optax.Schedule]] = {
    "linear": _warm_linear,
    "constant": _warm_constant,
}


def group_rates(recipe: Recipe, updates_per_epoch: float) -> dict[str, optax.Schedule]:
    """Rates by group of parameters: "kernels" or "biases", then + a pattern that fits.

    See `Recipe`: `bias_factor` and `rates`.
    """
    schedule = make_schedule(recipe, updates_per_epoch)
    updates = _to_updates(recipe, updates_per_epoch)

    def biases(count):
        return recipe.bias_factor * jnp.asarray(schedule(count))

    rates: dict[str, optax.Schedule] = {}
    for kind, usual in (("kernels", schedule), ("biases", biases)):
        rates[kind] = usual
        for pattern, stages in recipe.rates:
            rates[kind + pattern] = _staged(usual, stages, _scale(recipe), updates)
    return rates


def _staged(
    before: optax.Schedule, stages: Stages, scale: float, updates: ToUpdates
) -> optax.Schedule:
    """`before` up to the first stage, then the rates of the stages."""

    def schedule(count):
        rate = jnp.asarray(before(count))
        for time, value in stages:
            rate = jnp.where(count >= updates(time), value * scale, rate)
        return rate

    return schedule
