"""LRCN on clips of videos: training, testing, and what is drawn of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import action_plots, harness, plots
from experiments.encoders import SMALL
from experiments.measured import MOST_CLASSES
from jnets.data import frames, moving_digits
from jnets.data.pictures import pillow
from jnets.models import create, entry
from jnets.runs import Run
from jnets.systems.actions import ClipSpec, of_frames, of_video, scaled
from jnets.training import (
    TrainState,
    cosine,
    create_state,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan, Row
from jnets.training.source import Feed
from jnets.typing import Array, PRNGKey, PyTree

if TYPE_CHECKING:
    from experiments.action_recogniser import Config

TOGETHER = 64  # clips in one call, in tests
DRAWN = 3  # videos in the picture of them
CLIP_NORM, DECAY, MOMENTUM = 5.0, 5e-3, 0.9  # LRCN's solver
LEAST = 1e-30  # of a probability, for its logarithm

cross_entropy = optax.softmax_cross_entropy_with_integer_labels


class Source(NamedTuple):
    """Where clips come from: a feed of them, `updates` of which are an epoch, and the
    videos to test on by their places, uint8 [n, H, W, 3] each, with the label of every
    frame of every one."""

    feed: Feed
    updates: int
    epochs: int
    videos: Callable[[Iterable[int]], Iterable[np.ndarray]]
    labels: Sequence[Sequence[int] | np.ndarray]
    classes: tuple[str, ...]


class Answers(NamedTuple):
    """Of each tested video: probabilities of its frames [n, K], and of it all [K]."""

    frames: list[np.ndarray]
    videos: np.ndarray


class Measured(NamedTuple):
    """Mean -log p and accuracy, over videos or over frames, and confusion counts."""

    loss: float
    accuracy: float
    confusion: np.ndarray


def run(config: Config, session: harness.Session, source: Source) -> harness.Result:
    kind, own = spec(config, source.classes), fields(config, len(source.classes))
    run = session.start(
        model=config.model, fields=own, classes=source.classes, spec=kind
    )
    examples(run, source)
    found = {"test": learn(config, session, run, source)}
    if config.single_frame:
        alone = session.part(run, "single_frame", fields=own | {"frames_only": True})
        found["single_frame"] = learn(config, session, alone, source)
    draw(run, source, found)
    result = accuracies(found, source, kind.each)
    seconds = [row["seconds"] for row in run.rows()[1:]]
    return result | {"classes": len(source.classes), "training_seconds": sum(seconds)}


def accuracies(found: dict[str, Answers], source: Source, each: bool) -> harness.Result:
    """Of a net without the LSTM also that of the mean of a video's frames, the paper's
    baseline. It can beat chance where one frame cannot: frames of one video lie along
    the axis of motion, and a mean over them keeps what varies across it."""
    alone = found.get("single_frame")
    result: harness.Result = {
        "test_accuracy": measure(found["test"], source.labels, each).accuracy
    }
    if alone is not None:
        one = measure(alone, source.labels, each=True)
        result["single_frame_accuracy"] = one.accuracy
    if alone is not None and not each:
        mean = measure(alone, source.labels, each=False)
        result["averaged_frames_accuracy"] = mean.accuracy
    return result


def side(config: Config) -> int:
    """Of the square of a frame that the net sees."""
    return config.size or entry(config.model).inputs[0][0][1]


def length(config: Config) -> int:
    """Frames of a clip."""
    return config.frames or (16 if config.data_dir or config.fine_grained else 8)


def shorter(config: Config) -> int:
    """What the shorter side of a frame is resized to: the paper's 240 of 227. Digits
    move over all of theirs."""
    return side(config) if config.data_dir is None else round(side(config) * 240 / 227)


def spec(config: Config, classes: tuple[str, ...]) -> ClipSpec:
    size, pixels = side(config), entry(config.model).pixels
    clip, each = (length(config), config.stride), config.fine_grained
    return ClipSpec(size, shorter(config), pixels, *clip, each, classes)


def fields(config: Config, classes: int) -> dict[str, Any]:
    """Those of the model that the configuration sets."""
    given: dict[str, Any] = {"classes": classes}
    if not entry(config.model).fields:
        given |= {"hidden": config.hidden, "feature_norm": True, **SMALL}
        # Which way something moves is in products of what is and what was: of a start
        # from small weights they are so small that most nets find it late or never.
        given["scheme"] = "he_normal"
    if config.encoder is not None:
        given |= {"encoder": config.encoder, "encoder_fields": {}}
    if config.dropout is not None:
        given["dropout"] = config.dropout
    return given


def optimiser(config: Config, updates: int) -> optax.GradientTransformation:
    """Adam, or for an LRCN the descent that it was trained by; gradients clipped."""
    clip = optax.clip_by_global_norm(CLIP_NORM)
    if entry(config.model).fields:
        rate = cosine(config.learning_rate or 0.001, updates)
        decay = optax.add_decayed_weights(DECAY)
        return optax.chain(clip, decay, optax.sgd(rate, MOMENTUM))
    return optax.chain(clip, optax.adam(cosine(config.learning_rate or 0.002, updates)))


def learn(
    config: Config, session: harness.Session, run: Run, source: Source
) -> Answers:
    """Train the run's model; its answers to the videos of the test."""
    described = run.description
    kind = described.spec
    assert isinstance(kind, ClipSpec)
    model = create(described.model, **described.fields)
    optimizer = optimiser(config, source.updates * source.epochs)
    example = tuple(map(jnp.asarray, kind.example()))
    state = create_state(model, example, optimizer, seed=config.seed)

    def augment(key: PRNGKey, inputs: tuple[Array, ...]):
        del key  # what is drawn of a clip is drawn where it is read
        return scaled(inputs[0], kind.pixels), inputs[1]

    descent = minibatch(config.batch_size)
    step = make_step(model, cross_entropy, optimizer, descent, augment=augment)
    predict = predictor(model, kind)

    def figures(state: TrainState) -> Row:
        found = answer(predict, state.variables, source, kind)
        measured = measure(found, source.labels, kind.each)
        return {"test_loss": measured.loss, "test_accuracy": measured.accuracy}

    plan = Plan(None, source.updates, source.epochs, evaluate_every=5)
    state = session.train(run, state, step, source.feed, plan, figures)
    return answer(predict, state.variables, source, kind)


