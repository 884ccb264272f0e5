"""Trained models on labelled pictures, measured as the papers measured theirs.

An image's class probabilities are the mean of the softmax over its views (crops and
mirror images), over scales, and over the models of an ensemble.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.crops import Evaluation
from jnets.data.image_folder import Examples
from jnets.data.stream import OrderedPass
from jnets.errors import InputError
from jnets.models import create, entry
from jnets.ops.colour import PIXELS, normalise
from jnets.pretrained import read_variables
from jnets.typing import Array, PyTree

# Name on the command line -> views of the data room; "dense" is the whole picture.
CROPS = {"1": "centre", "10": "ten", "144": "googlenet", "dense": "whole"}

Progress = Callable[[int, int], None]


class Score(NamedTuple):
    """Shares of pictures whose class is the likeliest, or among the five likeliest.

    `failures` are the pictures that could not be read, {path: reason}; they count
    nowhere. `top5` is None for a model of five classes or fewer.
    """

    pictures: int
    top1: float
    top5: float | None
    failures: dict[str, str]


class Ensemble:
    """Models of one name and different weights, their probabilities averaged.

    With `dense` the fully connected layers slide over the whole picture (VGG,
    section 3.2); models that end in global pooling do that anyway.
    """

    def __init__(
        self,
        name: str,
        weights: Sequence[Path],
        *,
        dense: bool = False,
        pixels: str | None = None,
    ):
        self.members = [read_variables(name, path) for path in weights]
        self.classes = _classes(self.members)
        fields = {"classes": self.classes}
        if dense and "dense" in entry(name).module.__dataclass_fields__:
            fields["dense"] = True
        model = create(name, **fields)
        values = PIXELS[pixels or entry(name).pixels]._asdict()
        self._probabilities = _probabilities(model, values)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [B, views, h, w, 3] -> probabilities [B, classes]."""
        return np.mean(
            [np.asarray(self._probabilities(v, images)) for v in self.members], axis=0
        )


def _probabilities(model: nn.Module, values: dict):
    @jax.jit
    def probabilities(variables: PyTree, images: Array) -> Array:
        examples, views, *shape = images.shape
        flat = normalise(images.reshape(examples * views, *shape), **values)
        logits = jnp.asarray(model.apply(variables, flat), jnp.float32)
        p = jax.nn.softmax(logits)
        return jnp.mean(p.reshape(examples, views, -1), axis=1)

    return probabilities


def _classes(members: Sequence[PyTree]) -> int:
    """The number of classes: of the last layer's bias, in the order of the modules."""
    counts = {_last_bias(variables["params"]).shape[0] for variables in members}
    if len(counts) != 1:
        raise InputError(
            f"weights have {sorted(counts)} classes; expected the same number in all"
        )
    return counts.pop()


def _last_bias(params: PyTree) -> Array:
    heads = [name for name in ("fc", "fc8") if name in params]
    return params[heads[0]]["bias"]


def evaluate(
    ensemble: Ensemble,
    examples: Examples,
    evaluations: Sequence[Evaluation],
    *,
    batch: int,
    workers: int = 0,
    strict: bool = False,
    progress: Progress = lambda done, total: None,
) -> Score:
    """Score an ensemble, averaging over `evaluations` (scales).

    `batch` pictures at a time, each with all its views; whole pictures, which differ
    in shape, go one by one with their mirror image, and every new shape is compiled.
    Errors: InputError if the model has fewer classes than the folder.
    """
    classes = len(examples.classes)
    if classes > ensemble.classes:
        raise InputError(
            f"data has {classes} classes, the weights {ensemble.classes}; expected a "
            f"folder of the classes that the weights were trained on"
        )
    total = np.zeros((examples.size, ensemble.classes))
    read, failures = np.ones(examples.size, bool), {}
    for number, evaluation in enumerate(evaluations):
        size = 1 if evaluation.crops == "whole" else batch
        part = OrderedPass(
            examples, evaluation, batch=size, workers=workers, strict=strict
        )
        at = 0
        for images, _, weights in part.batches():
            if evaluation.crops == "whole":
                images = np.concatenate([images, images[:, :, :, ::-1]], axis=1)
            real = min(size, examples.size - at)
            total[at : at + real] += ensemble(images)[:real]
            read[at : at + real] &= weights[:real] > 0
            at += real
            done = number * examples.size + at
            progress(done, len(evaluations) * examples.size)
        failures |= part.failures
    return _score(total[read], examples.labels[read], failures)


def _score(total: np.ndarray, labels: np.ndarray, failures: dict[str, str]) -> Score:
    if not len(labels):
        raise InputError(f"data has no readable picture ({len(failures)} unreadable)")
    # Stable: of equal probabilities the class of the smaller number comes first.
    ranked = np.argsort(-total, axis=1, kind="stable")
    hits = ranked == labels[:, None]
    top5 = float(hits[:, :5].any(1).mean()) if total.shape[1] > 5 else None
    return Score(len(labels), float(hits[:, 0].mean()), top5, failures)
