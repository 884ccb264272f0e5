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

# (model output, labels [B]) -> loss of each example [B]. The output of a model with
# auxiliary heads is (logits, {name: logits}) in training.
Loss = Callable[[Array, Array], Array]
# (key, inputs) -> inputs of the same shapes
Augment = Callable[[PRNGKey, tuple[Array, ...]], tuple[Array, ...]]
# (average, variables, step) -> average
Average = Callable[[PyTree, PyTree, Array], PyTree]
Metrics = dict[str, Array]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_step(
    model: nn.Module,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    descent: Descent,
    *,
    augment: Augment | None = None,
    average: Average | None = None,
    norms: bool = True,
) -> Step:
    """An update theta <- theta + optimizer(g) that is pure and not yet compiled.

    The batch has leading axes [examples] or, when `descent.chunks` > 1, is reshaped
    to [chunks, examples / chunks] and its gradient accumulated by a scan. Padding
    examples have weight 0. `augment` changes the inputs of every update at random, on
    the device; `average` moves `state.ema` after it. Metrics: `loss` (mean over
    examples), `correct` and `examples` (counts), `finite`, and with `norms` the l2
    norms `grad_norm`, `update_norm`, `param_norm`. Norms cost a pass over all weights,
    which online updates of a small net feel; without them only the loss is checked for
    being finite.

    A loss or gradient that is not finite leaves the state as it was, step included:
    the next update would meet the same batch with the same key, so the run stands
    still at its last good state until `fit` reports it.
    """

    gradient = jax.value_and_grad(_objective(model, loss, augment), has_aux=True)

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
            trees = {"grad": grads, "update": updates, "param": state.params}
            metrics |= {f"{k}_norm": optax.tree.norm(tree) for k, tree in trees.items()}
            # Of all three: an update that waits for everything that reads the old state
            # is written in its place, where XLA would else copy the state first.
            for name in trees:
                finite &= jnp.isfinite(metrics[f"{name}_norm"])
        moved = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        if average is not None:
            moved = moved.replace(ema=average(state.ema, moved.variables, state.step))
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


def _objective(model: nn.Module, loss: Loss, augment: Augment | None):
    """The function to differentiate: (summed loss, (batch statistics, hits))."""

    def objective(params: PyTree, batch_stats: PyTree, batch: Batch, key: PRNGKey):
        mask_key, input_key = jax.random.split(key)
        inputs = augment(input_key, batch.inputs) if augment else batch.inputs
        outputs, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            *inputs,
            train=True,
            rngs={"dropout": mask_key},
            mutable=["batch_stats"],
        )
        total = jnp.sum(loss(outputs, batch.labels) * batch.weights)
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        hit = jnp.argmax(logits, axis=-1) == batch.labels
        correct = jnp.sum(hit * batch.weights)
        return total, (updated.get("batch_stats", batch_stats), correct)

    return objective


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

    def one(stats: PyTree, i: Array, part: Batch):
        return gradient(state.params, stats, part, jax.random.fold_in(key, i))

    def body(carry, chunk):
        total, grads, stats, correct = carry
        (loss, (stats, hits)), g = one(stats, *chunk)
        grads = jax.tree.map(jnp.add, grads, g)
        return (total + loss, grads, stats, correct + hits), None

    parts = jnp.arange(chunks), jax.tree.map(split, batch)
    first = jax.tree.map(lambda a: a[0], parts)
    (loss, (_, hits)), g = jax.eval_shape(one, state.batch_stats, *first)
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (loss, g, hits))
    start = zeros[0], zeros[1], state.batch_stats, zeros[2]
    return jax.lax.scan(body, start, parts)[0]
