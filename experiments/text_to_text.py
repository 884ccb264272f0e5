"""What the translator and the summariser share: models, training, what is measured.

`config` is the configuration of either: the fields that are read here are in both.
"""

import json
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from jnets.data.pair_buckets import Bucketed, Endless, Shape, arrays
from jnets.data.parallel import Pairs
from jnets.data.units import KINDS, Units
from jnets.errors import InputError
from jnets.models import create
from jnets.ops.losses import smoothed_cross_entropy
from jnets.runs import Run
from jnets.systems.text_to_text import ROUND, TextSpec, translate
from jnets.training import TrainState, cosine, create_state, make_step, minibatch
from jnets.training.fit import Plan
from jnets.training.schedules import check_rate
from jnets.typing import Array

VARIANTS = ("attention_seq2seq", "seq2seq")
BUCKETS = 4  # shapes that a program is compiled for
WARMUP = 0.04  # of all updates
GREEDY = 200  # texts that are written after every pass, to see how it goes


class Task(NamedTuple):
    """Pairs to hold out, and where those to train on come from: all of `train`, or
    what `draw(update)` makes, `updates` times a pass."""

    train: Pairs
    val: Pairs
    test: Pairs
    draw: Callable[[int], tuple[list[str], list[str]]] | None = None
    updates: int = 0


def check(config: Any) -> None:
    """Errors: InputError for a value that cannot be used."""
    if config.data_dir is not None and not config.data_dir.exists():
        raise InputError(
            f"data_dir={config.data_dir} is not there; expected a file or a folder"
        )
    counts = ("embedding", "hidden", "num_layers", "batch_size", "epochs", "beam")
    harness.at_least(1, config, *counts)
    harness.fraction(config, "dropout", "smoothing")
    check_rate(config.learning_rate)
    if not 0 <= config.own_symbols <= 1:
        raise InputError(
            f"own_symbols={config.own_symbols} is not usable; expected 0 to 1"
        )
    for name, known in (("variant", VARIANTS), ("units", KINDS)):
        if getattr(config, name) not in known:
            raise InputError(
                f"{name}={getattr(config, name)!r} is unknown; expected one of {known}"
            )


def learned_units(config: Any, task: Task, longest_target: int) -> TextSpec:
    """The units that the training set's texts are cut into."""
    source, target = (
        Units.of(texts, config.units, lower=config.lower, most=config.most_units)
        for texts in task.train.flat()
    )
    return TextSpec(source, target, Shape(config.longest, longest_target))


def fields(config: Any, spec: TextSpec) -> dict[str, Any]:
    """Of the model, for `jnets.models.create`."""
    shared = {
        "source_vocabulary": spec.source.size,
        "target_vocabulary": spec.target.size,
        "embedding": config.embedding,
        "hidden": config.hidden,
        "dropout": config.dropout,
    }
    if config.variant == "seq2seq":
        return shared | {"num_layers": config.num_layers}
    # What the output reads is of the embedding's size, so that the two can be tied.
    sizes = {"alignment": config.hidden, "readout": config.embedding}
    return shared | sizes | {"tied": True, "readout_state": "after"}


class Trained(NamedTuple):
    """What is left of a run."""

    run: Run
    model: nn.Module
    state: TrainState
    spec: TextSpec
    perplexity: float  # of the test set, per symbol of the target

    def write(self, texts: list[str], beam: int) -> list[str]:
        return translate(self.model, self.state.variables, self.spec, texts, beam=beam)


def learn(
    config: Any,
    session: harness.Session,
    task: Task,
    make_spec: Callable[[], TextSpec],
    greedy_figures: Callable[[list[str], list[list[str]]], dict[str, float]],
) -> Trained:
    """Train the configuration's model on the task.

    A run that is gone on with has its units already. `greedy_figures` is what is
    recorded of greedy outputs after every pass.
    """
    resumed = session.where.resume
    spec = make_spec() if resumed is None else Run.open(resumed).description.spec
    if not isinstance(spec, TextSpec):
        raise InputError(f"resume={resumed} has no units of texts")
    feed = make_feed(config, spec, task)
    if isinstance(feed, Bucketed):
        print_sizes(feed, task)
    run = session.start(
        model=config.variant, fields=fields(config, spec), classes=(), spec=spec
    )
    model = create(config.variant, **fields(config, spec))
    updates = feed.updates if isinstance(feed, Bucketed) else task.updates
    total = updates * config.epochs
    schedule = cosine(config.learning_rate, total, warmup=round(WARMUP * total))
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    example = tuple(jnp.asarray(x) for x in spec.example())
    state = create_state(model, example, optimizer, seed=config.seed)
    loss = smoothed(config.smoothing)
    step = make_step(model, loss, optimizer, minibatch(config.batch_size))
    losses = measure(model, config.batch_size)
    some = Pairs(task.val.sources[:GREEDY], task.val.targets[:GREEDY])

    def evaluate(state: TrainState) -> dict[str, float]:
        written = translate(model, state.variables, spec, some.sources, beam=1)
        figures = losses(state, spec, task.val)
        return figures | greedy_figures(written, some.targets)

    plan = Plan(None, updates, config.epochs)
    state = session.train(run, state, step, feed, plan, evaluate)
    tested = losses(state, spec, task.test)["val_loss"]
    return Trained(run, model, state, spec, math.exp(tested))


