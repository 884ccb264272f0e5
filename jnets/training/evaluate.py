"""What a model makes of a whole data set, and the figures of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.typing import Array, PyTree

Predict = Callable[[PyTree, tuple[np.ndarray, ...]], np.ndarray]


class Evaluation(NamedTuple):
    """Mean loss, accuracy, and the confusion counts [true class, predicted class]."""

    loss: float
    accuracy: float
    confusion: np.ndarray

    @property
    def macro_recall(self) -> float:
        """Mean over classes of the share of their examples that were recognised."""
        per_class = self.confusion.sum(axis=1)
        recalled = np.diag(self.confusion)[per_class > 0] / per_class[per_class > 0]
        return float(recalled.mean())

    @property
    def per_class(self) -> np.ndarray:
        """[classes, 3]: precision, recall and F1, their harmonic mean, of each class;
        0 where a class is never predicted, or has no examples."""
        right = np.diag(self.confusion)
        predicted, true = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        shares = right / np.maximum(predicted, 1), right / np.maximum(true, 1)
        return np.stack([*shares, 2 * right / np.maximum(predicted + true, 1)], axis=1)


def make_predict(model: nn.Module, *, examples: int = 1000) -> Predict:
    """predict(variables, inputs) -> outputs [N, ...], `examples` at a time.

    The last part is padded with copies of the first example, so that one program is
    compiled whatever N is.
    """
    apply = jax.jit(lambda variables, inputs: model.apply(variables, *inputs))

    def predict(variables: PyTree, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        size = len(inputs[0])
        at = np.arange(-(-size // examples) * examples)
        at = np.where(at < size, at, 0).reshape(-1, examples)
        parts = [apply(variables, tuple(x[rows] for x in inputs)) for rows in at]
        return np.concatenate([np.asarray(p) for p in parts])[:size]

    return predict


# (variables, inputs, labels) -> the loss of every label, and whether it was likeliest
Read = Callable[
    [PyTree, tuple[np.ndarray, ...], np.ndarray], tuple[np.ndarray, np.ndarray]
]


def make_read(model: nn.Module, loss: Callable[[Array, Array], Array]) -> Read:
    """read(variables, inputs, labels) -> the loss of every label, and hits.

    What is carried goes from window to window: inputs have leading axes [W, B], labels
    are [W, B, T], and so are the results, 0 and false where labels are below 0. What
    the first window starts from is zeros.
    """

    def one(variables: PyTree, carry: PyTree, window):
        inputs, labels = window
        given = {**variables, "carry": carry}
        applied: Any = model.apply(given, *inputs, mutable=["carry"])
        logits, changed = applied
        costs = jnp.where(labels >= 0, loss(logits, jnp.maximum(labels, 0)), 0)
        return changed["carry"], (costs, jnp.argmax(logits, axis=-1) == labels)

    @jax.jit
    def read(variables: PyTree, inputs: tuple[Array, ...], labels: Array):
        first = jax.tree.map(lambda a: a[0], inputs)
        made = jax.eval_shape(model.init, jax.random.key(0), *first)["carry"]
        start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), made)
        return jax.lax.scan(
            lambda carry, window: one(variables, carry, window), start, (inputs, labels)
        )[1]

    return lambda *given: jax.device_get(read(*given))


def evaluate(
    outputs: np.ndarray, labels: np.ndarray, loss: Callable[[Array, Array], Array]
) -> Evaluation:
    """Figures of outputs [..., classes] against labels [...]; `loss` is per label.

    Labels below 0, the padding of sequences, do not count.
    """
    classes, known = outputs.shape[-1], labels >= 0
    outputs, labels = outputs[known], labels[known]
    predicted = outputs.argmax(axis=-1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    mean_loss = jnp.mean(loss(jnp.asarray(outputs), jnp.asarray(labels)))
    accuracy = float((predicted == labels).mean())
    return Evaluation(float(mean_loss), accuracy, confusion)
