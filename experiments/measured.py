"""What a classifier of pictures makes of its test set, as figures and as pictures."""

import resource
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import plots
from experiments.classify import Task
from jnets.data.stream import OrderedPass
from jnets.errors import InputError
from jnets.ops.metrics import top_k_correct
from jnets.runs import Run
from jnets.training import TrainState, evaluate

Figures = dict[str, float]


class Outputs(NamedTuple):
    """Logits [N, classes] and labels [N] of pictures, and where in their list [N]."""

    logits: np.ndarray
    labels: np.ndarray
    places: np.ndarray


MOST_CLASSES = 50  # that a confusion matrix can show


def outputs(task: Task, state: TrainState, validation: OrderedPass) -> Outputs:
    """Of the pictures that could be read. Errors: InputError if none could."""
    parts, start = [], 0
    for images, labels, weights in validation.batches():
        logits = np.asarray(task.predict(state.averaged, images[:, 0]))
        good = np.flatnonzero(weights)
        parts.append((logits[good], labels[good], start + good))
        start += len(weights)
    found = Outputs(*map(np.concatenate, zip(*parts, strict=True)))
    if not len(found.labels):
        path, reason = next(iter(validation.failures.items()))
        raise InputError(
            f"none of the validation pictures can be read; {path} is the first "
            f"({reason})"
        )
    return found


def figures(logits: np.ndarray, labels: np.ndarray) -> Figures:
    """Loss, top-1 and, where there are more than five classes, top-5 accuracy."""
    loss = optax.softmax_cross_entropy_with_integer_labels
    found = evaluate(logits, labels, loss)
    result = {"test_loss": found.loss, "test_accuracy": found.accuracy}
    if logits.shape[-1] > 5:
        hits = top_k_correct(jnp.asarray(logits), jnp.asarray(labels), 5)
        result["top5_accuracy"] = float(jnp.mean(hits))
    return result


def in_parts(
    task: Task, state: TrainState, images: np.ndarray, *, part: int = 500
) -> np.ndarray:
    """Logits [N, classes] of pictures in memory, `part` at a time."""
    starts = range(0, len(images), part)
    parts = [task.predict(state.averaged, images[i : i + part]) for i in starts]
    return np.concatenate([np.asarray(p) for p in parts])


def draw(
    run: Run,
    logits: np.ndarray,
    labels: np.ndarray,
    pictures: Callable[[np.ndarray], Sequence[np.ndarray]],
    *,
    held_out: str = "test",
) -> None:
    """Curves, confusion matrix, and the mistakes that the model was surest of;
    `pictures` gives those of some of the logits. `held_out` is what they are called.
    """
    name, classes = run.description.model, run.description.classes
    path = run.plots / "curves.png"
    plots.curves(run.rows(), path, title=name, held_out=held_out)
    counts = np.zeros((len(classes),) * 2, np.int64)
    np.add.at(counts, (labels, logits.argmax(-1)), 1)
    if len(classes) <= MOST_CLASSES:
        plots.confusion(
            counts,
            classes,
            run.plots / "confusion.png",
            title=f"{name}: {held_out} set",
        )
    wrong = worst(logits, labels)
    if len(wrong):
        plots.mistakes(
            pictures(wrong),
            [(classes[labels[i]], classes[logits[i].argmax()]) for i in wrong],
            run.plots / "mistakes.png",
            title=f"{name}: surest mistakes",
        )


def worst(logits: np.ndarray, labels: np.ndarray, count: int = 24) -> np.ndarray:
    """The indices of the mistakes that the model was surest of, the worst first."""
    log_p = np.asarray(jax.nn.log_softmax(logits))
    truth = log_p[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(logits.argmax(-1) != labels)
    return wrong[np.argsort(truth[wrong], kind="stable")][:count]


def cost(rows: Sequence[dict]) -> Figures:
    """Milliseconds per update, compiling apart, and the peak of memory in MB: the
    device's where it says, else this process's."""
    stats = jax.devices()[0].memory_stats() or {}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {"memory_mb": round(stats.get("peak_bytes_in_use", own) / 1e6)}
    timed = [row["ms_per_update"] for row in rows if "ms_per_update" in row]
    return result | ({"ms_per_update": float(np.median(timed))} if timed else {})
