"""Residual nets on small pictures: CIFAR, or shapes in its format.

    python -m experiments.cifar                       generated shapes, 32x32
    python -m experiments.cifar --data-dir DIR        CIFAR-10 or 100 in DIR
    ... --data-dir DIR --model cifar_resnet110 --recipe resnet_cifar_110

(... is the same command.) DIR holds the python or the binary batches, or is a .npz
file or the .tar.gz itself. All pictures live on the device; crops and mirror images
are made there.
"""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from experiments import classify, harness, inputs, measured
from jnets.data.picture_spec import PictureSpec
from jnets.ops.distort import random_crop_and_flip
from jnets.training import TrainState, epoch_order, minibatch
from jnets.training.fit import Plan

SHAPES_EPOCHS = 5


@dataclasses.dataclass(frozen=True)
class Config:
    """A residual net on small pictures."""

    model: str = "cifar_resnet20"
    """A name that `jnets list` prints, of a net that takes colour pictures."""
    recipe: str = "small"
    """A row of jnets.training.recipes.RECIPES; the paper's is resnet_cifar."""
    data_dir: Path | None = None
    """CIFAR's batches or .npz file; without it, shapes that are generated."""
    epochs: int | None = None
    """Passes over the training set; of shapes 5, else the recipe's. It is stretched."""
    batch_size: int | None = None
    """Pictures per update; the recipe's unless given. The rate is in proportion."""
    learning_rate: float | None = None
    """Rate at the recipe's own batch size; the recipe's unless given."""
    chunks: int = 1
    """Parts that a batch is worked on in, one after the other, to save memory."""
    compute: str | None = None
    """float32 or bfloat16, of the products; the recipe's unless given."""
    remat: bool = False
    """Compute activations again for the gradient, to save memory."""
    weights: Path | None = None
    """Start from these: the directory of a run of the same model."""
    freeze_until: str | None = None
    """Leave all that comes before this stage of the model as it is, for instance fc."""
    seed: int = 0
    """Decides initial parameters, the order of pictures and how they are cropped."""


def run(config: Config, session: harness.Session) -> harness.Result:
    recipe = classify.chosen(config)
    train, test = inputs.small_pictures(config.data_dir)
    side = train.inputs[0].shape[1]
    spec = PictureSpec(side, side, classify.pixels_of(config, "cifar"))
    fields = classify.model_fields(config, recipe, len(train.classes))
    descent = minibatch(recipe.batch)
    updates = descent.updates(train.size)
    given = SHAPES_EPOCHS if config.data_dir is None else None
    epochs = classify.epochs_of(recipe, config.epochs or given, updates)
    task = classify.prepare(
        config,
        recipe,
        fields,
        side=side,
        updates=updates * epochs,
        pixels=spec.pixels,
        crop=random_crop_and_flip,
    )
    run = session.start(
        model=config.model, fields=fields, classes=train.classes, spec=spec
    )

    def measure(state: TrainState) -> np.ndarray:
        return measured.in_parts(task, state, test.inputs[0])

    plan = Plan(
        lambda state, epoch: epoch_order(state.epoch_key(epoch), train.size, descent),
        updates,
        epochs,
    )
    data = ((jnp.asarray(train.inputs[0]),), jnp.asarray(train.labels))

    def found(state: TrainState) -> measured.Figures:
        return measured.figures(measure(state), test.labels)

    state = session.train(run, task.state, task.step, data, plan, found)
    logits = measure(state)
    measured.draw(
        run, logits, test.labels, lambda wrong: [test.inputs[0][i] for i in wrong]
    )
    return {**measured.figures(logits, test.labels), **measured.cost(run.rows())}


if __name__ == "__main__":
    sys.exit(harness.main("cifar", Config(), run))
