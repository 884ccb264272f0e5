"""What the experiments on coloured pictures share: a recipe put to work on a model."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jnets.data.picture_spec import PictureSpec
from jnets.data.stream import Stream
from jnets.errors import InputError
from jnets.inspect import summarize
from jnets.models import create, entry, list_models
from jnets.ops.colour import PIXELS, normalise, pca_noise
from jnets.ops.losses import Outputs, smoothed_cross_entropy, with_auxiliary
from jnets.pretrained import adopt, read_variables
from jnets.runs import Run
from jnets.training import TrainState, averages, create_state, make_step
from jnets.training.descent import Descent
from jnets.training.freeze import Frozen, freeze, frozen_before
from jnets.training.optimizers import make_optimizer
from jnets.training.recipes import Recipe, find_recipe
from jnets.training.schedules import check_rate
from jnets.training.statistics import exact_statistics
from jnets.training.step import Augment, Step
from jnets.typing import Array, PRNGKey, PyTree


class Task(NamedTuple):
    """A model to train: what `fit` needs, and what measures the result."""

    model: nn.Module
    state: TrainState
    step: Step
    predict: Callable[[PyTree, np.ndarray], Array]
    normalise: Callable[[np.ndarray], Array]


def chosen(config: Any) -> Recipe:
    """The recipe that a configuration names, with the flags that were given."""
    given = {
        "batch": config.batch_size,
        "rate": config.learning_rate,
        "compute": config.compute,
    }
    check_model(config.model)
    recipe = find_recipe(config.recipe)
    for field in ("batch_size", "epochs", "chunks"):
        value = getattr(config, field)
        if value is not None and value < 1:
            raise InputError(f"{field}={value} is not usable; expected at least 1")
    if config.learning_rate is not None:
        check_rate(config.learning_rate, "learning_rate")
    if config.compute not in (None, "float32", "bfloat16"):
        raise InputError(
            f"compute={config.compute!r} is unknown; expected float32 or bfloat16"
        )
    recipe = recipe._replace(**{k: v for k, v in given.items() if v is not None})
    if recipe.batch % config.chunks:
        raise InputError(
            f"chunks={config.chunks} does not divide the batch of {recipe.batch}; "
            f"expected equal parts"
        )
    return recipe


def check_model(name: str) -> None:
    """Raise an InputError unless a model of this name takes colour pictures."""

    def takes_colour(name: str) -> bool:
        shape, _ = entry(name).inputs[0]
        return len(shape) == 3 and shape[-1] == 3

    if not takes_colour(name):
        raise InputError(
            f"model={name!r} does not take colour pictures; expected one of "
            f"{', '.join(filter(takes_colour, list_models()))}"
        )


def pixels_of(config: Any, usual: str | None = None) -> str:
    """How colours become the model's input: as its weights want them, else as `usual`
    says, else as the published weights of the model want them."""
    if config.weights is not None and config.weights.is_dir():
        spec = Run.open(config.weights).description.spec
        if isinstance(spec, PictureSpec):
            return spec.pixels
    return usual or entry(config.model).pixels


def epochs_of(recipe: Recipe, given: int | None, updates: int) -> int:
    """Passes over the training set of `updates` updates each."""
    if given is not None:
        return given
    if recipe.unit == "epochs":
        return int(recipe.length)
    return -(-int(recipe.length) // updates)


def usual_side(model: str, data_dir: Path | None) -> int:
    """What a model was made for; of the generated shapes, less."""
    shape, _ = entry(model).inputs[0]
    return min(shape[0], 64) if data_dir is None else shape[0]


def model_fields(config: Any, recipe: Recipe, classes: int) -> dict[str, Any]:
    """The fields of the model of a configuration, as data."""
    known = entry(config.model).module.__dataclass_fields__
    fields: dict[str, Any] = {"classes": classes}
    if recipe.compute != "float32":
        fields["policy"] = ["float32", recipe.compute, "float32"]
    if config.remat:
        fields["remat"] = True
    if recipe.scheme and "scheme" in known:
        fields["scheme"] = recipe.scheme
    return fields


def prepare(
    config: Any,
    recipe: Recipe,
    fields: dict[str, Any],
    *,
    side: int,
    updates: int,
    pixels: str,
    crop: Callable[[PRNGKey, Array], Array] | None = None,
) -> Task:
    """Model, state and step. The recipe's times are stretched so that its whole length
    is `updates` updates; `crop` is done on the device, before `pixels`."""
    model = create(config.model, **fields)
    example = jnp.zeros((1, side, side, 3))
    check_size(config.model, model, example)
    # Before a state is made, which is slow.
    before = config.weights and read_variables(config.model, config.weights)
    # Of the schedule's own units, as many updates as make its length `updates`.
    clock = recipe._replace(unit="epochs")
    optimizer = make_optimizer(clock, updates / recipe.length).transformation
    trained: Any = model
    if config.freeze_until is not None:
        stages = stages_of(model, example)
        frozen = frozen_before(config.freeze_until, stages)
        optimizer, trained = freeze(optimizer, frozen), Frozen(model, frozen)
    state = create_state(
        model, (example,), optimizer, seed=config.seed, ema=recipe.ema > 0
    )
    if before is not None:
        state = begun_from(before, state)
    step = make_step(
        trained,
        loss_of(recipe),
        optimizer,
        Descent(recipe.batch, config.chunks),
        augment=augment_of(pixels, recipe.pca_noise, crop),
        average=averages.ema(recipe.ema) if recipe.ema else None,
    )

    def normalised(images: np.ndarray | Array) -> Array:
        return normalise(jnp.asarray(images), **PIXELS[pixels]._asdict())

    @jax.jit
    def predict(variables: PyTree, images: Array) -> Any:
        return model.apply(variables, normalised(images))

    return Task(model, state, step, predict, normalised)


def check_size(name: str, model: nn.Module, example: Array) -> None:
    """Raise an InputError if pictures of the example's size are too small."""
    try:
        jax.eval_shape(model.init, jax.random.key(0), example)
    except InputError as error:
        side = example.shape[1]
        raise InputError(
            f"model={name!r} cannot take pictures of {side}x{side}: {error}"
        ) from None


