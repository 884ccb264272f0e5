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

# (model output, labels) -> loss of each label, shaped as the labels: [B], or [B, T] of
# sequences. The output of a model with auxiliary heads is (logits, {name: logits}) in
# training.
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
    examples have weight 0, and so have labels below 0, the padding of sequences: the
    loss meets a 0 in their place, and counts and means are of labels. `augment` changes
    the inputs of every update at random, on the device; `average` moves `state.ema`
    after it. Metrics: `loss` (mean over examples), `correct` and `examples` (counts),
    `finite`, and with `norms` the l2 norms `grad_norm`, `update_norm`, `param_norm`.
    Norms cost a pass over all weights, which online updates of a small net feel;
    without them only the loss is checked for being finite.

    A loss or gradient that is not finite leaves the state as it was, step included:
    the next update would meet the same batch with the same key, so the run stands
    still at its last good state until `fit` reports it.
    """

    gradient = jax.value_and_grad(_objective(model, loss, augment), has_aux=True)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        total, grads, kept, correct = _accumulate(
            gradient, state, batch, descent.chunks
        )
        examples = jnp.sum(label_weights(batch))
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
            opt_state=opt_state,
            **kept,
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


def label_weights(batch: Batch) -> Array:
    """The weight of each label: its example's, and 0 for an integer below 0."""
    weights = jnp.reshape(batch.weights, (-1, *(1,) * (batch.labels.ndim - 1)))
    if jnp.issubdtype(batch.labels.dtype, jnp.integer):
        weights = weights * (batch.labels >= 0)
    return weights


def _objective(model: nn.Module, loss: Loss, augment: Augment | None):
    """The function to differentiate: (summed loss, (changed collections, hits))."""

    def objective(params: PyTree, kept: PyTree, batch: Batch, key: PRNGKey):
        mask_key, input_key = jax.random.split(key)
        inputs = augment(input_key, batch.inputs) if augment else batch.inputs
        outputs, updated = model.apply(
            {"params": params, **kept},
            *inputs,
            train=True,
            rngs={"dropout": mask_key},
            mutable=list(kept),
        )
        weights, labels = label_weights(batch), batch.labels
        if jnp.issubdtype(labels.dtype, jnp.integer):
            labels = jnp.maximum(labels, 0)
        total = jnp.sum(loss(outputs, labels) * weights)
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        hit = jnp.argmax(logits, axis=-1) == batch.labels
        correct = jnp.sum(hit * weights)
        return total, (kept | updated, correct)

    return objective


def _accumulate(
    gradient, state: TrainState, batch: Batch, chunks: int
) -> tuple[Array, PyTree, PyTree, Array]:
    """Sums of loss, gradient and hits over the batch, chunk by chunk."""
    key = state.step_key()
    if chunks == 1:
        (total, (kept, correct)), grads = gradient(state.params, state.kept, batch, key)
        return total, grads, kept, correct

    def split(a: Array) -> Array:
        return a.reshape(chunks, a.shape[0] // chunks, *a.shape[1:])

    def one(kept: PyTree, i: Array, part: Batch):
        return gradient(state.params, kept, part, jax.random.fold_in(key, i))

    def body(carry, chunk):
        total, grads, kept, correct = carry
        (loss, (kept, hits)), g = one(kept, *chunk)
        grads = jax.tree.map(jnp.add, grads, g)
        return (total + loss, grads, kept, correct + hits), None

    parts = jnp.arange(chunks), jax.tree.map(split, batch)
    first = jax.tree.map(lambda a: a[0], parts)
    (loss, (_, hits)), g = jax.eval_shape(one, state.kept, *first)
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (loss, g, hits))
    start = zeros[0], zeros[1], state.kept, zeros[2]
    return jax.lax.scan(body, start, parts)[0]
