"""Any of the lecture's convolutional nets, by any recipe, on a folder of pictures.

python -m experiments.imagenet                                 generated shapes
python -m experiments.imagenet --data-dir DIR                  class folders in DIR, or
                                                               in DIR/train and DIR/val
python -m experiments.imagenet --data-dir DIR --model vgg16 --recipe vgg
python -m experiments.imagenet --data-dir DIR --weights resnet18.pth --freeze-until fc
python -m experiments.imagenet --data-dir DIR --model googlenet_paper --updates 20
"""

import dataclasses
import itertools
import sys
from pathlib import Path

import numpy as np

from experiments import classify, harness, inputs, measured
from jnets.data.augmentation import augmentation
from jnets.data.crops import Evaluation
from jnets.data.image_folder import Folder
from jnets.data.picture_spec import PictureSpec
from jnets.data.stream import OrderedPass, Stream
from jnets.training import TrainState
from jnets.training.fit import Plan
from jnets.training.recipes import Recipe

PARTS = 4  # rows of a run that `updates` cuts short


@dataclasses.dataclass(frozen=True)
class Config:
    """A convolutional net on a folder of pictures."""

    model: str = "resnet18"
    """A name that `jnets list` prints, of a net that takes colour pictures."""
    recipe: str = "small"
    """How it is trained: a row of jnets.training.recipes.RECIPES."""
    data_dir: Path | None = None
    """Folder of class folders, or of train and val with class folders in each; without
    it, a folder of shapes that is generated once in data/shapes."""
    val_fraction: float = 0.1
    """Share of each class that is held out where there is no val folder."""
    image_size: int | None = None
    """Side of the square that the net sees, in pixels; unless given, 64 for the shapes
    and what the model was made for else."""
    epochs: int | None = None
    """Passes over the training set; the recipe's unless given, stretched to fit."""
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
    workers: int = 0
    """Processes that read pictures; with 0, threads of this one."""
    strict: bool = False
    """Stop at an unreadable picture in place of leaving it out."""
    weights: Path | None = None
    """Start from these: a torchvision state dict (.pth, .safetensors), or a run."""
    freeze_until: str | None = None
    """Leave all that comes before this stage of the model as it is, for instance fc."""
    exact_statistics: bool = False
    """After training, take the batch norms' statistics over a whole epoch."""
    updates: int | None = None
    """Stop after about this many updates: to see a loss fall, its time and memory."""
    seed: int = 0
    """Decides initial parameters, the order of pictures and how they are cropped."""


def run(config: Config, session: harness.Session) -> harness.Result:
    recipe = classify.chosen(config)
    harness.at_least(0, config, "workers")
    folder = inputs.pictures(config.data_dir, config.val_fraction, config.seed)
    side = config.image_size or classify.usual_side(config.model, config.data_dir)
    spec = PictureSpec(side, round(side * 256 / 224), "torchvision")
    fields = classify.model_fields(config, recipe, len(folder.classes))
    stream, validation = readers(config, folder, recipe, spec)
    epochs = classify.epochs_of(recipe, config.epochs, stream.per_epoch)
    task = classify.prepare(
        config,
        recipe,
        fields,
        side=side,
        updates=stream.per_epoch * epochs,
        pixels=spec.pixels,
    )
    run = session.start(
        model=config.model, fields=fields, classes=folder.classes, spec=spec
    )

    def measure(state: TrainState) -> tuple[np.ndarray, np.ndarray]:
        return measured.outputs(task, state, validation)

    state = session.train(
        run,
        task.state,
        task.step,
        stream,
        planned(config, task, stream, epochs),
        lambda state: measured.figures(*measure(state)),
    )
    failures = stream.failures | validation.failures
    logits, labels = measure(state)
    report(failures)
    measured.draw(run, logits, labels, lambda wrong: pictures_at(validation, wrong))
    found = measured.figures(logits, labels)
    return {**found, **measured.cost(run.rows()), "skipped": len(failures)}


def readers(
    config: Config, folder: Folder, recipe: Recipe, spec: PictureSpec
) -> tuple[Stream, OrderedPass]:
    """The training pictures as the recipe sees them, and the validation pictures."""
    stream = Stream(
        folder.train,
        augmentation(recipe.augmentation, spec.size),
        batch=recipe.batch,
        seed=config.seed,
        workers=config.workers,
        strict=config.strict,
    )
    validation = OrderedPass(
        folder.val,
        Evaluation("centre", spec.size, spec.shorter),
        batch=min(recipe.batch, folder.val.size),
        strict=config.strict,
    )
    return stream, validation


def planned(config: Config, task: classify.Task, stream: Stream, epochs: int) -> Plan:
    """As many epochs, or with `updates` a few parts of one."""

    def exactly(state: TrainState) -> TrainState:
        return classify.with_exact_statistics(task, state, stream)

    finish = exactly if config.exact_statistics else None
    if config.updates is None:
        return Plan(None, stream.per_epoch, epochs, finish=finish)
    harness.at_least(1, config, "updates")
    each = -(-config.updates // PARTS)
    return Plan(None, each, PARTS, evaluate_every=PARTS, finish=finish)


def report(failures: dict[str, str]) -> None:
    """Name the pictures that were left out, on standard error."""
    if failures:
        print(f"{len(failures)} unreadable pictures left out:", file=sys.stderr)
    for path, reason in sorted(failures.items()):
        print(f"  {path} ({reason})", file=sys.stderr)


def pictures_at(validation: OrderedPass, wanted: np.ndarray) -> list[np.ndarray]:
    """Some of the pictures that could be read, by their place among those."""
    seen = itertools.chain.from_iterable(
        images[weights > 0, 0] for images, _, weights in validation.batches()
    )
    last = max(wanted, default=-1)
    found = dict(zip(range(last + 1), seen, strict=False))
    return [found[place] for place in wanted]


if __name__ == "__main__":
    sys.exit(harness.main("imagenet", Config(), run))
