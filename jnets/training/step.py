"""One update, as a pure function of (state, batch)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jnets.training.descent import Descent
from jnets.training.program import Batch
from jnets.training.state import TrainState
from jnets.typing import Array, PRNGKey, PyTree

# (model output, labels [B]) -> loss of each example [B]
Loss = Callable[[Array, Array], Array]
Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(
    model: nn.Module,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: Descent,
    *,
    norms: bool = True,
) -> Step:
    """An update theta <- theta + optimizer(g) that is pure and not yet compiled.

    The batch has leading axes [examples] or, when `descent.chunks` > 1, is reshaped
    to [chunks, examples / chunks] and its gradient accumulated by a scan. Padding
    examples have weight 0. Metrics: `loss` (mean over examples), `correct` and
    `examples` (counts), `finite`, and with `norms` the l2 norms `grad_norm`,
    `update_norm`, `param_norm`. Norms cost a pass over all weights, which online
    updates of a small net feel; without them only the loss is checked for being finite.

    A loss or gradient that is not finite leaves the state as it was, step included:
    the next update would meet the same batch with the same key, so the run stands
    still at its last good state until `fit` reports it.
    """

    def objective(params, batch_stats, batch: Batch, key: PRNGKey):
        outputs, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            *batch.inputs,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        total = jnp.sum(loss(outputs, batch.labels) * batch.weights)
        hit = jnp.argmax(outputs, axis=-1) == batch.labels
        correct = jnp.sum(hit * batch.weights)
        return total, (updated.get("batch_stats", batch_stats), correct)

    gradient = jax.value_and_grad(objective, has_aux=True)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        total, grads, batch_stats, correct = _accumulate(
            gradient, state, batch, descent.chunks
        )
        examples = jnp.sum(batch.weights)
        if descent.reduction == "mean":
            grads = jax.tree.map(lambda g: g / examples, grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = {"loss": total / examples, "correct": correct, "examples": examples}
        finite = jnp.isfinite(total)
        if norms:
            grad_norm = optax.global_norm(grads)
            finite &= jnp.isfinite(grad_norm)
            metrics |= {
                "grad_norm": grad_norm,
                "update_norm": optax.global_norm(updates),
                "param_norm": optax.global_norm(state.params),
            }
        moved = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        return keep_if(finite, moved, state), metrics | {"finite": finite}

    return step


def make_train_step(
    model: nn.Module,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: Descent,
) -> Step:
    """`make_step`, compiled, and donating: the state passed in is consumed."""
    return jax.jit(make_step(model, loss, optimizer, descent), donate_argnums=0)


def keep_if(condition: Array, new: TrainState, old: TrainState) -> TrainState:
    """`new` where the condition holds, else `old`; the key is the same in both."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(condition, a, b)

    kept = jax.tree.map(select, new.replace(key=None), old.replace(key=None))
    return kept.replace(key=old.key)


def _accumulate(
    gradient, state: TrainState, batch: Batch, chunks: int
) -> tuple[Array, PyTree, PyTree, Array]:
    """Sums of loss, gradient and hits over the batch, chunk by chunk."""
    key = state.step_key()
    if chunks == 1:
        (total, (stats, correct)), grads = gradient(
            state.params, state.batch_stats, batch, key
        )
        return total, grads, stats, correct

    def split(a: Array) -> Array:
        return a.reshape(chunks, a.shape[0] // chunks, *a.shape[1:])

    def body(carry, chunk):
        total, grads, stats, correct = carry
        i, part = chunk
        (loss, (stats, hits)), g = gradient(
            state.params, stats, part, jax.random.fold_in(key, i)
        )
        return (
            total + loss,
            jax.tree.map(jnp.add, grads, g),
            stats,
            correct + hits,
        ), None

    zero = jnp.zeros((), jnp.float32)
    start = (
        zero,
        jax.tree.map(jnp.zeros_like, state.params),
        state.batch_stats,
        zero,
    )
    parts = jnp.arange(chunks), jax.tree.map(split, batch)
    return jax.lax.scan(body, start, parts)[0]
