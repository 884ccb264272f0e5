"""How far a state reaches: dh_t/dh_k, its singular values, and what bounds them.

    dh_t/dh_k = prod_{j=k+1..t} dh_j/dh_{j-1}

a product of t - k matrices, which vanishes or explodes with t - k as its factors are
small or large (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).
Axes: T steps, B batch, P columns of h, S columns of all states together.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jnets.errors import InputError
from jnets.ops.cells import State
from jnets.ops.recurrence import ALIKE, Form, Steps, Weights
from jnets.ops.taken_apart import Trace, back, trace
from jnets.typing import Array


def jacobian(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    t: int,
    k: int,
    steps: Steps = ALIKE,
    *,
    whole: bool = False,
) -> Array:
    """dh_t/dh_k of each example [B, P, P], row p the gradient of the p-th of h_t.

    Steps are numbered from 0 in the order of x. Of a cell with more states than h the
    others are held as they are at step k; with `whole` it is the Jacobian of them all,
    h first, [B, S, S]. Errors: InputError unless k is t or a step before it.
    """
    _check_steps(form, len(x), t, k)
    run = trace(form, weights, x, start, steps)
    ones = _ones(run, whole)
    d_state, _ = _carried(form, weights, steps, _between(form, run, t, k), ones)
    return _matrix(d_state, whole)


def singular_values(jacobians: Array) -> Array:
    """Of each matrix [..., P, P], the largest first: [..., P]."""
    return jnp.linalg.svd(jacobians, compute_uv=False)


def largest_singular_value(matrices: Array) -> Array:
    """Of each matrix [..., M, N]: [...]. The root of the largest eigenvalue of W W^T,
    a small part of the work of `singular_values`; 0 of a matrix of zeros."""
    size = jnp.abs(matrices).max((-2, -1), keepdims=True)
    # At a scale where squares neither vanish nor overflow.
    w = matrices / jnp.where(size > 0, size, 1)
    w = w if w.shape[-2] <= w.shape[-1] else w.mT
    largest = jnp.linalg.eigvalsh(w @ w.mT)[..., -1]
    return size[..., 0, 0] * jnp.sqrt(jnp.maximum(largest, 0))


def jacobian_norms(
    form: Form,
    weights: Weights,
    x: Array,
    start: State,
    t: int,
    steps: Steps = ALIKE,
    *,
    whole: bool = False,
) -> Array:
    """||dh_t/dh_k||, the largest singular value, for k = t and all steps before it:
    [t - k, B], 1 at the first. For `whole` see `jacobian`."""
    last = len(x) - 1 if form.reverse else 0
    _check_steps(form, len(x), t, last)
    run = trace(form, weights, x, start, steps)
    ones = _ones(run, whole)

    def norm(d_state: State) -> Array:
        return largest_singular_value(_matrix(d_state, whole))

    path = _between(form, run, t, last)
    _, norms = _carried(form, weights, steps, path, ones, norm)
    norms = norms if form.reverse else norms[::-1]
    return jnp.concatenate([norm(ones)[None], norms])


def norm_bound(recurrent_kernel: Array, lags: Array, slope: float = 1.0) -> Array:
    """(sigma_max(W_h) gamma)^(t - k), which ||dh_t/dh_k|| of an Elman network does not
    exceed, for t - k of any shape.

    `slope` is gamma = sup |f'|, 1 of tanh, relu and identity. Below 1, gradients must
    vanish; above 1 they may explode (Pascanu et al. 2013, section 2.1).
    """
    largest = largest_singular_value(recurrent_kernel) * slope
    return largest ** lags.astype(largest.dtype)


def _check_steps(form: Form, length: int, t: int, k: int) -> None:
    for name, step in (("t", t), ("k", k)):
        if not 0 <= step < length:
            raise InputError(f"{name}={step} is no step; expected 0 to {length - 1}")
    if (t - k) * (-1 if form.reverse else 1) < 0:
        raise InputError(f"k={k} comes after t={t}; expected t or a step before it")


def _between(form: Form, run: Trace, t: int, k: int) -> Trace:
    """The steps after k up to t."""
    path = slice(t, k) if form.reverse else slice(k + 1, t + 1)
    return jax.tree.map(lambda a: a[path], run)


def _ones(run: Trace, whole: bool) -> State:
    """The gradients of each unit of the state by all of it: [P or S, B, H] each."""
    sizes, batch = [s.shape[-1] for s in run.after], run.x.shape[1]
    rows = sum(sizes) if whole else sizes[0]
    parts, column = [], 0
    for n in sizes:
        part = jnp.eye(rows, n, -column, run.after[0].dtype)
        parts.append(jnp.broadcast_to(part[:, None], (rows, batch, n)))
        column += n
    return tuple(parts)


def _matrix(d_state: State, whole: bool) -> Array:
    rows = jnp.concatenate(d_state if whole else d_state[:1], axis=-1)
    return jnp.moveaxis(rows, 0, 1)


def _carried(
    form: Form,
    weights: Weights,
    steps: Steps,
    path: Trace,
    ones: State,
    read: Callable[[State], Array] = lambda d_state: d_state[0][:0],
) -> tuple[State, Array]:
    """Rows of the Jacobian, carried back along a path; `read` of them at each step."""

    def step(d_state: State, at: Trace):
        d_state, _ = jax.vmap(lambda d: back(form, weights, steps, at, d))(d_state)
        return d_state, read(d_state)

    return lax.scan(step, ones, path, reverse=not form.reverse)
