"""Trained models on labelled pictures, measured as the papers measured theirs.

An image's class probabilities are the mean of the softmax over its views (crops and
mirror images), over scales, and over the models of an ensemble.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.crops import Evaluation
from jnets.data.image_folder import Examples
from jnets.data.picture_spec import PictureSpec
from jnets.data.stream import OrderedPass
from jnets.errors import InputError
from jnets.models import create, entry
from jnets.ops.colour import PIXELS, normalise
from jnets.pretrained import read
from jnets.runs import Description
from jnets.typing import Array, PyTree

# Name on the command line -> views of the data room; "dense" is the whole picture.
CROPS = {"1": "centre", "10": "ten", "144": "googlenet", "dense": "whole"}

Progress = Callable[[int, int], None]
Program = Callable[[PyTree, np.ndarray], Array]


class Score(NamedTuple):
    """Shares of pictures whose class is the likeliest, or among the five likeliest.

    `failures` are the pictures that could not be read, {path: reason}; they count
    nowhere. `top5` is None for a model of five classes or fewer.
    """

    pictures: int
    top1: float
    top5: float | None
    failures: dict[str, str]


class Member(NamedTuple):
    """One model of an ensemble, `path` being its weights."""

    path: Path
    probabilities: Program
    variables: PyTree


class Ensemble:
    """Models of one name and different weights, their probabilities averaged.

    A member from a run is the run's: its fields, its way of seeing colours. With
    `dense` the fully connected layers slide over the whole picture (VGG, section 3.2);
    models that end in global pooling do that anyway. `pixels` replaces all members'
    own colours, which for a file of weights are the model's usual ones.

    `classes` counts the classes. `names` are theirs, and `spec` is how pictures were
    seen in training, of the first member that is a run; else None.
    Errors: InputError for a model that does not take colour pictures, for no weights
    or those of another model, and for members that differ in their classes.
    """

    def __init__(
        self,
        name: str,
        weights: Sequence[Path],
        *,
        dense: bool = False,
        pixels: str | None = None,
    ):
        if entry(name).inputs[0][0][-1:] != (3,):
            raise InputError(f"model {name!r} does not take colour pictures")
        if not weights:
            raise InputError("weights are none; expected at least one file or run")
        found = {path: read(name, path) for path in weights}
        runs = {p: m.description for p, m in found.items() if m.description is not None}
        self.classes = _common_count({p: m.variables for p, m in found.items()})
        self.names = _common_names({path: run.classes for path, run in runs.items()})
        specs = [run.spec for run in runs.values() if isinstance(run.spec, PictureSpec)]
        self.spec = specs[0] if specs else None
        programs: dict[str, Program] = {}  # one for all that differ in weights only
        self._members = []
        for path in weights:
            run = runs.get(path)
            fields = {"classes": self.classes} if run is None else dict(run.fields)
            if dense and "dense" in entry(name).module.__dataclass_fields__:
                fields["dense"] = True
            colours = pixels or _pixels(name, run)
            kind = f"{colours} {fields}"
            if kind not in programs:
                model = create(name, **fields)
                programs[kind] = _probabilities(model, PIXELS[colours]._asdict())
            # Once, and not with every batch.
            variables = jax.device_put(found[path].variables)
            self._members.append(Member(path, programs[kind], variables))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 [B, views, h, w, 3] -> probabilities [B, classes].

        Errors: InputError for pictures of a size that the model cannot take, and for
        weights that give no finite numbers.
        """
        try:
            found = [
                each.probabilities(each.variables, images) for each in self._members
            ]
        except InputError as error:
            height, width = images.shape[2:4]
            raise InputError(
                f"pictures of {width}x{height} do not fit the model ({error})"
            ) from None
        values = [np.asarray(p) for p in found]
        for member, p in zip(self._members, values, strict=True):
            if not np.isfinite(p).all():
                raise InputError(
                    f"weights={member.path} give probabilities that are not finite"
                )
        return np.mean(values, axis=0)


def _pixels(name: str, run: Description | None) -> str:
    """What the weights take for colours: a row of PIXELS."""
    if run is not None and isinstance(run.spec, PictureSpec):
        return run.spec.pixels
    return entry(name).pixels