Predict = Callable[[PyTree, np.ndarray, np.ndarray], Array]


def predictor(model: nn.Module, kind: ClipSpec) -> Predict:
    """Probabilities [M, T, K] of clips uint8 [M, T, H, W, 3] and their lengths."""

    @jax.jit
    def predict(variables: PyTree, x: Array, lengths: Array) -> Array:
        logits: Any = model.apply(variables, scaled(x, kind.pixels), lengths)
        return jax.nn.softmax(logits)

    return predict


def answer(
    predict: Predict, variables: PyTree, source: Source, kind: ClipSpec
) -> Answers:
    """Clips of several videos in one call, of which only they are in memory."""
    counts: deque[tuple[int, int]] = deque()  # frames and clips of videos under way

    def clips() -> Iterator[tuple[np.ndarray, int]]:
        for video in source.videos(range(len(source.labels))):
            cut, lengths = frames.clips(video, kind.frames, kind.stride)
            counts.append((len(video), len(cut)))
            yield from zip(cut, lengths, strict=True)

    def outputs() -> Iterator[np.ndarray]:
        left = clips()
        while part := list(islice(left, TOGETHER)):
            filled = part + part[:1] * (TOGETHER - len(part))  # one shape to compile
            x, lengths = map(np.stack, zip(*filled, strict=True))
            yield from np.asarray(predict(variables, x, lengths))[: len(part)]

    each, whole = [], []
    rows = outputs()
    for first in rows:
        count, number = counts.popleft()
        p = np.stack([first, *islice(rows, number - 1)])
        each.append(of_frames(p, count, kind.stride))
        whole.append(of_video(p, count))
    return Answers(each, np.stack(whole))


def measure(found: Answers, labels: Sequence, each: bool) -> Measured:
    """Over frames with `each`, else over videos, whose label is that of any frame."""
    if each:
        p, truth = np.concatenate(found.frames), np.concatenate(labels)
    else:
        p, truth = found.videos, np.array([row[-1] for row in labels])
    p, truth = p[truth >= 0], truth[truth >= 0]
    counts = np.zeros((p.shape[1],) * 2, np.int64)
    np.add.at(counts, (truth, p.argmax(-1)), 1)
    own = np.maximum(p[np.arange(len(truth)), truth], LEAST)
    accuracy = float(np.trace(counts) / len(truth))
    return Measured(float(-np.log(own).mean()), accuracy, counts)


def examples(run: Run, source: Source) -> None:
    """Of videos that were made here, one of each class as a folder of frames, to try
    `jnets predict` on."""
    if not isinstance(source.feed, moving_digits.MovingDigits):
        return
    labels = [row[-1] for row in source.labels]
    for i, name in enumerate(source.classes):
        folder = run.directory / "examples" / name
        folder.mkdir(parents=True, exist_ok=True)
        for video in source.videos([labels.index(i)] if i in labels else []):
            for number, frame in enumerate(video, 1):
                picture = pillow().fromarray(frame)
                picture.save(folder / f"frame-{number:04d}.png")


def draw(run: Run, source: Source, found: dict[str, Answers]) -> None:
    """Curves, confusion, and a few videos with what was said of their frames."""
    title, kind = run.description.model, run.description.spec
    assert isinstance(kind, ClipSpec)
    plots.curves(run.rows(), run.plots / "curves.png", title=title)
    if len(source.classes) <= MOST_CLASSES:
        plots.confusion(
            measure(found["test"], source.labels, kind.each).confusion,
            source.classes,
            run.plots / "confusion.png",
            title=f"{title}: test set",
            shares=True,
        )
    count = len(source.labels)
    shown = [count * i // DRAWN for i in range(min(DRAWN, count))]  # of many classes
    action_plots.strips(
        list(source.videos(shown)),
        [np.asarray(source.labels[i]) for i in shown],
        {name: [every.frames[i] for i in shown] for name, every in found.items()},
        source.classes,
        run.plots / "frames.png",
    )
