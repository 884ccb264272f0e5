"""What the captioner and the storyteller share: words, encoder, training, figures."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import caption_scores, harness
from experiments.encoders import SMALL
from jnets.data.picture_feed import PictureFeed
from jnets.data.picture_spec import PictureSpec
from jnets.data.pictures import PictureError
from jnets.data.vocabulary import Vocabulary, padded
from jnets.errors import InputError
from jnets.models import entry
from jnets.pretrained import read_variables
from jnets.runs import Run
from jnets.systems.telling import Telling
from jnets.training import (
    TrainState,
    cosine,
    create_state,
    epoch_order,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan, Row
from jnets.training.optimizers import by_path
from jnets.training.program import Data
from jnets.training.schedules import check_rate
from jnets.typing import Array, PyTree

PART = 100  # held-out examples at a time
cross_entropy = optax.softmax_cross_entropy_with_integer_labels


class Told(NamedTuple):
    """Pictures in memory, uint8 [N, ..., S, S, 3], and what is told of each: tokens and
    labels [N, ..., T] of one text, and all texts, to compare with."""

    images: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    references: list[list[str]]

    def data(self) -> Data:
        """On the device."""
        return (
            (jnp.asarray(self.images), jnp.asarray(self.tokens)),
            jnp.asarray(self.labels),
        )


class Corpus(NamedTuple):
    """What is trained on, `size` examples, and what is held out."""

    train: Data | PictureFeed
    size: int
    test: Told
    telling: Telling


class Task(NamedTuple):
    """A model to train from a state, and tell(variables, normalised images) -> tokens.

    `updates` are those of an epoch.
    """

    model: Any  # a Module with fields `encoder` and `tune`
    tell: Callable[[PyTree, Array], Array]
    corpus: Corpus
    optimizer: optax.GradientTransformation
    state: TrainState
    updates: int


def token_arrays(
    vocabulary: Vocabulary, sentences: Sequence[Sequence[str]], steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """(tokens, labels) int32 [N, steps]: the start and the words; the words and the
    end, then -1. What is longer is cut."""
    rows = vocabulary.encode(sentences, ends=True)
    tokens, _ = padded([row[:-1] for row in rows], steps)
    labels, _ = padded([row[1:] for row in rows], steps, fill=-1)
    return tokens, labels


def read_pictures(
    paths: np.ndarray, spec: PictureSpec
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Images of paths [N] or [N, P], the rows of `paths` whose pictures can all be
    read, and {path: reason} of those that cannot. Errors: InputError if none can."""
    images, rows, failures = [], [], {}
    for row, some in enumerate(paths.reshape(len(paths), -1)):
        try:
            images.append(np.stack([spec.load(path) for path in some]))
            rows.append(row)
        except PictureError as error:
            failures[error.path] = error.reason
    if not images:
        path, reason = next(iter(failures.items()))
        raise InputError(f"no picture can be read; {path} is the first ({reason})")
    shape = (*paths.shape[1:], spec.size, spec.size, 3)
    return np.stack(images).reshape(-1, *shape), np.array(rows), failures


def encoder_of(config: Any) -> tuple[dict[str, Any], PictureSpec]:
    """The fields that name the encoder, and how it takes pictures."""
    if config.encoder is None and config.data_dir is None:
        return dict(SMALL), PictureSpec(config.side, config.side, "inception")
    name = config.encoder or "resnet18"
    shape, _ = entry(name).inputs[0]
    if len(shape) != 3 or shape[-1] != 3:
        raise InputError(f"encoder={name!r} does not take colour pictures")
    side = config.side if config.data_dir is None else shape[0]
    return {"encoder": name}, PictureSpec(side, side, entry(name).pixels)


def check(config: Any) -> None:
    harness.at_least(1, config, "hidden", "epochs", "batch_size", "beam", "least")
    harness.at_least(2, config, "pictures", "test_pictures")
    harness.at_least(0, config, "fine_tune_after")
    harness.fraction(config, "dropout", "held_out")
    check_rate(config.learning_rate, "learning_rate")
    check_rate(config.fine_tune_rate, "fine_tune_rate")


def prepare(
    config: Any, model: Any, corpus: Corpus, tell: Callable[[PyTree, Array], Array]
) -> Task:
    """The task with its first state, which has the encoder's trained weights if there
    are any. Errors: InputError for weights that do not fit."""
    updates = minibatch(config.batch_size).updates(corpus.size)
    # Before a state is made, which is slow.
    trained = config.weights and read_variables(model.encoder, config.weights)
    images = corpus.telling.normalise(corpus.test.images[:1])
    example = (images, jnp.asarray(corpus.test.tokens[:1]))
    optimizer = _optimizer(config, updates)
    state = create_state(model, example, optimizer, seed=config.seed)
    if trained is not None:
        state = state.replace(**_adopted(state.variables, trained, config.weights))
    return Task(model, tell, corpus, optimizer, state, updates)


