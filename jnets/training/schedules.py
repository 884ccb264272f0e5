"""The factor rho_t of an update: optax schedules, checked, and the few optax lacks."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import optax

from jnets.errors import InputError


def check_rate(rate: float, name: str = "learning_rate") -> float:
    """The rate itself, if it is a positive finite number; else an InputError."""
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"{name}={rate} is not usable; expected a number above 0")
    return rate


def constant(rate: float) -> optax.Schedule:
    """rho_t = rate."""
    return optax.constant_schedule(check_rate(rate))


def cosine(rate: float, updates: int, *, warmup: int = 0) -> optax.Schedule:
    """Linear from 0 to `rate` over `warmup` updates, then half a cosine down to 0.

    rho_t = rate (1 + cos(pi t / updates)) / 2 without warm-up; Loshchilov & Hutter,
    SGDR, 2017, eq. 5.
    """
    check_rate(rate)
    if warmup == 0:
        return optax.cosine_decay_schedule(rate, updates)
    return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, updates)


def inverse(rate: float, *, gamma: float, power: float) -> optax.Schedule:
    """rho_t = rate (1 + gamma t)^-power: Caffe's "inv" policy."""
    check_rate(rate)

    def schedule(count):
        return rate * jnp.power(1.0 + gamma * count, -power)

    return schedule


def stages(rates: Sequence[float], boundaries: Sequence[int]) -> optax.Schedule:
    """rho_t = rates[i] while boundaries[i-1] <= t < boundaries[i]."""
    for rate in rates:
        check_rate(rate)
    if len(rates) != len(boundaries) + 1:
        raise InputError(
            f"stages got {len(rates)} rates and {len(boundaries)} boundaries; "
            f"expected one rate more than boundaries"
        )
    return optax.join_schedules(
        [optax.constant_schedule(rate) for rate in rates], list(boundaries)
    )