def stages_of(model: nn.Module, example: Array) -> tuple[str, ...]:
    """The names of a model's top-level modules, in the order of their calls."""
    names = [layer.name.split("/")[0] for layer in summarize(model, example).layers]
    return tuple(dict.fromkeys(names))


def begun_from(trained: PyTree, state: TrainState) -> TrainState:
    """The state with trained variables in it; a classifier of other classes is new."""
    variables = adopt(state.variables, trained)
    state = state.replace(**variables)
    if state.ema is not None:
        state = state.replace(ema=jax.tree.map(jnp.copy, variables))
    return state


def loss_of(recipe: Recipe) -> Callable[[Outputs, Array], Array]:
    """The recipe's loss per example, of logits and auxiliary heads."""

    def smoothed(logits: Array, labels: Array) -> Array:
        return smoothed_cross_entropy(logits, labels, recipe.smoothing)

    return with_auxiliary(smoothed, recipe.aux_weight)


def augment_of(
    pixels: str, noise: float, crop: Callable[[PRNGKey, Array], Array] | None
) -> Augment:
    """What is done to a batch on the device: uint8 in, the model's values out."""

    def augment(key: PRNGKey, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
        (images,) = inputs
        crop_key, noise_key = jax.random.split(key)
        if crop is not None:
            images = crop(crop_key, images)
        if noise:
            images = pca_noise(noise_key, images, noise)
        return (normalise(images, **PIXELS[pixels]._asdict()),)

    return augment


def with_exact_statistics(task: Task, state: TrainState, stream: Stream) -> TrainState:
    """The state with the batch statistics of one more epoch of training pictures."""

    def readable() -> Iterator[tuple[Array]]:
        batches = stream.batches(int(state.step))
        with closing(batches):
            for images, _, weights in islice(batches, stream.per_epoch):
                if weights.any():
                    yield (task.normalise(images[weights > 0]),)

    exact = exact_statistics(task.model, state.averaged, readable())
    stats = exact["batch_stats"]
    if state.ema is None:
        return state.replace(batch_stats=stats)
    return state.replace(ema=state.ema | {"batch_stats": stats})