def _common_count(members: Mapping[Path, PyTree]) -> int:
    """The number of classes, of the bias of the last layer."""
    counts = {p: _last_bias(v["params"]).shape[0] for p, v in members.items()}
    (first, expected), *others = counts.items()
    for path, count in others:
        if count != expected:
            raise InputError(
                f"weights={path} have {count} classes, {first} {expected}; expected an "
                f"ensemble for the same classes"
            )
    return expected


def _last_bias(params: PyTree) -> Array:
    return params["fc8" if "fc8" in params else "fc"]["bias"]


def _common_names(runs: Mapping[Path, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The names of the classes, in order; None without a run."""
    expected = None
    for path, names in runs.items():
        expected = expected or names
        if names != expected:
            raise InputError(
                f"weights={path} were trained on {_some(names)}, others on "
                f"{_some(expected)}; expected an ensemble for the same classes"
            )
    return expected


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _probabilities(model: nn.Module, values: dict) -> Program:
    @jax.jit
    def probabilities(variables: PyTree, images: Array) -> Array:
        examples, views, *shape = images.shape
        flat = normalise(images.reshape(examples * views, *shape), **values)
        logits = jnp.asarray(model.apply(variables, flat), jnp.float32)
        p = jax.nn.softmax(logits)
        return jnp.mean(p.reshape(examples, views, -1), axis=1)

    return probabilities


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
    in shape, go one by one with their mirror image, and every new shape is compiled,
    which for a folder of photographs takes longer than all else.

    Classes are matched by name where the names are known, else by their order: there
    the folder must have as many as the weights. Errors: InputError for classes that
    do not match, for a size that the model cannot take, if no picture can be read,
    and as `Ensemble` and `OrderedPass`.
    """
    labels = _labels(ensemble, examples)
    # The smallest first: if the model cannot take it, that is known at once.
    ordered = sorted(evaluations, key=lambda evaluation: evaluation.shorter)
    passes = [
        OrderedPass(
            examples,
            evaluation,
            batch=1 if evaluation.crops == "whole" else batch,
            workers=workers,
            strict=strict,
        )
        for evaluation in ordered
    ]
    total = np.zeros((examples.size, ensemble.classes))
    seen, failures, done = np.ones(examples.size, bool), {}, 0
    for evaluation, part in zip(ordered, passes, strict=True):
        at = 0
        with closing(part.batches()) as batches:
            for images, _, weights in batches:
                if evaluation.crops == "whole":
                    images = np.concatenate([images, images[:, :, :, ::-1]], axis=1)
                real = min(len(images), examples.size - at)
                if weights.any():
                    total[at : at + real] += ensemble(images)[:real]
                seen[at : at + real] &= weights[:real] > 0
                at, done = at + real, done + real
                progress(done, len(passes) * examples.size)
        failures |= part.failures
    return _score(total[seen], labels[seen], failures)


def _labels(ensemble: Ensemble, examples: Examples) -> np.ndarray:
    """The examples' classes as places among those of the weights."""
    classes = examples.classes
    if ensemble.names is None:
        if len(classes) != ensemble.classes:
            raise InputError(
                f"data has {len(classes)} classes, the weights {ensemble.classes}; "
                f"expected a folder of the classes that the weights were trained on"
            )
        return examples.labels
    odd = [name for name in classes if name not in ensemble.names]
    if odd:
        raise InputError(
            f"data has the class {odd[0]!r}, which the weights lack; they were "
            f"trained on {_some(ensemble.names)}"
        )
    places = np.array([ensemble.names.index(name) for name in classes], np.int32)
    return places[examples.labels]


def _score(total: np.ndarray, labels: np.ndarray, failures: dict[str, str]) -> Score:
    if not len(labels):
        raise InputError(f"data has no readable picture ({len(failures)} unreadable)")
    # Stable: of equal probabilities the class of the smaller number comes first.
    ranked = np.argsort(-total, axis=1, kind="stable")
    hits = ranked == labels[:, None]
    top5 = float(hits[:, :5].any(1).mean()) if total.shape[1] > 5 else None
    return Score(len(labels), float(hits[:, 0].mean()), top5, failures)