def train(
    config: Any,
    session: harness.Session,
    run: Run,
    task: Task,
    figures: Callable[[TrainState], Row],
) -> TrainState:
    """Train the decoder by itself for `fine_tune_after` epochs, then all.

    The encoder's parameters have an Adam of their own, which starts when they do.
    """
    corpus, descent, state = task.corpus, minibatch(config.batch_size), task.state
    stream = isinstance(corpus.train, PictureFeed)

    def augment(key, inputs):
        del key
        images, tokens = inputs
        return corpus.telling.normalise(images), tokens

    def order(state: TrainState, epoch: int) -> Array:
        return epoch_order(state.epoch_key(epoch), corpus.size, descent)

    for tune, epochs in phases(config):
        model = task.model.clone(tune=tune)
        step = make_step(model, cross_entropy, task.optimizer, descent, augment=augment)
        plan = Plan(None if stream else order, task.updates, epochs)
        state = session.train(run, state, step, corpus.train, plan, figures)
    if isinstance(corpus.train, PictureFeed):
        run.note_unreadable(corpus.train.failures)
    return state


def phases(config: Any) -> list[tuple[bool, int]]:
    """(whether the encoder is trained too, until which epoch)."""
    first = min(config.fine_tune_after, config.epochs)
    both = [(False, first), (True, config.epochs)]
    return [(tune, end) for tune, end in both if end > (first if tune else 0)]


def _optimizer(config: Any, updates: int) -> optax.GradientTransformation:
    begin = min(config.fine_tune_after, config.epochs) * updates
    whole = config.epochs * updates
    tuned = optax.adam(cosine(config.fine_tune_rate, max(whole - begin, 1)))
    due: Any = lambda step: step >= begin  # noqa: E731
    kinds: Any = {
        "cnn": optax.conditionally_transform(tuned, due),
        "rest": optax.adam(cosine(config.learning_rate, whole)),
    }
    labels = {True: "cnn", False: "rest"}
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.multi_transform(
            kinds, lambda p: by_path(lambda path: labels[path.startswith("cnn/")], p)
        ),
    )


def _adopted(fresh: PyTree, trained: PyTree, path: Path) -> dict[str, PyTree]:
    """The collections with the encoder's part from `trained`, which has a classifier
    besides."""
    found = {}
    for kind, tree in fresh.items():
        own = tree.get("cnn", {})
        old = {name: trained.get(kind, {}).get(name) for name in own}
        if jax.tree.map(jnp.shape, own) != jax.tree.map(jnp.shape, old):
            raise InputError(f"weights={path} do not fit the encoder")
        taken = {"cnn": jax.tree.map(jnp.asarray, old)} if own else {}
        found[kind] = {**tree, **taken}
    return found


def make_figures(task: Task) -> Callable[[TrainState], Row]:
    """Loss and accuracy of words on what is held out, each after the true ones before
    it, and the scores of what is told."""
    test, telling = task.corpus.test, task.corpus.telling

    @jax.jit
    def sums(variables: PyTree, images: Array, tokens: Array, labels: Array) -> Array:
        logits = task.model.apply(variables, telling.normalise(images), tokens)
        known = labels >= 0
        loss = cross_entropy(logits, jnp.maximum(labels, 0)) * known
        hits = (jnp.argmax(logits, axis=-1) == labels) & known
        return jnp.stack([a.sum().astype(jnp.float32) for a in (loss, hits, known)])

    def figures(state: TrainState) -> Row:
        total = np.zeros(3)
        for rows, real in _parts(len(test.images)):
            labels = np.where(_beside(real, test.labels), test.labels[rows], -1)
            given = test.images[rows], test.tokens[rows], labels
            total += np.asarray(sums(state.variables, *given))
        loss, hits, known = map(float, total)
        row = {"test_loss": loss / known, "test_accuracy": hits / known}
        return row | caption_scores.scores(told(task, state), test.references)

    return figures


def told(task: Task, state: TrainState) -> list[str]:
    """What the model tells of what is held out."""
    test, telling, texts = task.corpus.test, task.corpus.telling, []
    for rows, real in _parts(len(test.images)):
        images = telling.normalise(test.images[rows])
        tokens = np.asarray(task.tell(state.variables, images))
        texts += [telling.text(each) for each in tokens[real]]
    return texts


def _parts(count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, which of them are new), at most 100 at a time and always as many, so that
    one program is compiled."""
    size = min(PART, count)
    for start in range(0, count, size):
        at = np.arange(start, start + size)
        yield at % count, at < count


def _beside(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *(1,) * (like.ndim - 1))


def note_missing(missing: Sequence[str], where: Path | None) -> str | None:
    """A line on pictures that texts are of but a folder has not; None without any."""
    if not missing:
        return None
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    return f"left out: {len(missing)} pictures that {where} has not: {shown}"
