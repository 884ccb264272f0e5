"""Any of the lecture's convolutional nets, by any recipe, on a folder of pictures.

    python -m experiments.imagenet                     shapes, generated in data/shapes
    python -m experiments.imagenet --data-dir DIR      class folders in DIR, or in
                                                       DIR/train and DIR/val
    ... --data-dir DIR --model vgg16 --recipe vgg      a paper's net by its recipe
    ... --data-dir DIR --weights resnet18.pth --freeze-until fc
    ... --data-dir DIR --model googlenet_paper --updates 20

(... is the same command.) A recipe's times are stretched to the epochs that are asked
for; --updates cuts a run short and stretches nothing. Pictures that cannot be read are
left out, counted and named, unless --strict.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np

from experiments import classify, harness, inputs, measured
from jnets.data.augmentation import augmentation
from jnets.data.crops import Evaluation
from jnets.data.image_folder import Examples, Folder
from jnets.data.picture_spec import PictureSpec
from jnets.data.stream import OrderedPass, Stream
from jnets.errors import InputError
from jnets.runs import Run
from jnets.training import TrainState
from jnets.training.fit import Plan
from jnets.training.recipes import Recipe

SHAPES_EPOCHS = 6
PARTS = 4  # rows of a run that `updates` cuts short
NAMED = 20  # unreadable pictures


@dataclasses.dataclass(frozen=True)
class Config:
    """A convolutional net on a folder of pictures."""

    model: str | None = None
    """A name that `jnets list` prints; resnet18 unless given, of the generated shapes
    cifar_resnet20, which learns them in a minute."""
    recipe: str = "small"
    """How it is trained: a row of jnets.training.recipes.RECIPES."""
    data_dir: Path | None = None
    """Class folders, in it or in its train and val; without it, generated shapes."""
    val_fraction: float = 0.1
    """Share of each class that is held out where there is no val folder."""
    image_size: int | None = None
    """Side of the square that the net sees; the model's own, of shapes 64 at most."""
    epochs: int | None = None
    """Passes over the training set; of shapes 6, else the recipe's. It is stretched."""
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
    made = config.data_dir is None
    model = config.model or ("cifar_resnet20" if made else "resnet18")
    config = dataclasses.replace(config, model=model)
    recipe = classify.chosen(config)
    check(config)
    folder = inputs.pictures(config.data_dir, config.val_fraction, config.seed)
    side = config.image_size or classify.usual_side(model, config.data_dir)
    spec = PictureSpec(side, round(side * 256 / 224), classify.pixels_of(config))
    fields = classify.model_fields(config, recipe, len(folder.classes))
    stream, validation = readers(config, folder, recipe, spec)
    given = config.epochs or (SHAPES_EPOCHS if made else None)
    epochs = classify.epochs_of(recipe, given, stream.per_epoch)
    task = classify.prepare(
        config,
        recipe,
        fields,
        side=side,
        updates=stream.per_epoch * epochs,
        pixels=spec.pixels,
    )
    plan = planned(config, task, stream, epochs)
    run = session.start(model=model, fields=fields, classes=folder.classes, spec=spec)

    def evaluate(state: TrainState) -> measured.Figures:
        found = measured.outputs(task, state, validation)
        run.note_unreadable(stream.failures | validation.failures)
        return measured.figures(found.logits, found.labels)

    try:
        state = session.train(run, task.state, task.step, stream, plan, evaluate)
    finally:
        run.note_unreadable(stream.failures)
    return shown(run, measured.outputs(task, state, validation), folder.val)


def shown(run: Run, found: measured.Outputs, val: Examples) -> harness.Result:
    """What is left of a run: its plots, its figures, the pictures that it left out."""
    skipped = run.note_unreadable({})
    report(skipped)

    def pictures(wrong: np.ndarray) -> list[np.ndarray]:
        spec = run.description.spec
        assert isinstance(spec, PictureSpec)
        return [spec.load(path) for path in val.take(found.places[wrong]).paths]

    measured.draw(run, found.logits, found.labels, pictures, held_out="validation")
    figures = measured.figures(found.logits, found.labels)
    return {**figures, **measured.cost(run.rows()), "skipped": len(skipped)}


def check(config: Config) -> None:
    """Raise an InputError for flags that no data could make usable."""
    harness.at_least(0, config, "workers")
    given = [n for n in ("image_size", "updates") if getattr(config, n) is not None]
    harness.at_least(1, config, *given)
    if not 0 < config.val_fraction < 1:
        raise InputError(
            f"val_fraction={config.val_fraction} is not usable; expected above 0 and "
            f"below 1"
        )
    if config.exact_statistics and config.freeze_until is not None:
        raise InputError(
            f"exact_statistics=True cannot go with freeze_until="
            f"{config.freeze_until!r}, which keeps statistics as they are"
        )


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

    if config.exact_statistics and not task.state.batch_stats:
        raise InputError(
            f"exact_statistics=True is of no use: {config.model} has no batch norm"
        )
    finish = exactly if config.exact_statistics else None
    if config.updates is None:
        return Plan(None, stream.per_epoch, epochs, finish=finish)
    each = -(-config.updates // PARTS)
    return Plan(None, each, PARTS, evaluate_every=PARTS, finish=finish)


def report(failures: dict[str, str]) -> None:
    """Name the pictures that were left out, on standard error."""
    for path, reason in sorted(failures.items())[:NAMED]:
        print(f"left out: {path} ({reason})", file=sys.stderr)
    if len(failures) > NAMED:
        print(
            f"left out: {len(failures) - NAMED} more, see unreadable.json of the run",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(harness.main("imagenet", Config(), run))
