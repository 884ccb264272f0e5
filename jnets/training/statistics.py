"""Exact batch statistics of a trained model, in place of their running averages."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jnets.errors import InputError
from jnets.typing import Array, PRNGKey, PyTree

Path = tuple[str, ...]


class _Norm(NamedTuple):
    """How a batch norm meets a batch: its means are over `count` values."""

    count: int
    momentum: float
    unbiased: bool


class _Moments(NamedTuple):
    """Count, mean and sum of squared deviations [..., C], in float64."""

    count: int
    mean: np.ndarray
    deviation: np.ndarray

    def merged(self, other: "_Moments") -> "_Moments":
        """Those of both sets together: the law of total variance."""
        count, apart = self.count + other.count, other.mean - self.mean
        share = other.count / count
        between = self.count * share * apart**2
        return _Moments(
            count,
            self.mean + share * apart,
            self.deviation + other.deviation + between,
        )


def exact_statistics(
    model: nn.Module,
    variables: Mapping[str, PyTree],
    batches: Iterable[tuple[Array, ...]],
) -> dict[str, PyTree]:
    """The variables, with each batch norm's mean and variance those over all batches.

    Running averages forget all but the last batches and lag behind the parameters;
    these are of the final parameters, over the inputs of every batch. With m_b values
    per channel in batch b, and M in all,

        mean = sum_b m_b mean_b / M,  var = sum_b m_b (var_b + (mean_b - mean)^2) / M,

    var_b biased, times M / (M - 1) where the layer keeps the unbiased kind. On the way
    every batch is normalised by its own statistics, as in training (dropout too, by a
    fixed key), so the result of the first norm alone is that of all batches as one.
    Batches may differ in size, and must have no padding.

    A batch's own statistics come from one pass in training that starts from running
    ones of zero: momentum 0 + (1 - momentum) batch. A batch norm is any module with
    `mean` and `var` in `batch_stats`, and a `momentum`; `unbiased` is taken for False
    where there is none. Scanned ones work alike.

    Errors: InputError if there is no batch.
    Source: He et al. 2016a, the notes on the released models.
    """
    zeros = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
    started = {**variables, "batch_stats": zeros}

    def train(started: PyTree, inputs: tuple[Array, ...], key: PRNGKey) -> PyTree:
        _, updated = model.apply(
            started, *inputs, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
        )
        return updated["batch_stats"]

    run, key = jax.jit(train), jax.random.key(0)
    norms: dict[tuple, dict[Path, _Norm]] = {}
    totals: dict[Path, _Moments] = {}
    for number, inputs in enumerate(batches):
        shapes = tuple(x.shape for x in inputs)
        if shapes not in norms:
            norms[shapes] = _norms(lambda x: train(started, x, key), inputs)
        found = _flat(run(started, inputs, jax.random.fold_in(key, number)))
        for path, norm in norms[shapes].items():
            batch = _moments(found, path, norm)
            totals[path] = totals[path].merged(batch) if number else batch
    if not norms:
        raise InputError("batches has none in it; expected at least one")
    kinds = next(iter(norms.values()))
    return {**variables, "batch_stats": _filled(zeros, totals, kinds)}


def _norms(run, inputs: tuple[Array, ...]) -> dict[Path, _Norm]:
    """Every batch norm that a pass over these inputs calls; nothing is computed."""
    met: dict[Path, _Norm] = {}

    def record(call, arguments, keywords, context: nn.module.InterceptorContext):
        module = context.module
        if context.method_name == "__call__" and module.has_variable(
            "batch_stats", "mean"
        ):
            x = arguments[0]
            count, unbiased = x.size // x.shape[-1], getattr(module, "unbiased", False)
            met[module.path] = _Norm(count, module.momentum, unbiased)
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        jax.eval_shape(run, inputs)
    return met


def _moments(found: Mapping[Path, Array], path: Path, norm: _Norm) -> _Moments:
    """A batch's own, from running statistics that started at zero."""
    mean, var = (
        np.asarray(found[(*path, name)], np.float64) / (1 - norm.momentum)
        for name in ("mean", "var")
    )
    free = max(norm.count - 1, 1) if norm.unbiased else norm.count
    return _Moments(norm.count, mean, var * free)


def _flat(tree: Any) -> dict[Path, Any]:
    return dict(flatten_dict(tree))


def _filled(
    like: PyTree, totals: Mapping[Path, _Moments], norms: Mapping[Path, _Norm]
) -> PyTree:
    """Batch statistics shaped as `like`, of these moments."""
    flat = _flat(like)
    for path, total in totals.items():
        free = max(total.count - 1, 1) if norms[path].unbiased else total.count
        for name, value in (("mean", total.mean), ("var", total.deviation / free)):
            leaf = flat[(*path, name)]
            flat[(*path, name)] = jnp.asarray(value.astype(leaf.dtype))
    return unflatten_dict(flat)