def print_sizes(feed: Bucketed, task: Task) -> None:
    shapes = ", ".join(f"{s.source}x{s.target}" for s in feed.shapes)
    print(
        f"{len(task.train.sources)} texts to learn from, {feed.left_out} pairs too "
        f"long; {feed.updates} updates a pass, of shapes {shapes}",
        file=sys.stderr,
    )


def make_feed(config: Any, spec: TextSpec, task: Task) -> Bucketed | Endless:
    if task.draw is not None:
        draw = task.draw

        def rows(update: int):
            sources, targets = draw(update)
            return spec.source.encode(sources), spec.target.encode(targets)

        own = rising(config, task.updates)
        return Endless(rows, spec.most, seed=config.seed, own=own)
    sources, targets = task.train.flat()
    return Bucketed(
        spec.source.encode(sources),
        spec.target.encode(targets),
        batch=config.batch_size,
        most=spec.most,
        buckets=BUCKETS,
        seed=config.seed,
        own=rising(config, len(sources) / config.batch_size),
    )


def rising(config: Any, updates: float) -> Callable[[int], float] | None:
    """The share of own symbols in an update: from 0 up to `own_symbols`, in a straight
    line over the run (the linear decay of Bengio et al. 2015, section 2.4)."""
    total, share = config.epochs * updates, config.own_symbols
    return (lambda update: min(1.0, update / total) * share) if share else None


def smoothed(smoothing: float) -> Callable[[Array, Array], Array]:
    """Of logits [B, T, V] and labels [B, T], by `smoothed_cross_entropy`: [B, T]."""

    def loss(logits: Array, labels: Array) -> Array:
        flat = logits.reshape(-1, logits.shape[-1])
        losses = smoothed_cross_entropy(flat, labels.reshape(-1), smoothing)
        return losses.reshape(labels.shape)

    return loss


def measure(model: nn.Module, batch: int):
    """(state, spec, pairs) -> loss and accuracy per symbol, of the first targets."""

    @jax.jit
    def sums(variables, source, lengths, target, labels, weights):
        logits: Any = model.apply(variables, source, lengths, target)
        known = (labels >= 0) * weights[:, None]
        labels = jnp.maximum(labels, 0)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        hits = jnp.argmax(logits, axis=-1) == labels
        return jnp.stack([jnp.sum(x * known) for x in (losses, hits, 1.0)])

    def figures(state: TrainState, spec: TextSpec, pairs: Pairs) -> dict[str, float]:
        sources = spec.source.encode(pairs.sources)
        targets = spec.target.encode([row[0] for row in pairs.targets])
        longest = max(map(len, sources)), max(map(len, targets)) + 1
        source, target = (-(-n // ROUND) * ROUND for n in longest)
        shape = Shape(min(source, spec.most.source), target)
        total = np.zeros(3)
        for first in range(0, len(sources), batch):
            rows = np.arange(first, first + batch) % len(sources)
            given = arrays(
                [sources[i] for i in rows], [targets[i] for i in rows], shape
            )
            given[-1][len(sources) - first :] = 0
            total += np.asarray(sums(state.variables, *given))
        loss, hits, count = total.tolist()
        return {"val_loss": loss / count, "val_accuracy": hits / count}

    return figures


def keep_written(run: Run, pairs: Pairs, written: list[str]) -> None:
    """written.jsonl: every text, its references and what was made of it."""
    rows = zip(pairs.sources, pairs.targets, written, strict=True)
    names = ("source", "references", "written")
    lines = (
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n"
        for row in rows
    )
    path = run.directory / "written.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
