"""LeNet-5 reads handwritten digits.

python -m experiments.lenet5                             digits of scikit-learn
python -m experiments.lenet5 --data-dir DIR [--fetch]    MNIST idx files in DIR
python -m experiments.lenet5 --variant lenet5_1998       as published in 1998

On 4 CPU cores: the digits take 20 seconds, 99.6 % of 360 test images are right (mean
of seeds 0 to 2). MNIST takes 2 minutes, 0.72 % error; as published, 4 to 5 minutes,
0.92 % (the paper: 0.95 %, without distortions). One update is one call of the device:
inside a loop of XLA a convolution runs several times slower on the CPU.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness, inputs, plots
from jnets.data.images import prepare
from jnets.errors import InputError
from jnets.inspect import capture, filters
from jnets.models import create
from jnets.ops import lenet_map_loss
from jnets.ops.distort import random_affine
from jnets.training import (
    TrainState,
    cosine,
    create_state,
    epoch_order,
    evaluate,
    make_predict,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan
from jnets.typing import Array, PRNGKey


def map_loss(logits: Array, labels: Array) -> Array:
    """The paper's loss, eq. 9, on a model that returns negated penalties."""
    return lenet_map_loss(-logits, labels)


cross_entropy = optax.softmax_cross_entropy_with_integer_labels


class Recipe(NamedTuple):
    """What differs between the variants: `side` is that of the input image, `epochs`
    is for a set as large as MNIST."""

    loss: Callable[[Array, Array], Array]
    side: int
    learning_rate: float
    epochs: int


VARIANTS = {
    "lenet5": Recipe(cross_entropy, 32, 0.05, 12),
    # Its loss is a squared distance of about 84 at the start, its gradients large.
    "lenet5_1998": Recipe(map_loss, 32, 0.002, 20),
    "lenet_caffe": Recipe(cross_entropy, 28, 0.05, 8),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """LeNet-5 on handwritten digits."""

    variant: str = "lenet5"
    """lenet5, lenet5_1998 or lenet_caffe."""
    data_dir: Path | None = None
    """Directory of the four MNIST files; without it, the digits of scikit-learn."""
    fetch: bool = False
    """Download MNIST (11 MB) into data_dir, or data/mnist, unless it is there."""
    epochs: int | None = None
    """Passes over the training set; unless given, 40 of the digits, 8 to 20 of MNIST,
    as the variant needs."""
    distort: bool | None = None
    """Shift, scale and shear training images at random; unless given, the digits,
    which are few, but not MNIST."""
    batch_size: int = 64
    """Examples per update."""
    learning_rate: float | None = None
    """The highest rate, the variant's own unless given; falls along half a cosine."""
    momentum: float = 0.9
    """Weight of the past updates."""
    weight_decay: float = 5e-4
    """L2 penalty on all parameters, added to the gradient."""
    seed: int = 0
    """Decides initial parameters and the order of examples."""


def run(config: Config, session: harness.Session) -> harness.Result:
    check(config)
    train, test, spec = inputs.handwriting(config.data_dir, config.fetch)
    recipe = VARIANTS[config.variant]
    spec = spec._replace(size=recipe.side)
    epochs, distort = amount(config, few=train.size < 10_000)
    model = create(config.variant)
    x_train, x_test = prepare(train.inputs[0], spec), prepare(test.inputs[0], spec)

    descent = minibatch(config.batch_size)
    updates = descent.updates(train.size)
    optimizer = descend(config, updates * epochs)
    example = (jnp.asarray(x_train[:1]),)
    state = create_state(model, example, optimizer, seed=config.seed)
    augment = distorted if distort else None
    step = make_step(model, recipe.loss, optimizer, descent, augment=augment)

    run = session.start(
        model=config.variant, fields={}, classes=train.classes, spec=spec
    )
    predict = make_predict(model, examples=min(1000, test.size))

    def measure(state: TrainState):
        return evaluate(predict(state.variables, (x_test,)), test.labels, recipe.loss)

    def figures(state: TrainState):
        found = measure(state)
        return {"test_loss": found.loss, "test_accuracy": found.accuracy}

    plan = Plan(
        lambda state, epoch: epoch_order(state.epoch_key(epoch), train.size, descent),
        updates,
        epochs,
    )
    data = ((jnp.asarray(x_train),), jnp.asarray(train.labels))
    state = session.train(run, state, step, data, plan, figures)

    found = measure(state)
    draw(run, model, state, x_test[:1], found.confusion)
    return {
        "test_accuracy": found.accuracy,
        "test_error_percent": 100 * (1 - found.accuracy),
    }


def amount(config: Config, *, few: bool) -> tuple[int, bool]:
    """Epochs, and whether to distort: as given, or else as suits a set with few images
    or with many."""
    usual = 40 if few else VARIANTS[config.variant].epochs
    epochs = usual if config.epochs is None else config.epochs
    return epochs, few if config.distort is None else config.distort


def distorted(key: PRNGKey, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    return (random_affine(key, inputs[0]),)


def descend(config: Config, updates: int) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum and weight decay."""
    highest = config.learning_rate
    if highest is None:
        highest = VARIANTS[config.variant].learning_rate
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(cosine(highest, updates), momentum=config.momentum),
    )


def check(config: Config) -> None:
    harness.at_least(1, config, "batch_size")
    if config.epochs is not None:
        harness.at_least(1, config, "epochs")
    harness.at_least(0, config, "weight_decay")
    harness.fraction(config, "momentum")
    if config.variant not in VARIANTS:
        raise InputError(
            f"variant={config.variant!r} is unknown; expected one of {list(VARIANTS)}"
        )


def draw(run, model, state: TrainState, image: np.ndarray, confusion: np.ndarray):
    """Curves, confusion matrix, first-layer filters, feature maps of one digit."""
    name = run.description.model
    plots.curves(run.rows(), run.plots / "curves.png", title=name)
    plots.confusion(
        confusion,
        run.description.classes,
        run.plots / "confusion.png",
        title=f"{name}: test set",
    )
    first = model.names[0] if hasattr(model, "names") else "C1"
    plots.filter_grid(
        filters(state.variables, first)[..., 0],
        run.plots / "filters.png",
        title=f"{name}: filters of {first}",
    )
    outputs = capture(model, state.variables, jnp.asarray(image))
    maps = {k: v[0] for k, v in outputs.items() if v.ndim == 4 and v.shape[1] > 1}
    plots.feature_maps(
        image[0, ..., 0], maps, run.plots / "feature_maps.png", title=name
    )


if __name__ == "__main__":
    sys.exit(harness.main("lenet5", Config(), run))
