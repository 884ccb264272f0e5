"""An LSTM on series of the UEA archive: which of its classes each one is of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from experiments import harness, plots
from jnets.data import series
from jnets.models import create
from jnets.systems.actions import SeriesSpec
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

if TYPE_CHECKING:
    from experiments.action_recogniser import Config

MODEL, EPOCHS, RATE, DROPOUT = "series_recogniser", 100, 0.002, 0.5

WINDOW, NOISE = 0.5, 0.3  # of a training series: the least share of its steps seen

cross_entropy = optax.softmax_cross_entropy_with_integer_labels


def disturbed(key: PRNGKey, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """A stretch of each series, at least WINDOW of it, from anywhere in it (window
    slicing, Le Guennec, Malinowski & Tavenard 2016), and noise on every number: the
    training sets are small, and where a series begins and ends is arbitrary."""
    (x, lengths), keys = inputs, jax.random.split(key, 3)
    least = jnp.ceil(WINDOW * lengths)
    kept = least + jnp.floor(
        jax.random.uniform(keys[0], lengths.shape) * (lengths - least + 1)
    )
    kept = kept.astype(jnp.int32)
    start = jax.random.uniform(keys[1], lengths.shape) * (lengths - kept + 1)
    at = jnp.floor(start).astype(jnp.int32)[:, None] + jnp.arange(x.shape[1])[None]
    at = jnp.minimum(at, x.shape[1] - 1)
    x = jnp.take_along_axis(x, at[..., None], axis=1)
    return x + NOISE * jax.random.normal(keys[2], x.shape), kept


def fields_of(config: Config, classes: int) -> dict[str, Any]:
    dropout = DROPOUT if config.dropout is None else config.dropout
    sizes = {"hidden": config.hidden, "classes": classes}
    return sizes | {"dropout": dropout, "feature_dropout": 0.0}


def run(config: Config, session: harness.Session) -> harness.Result:
    assert config.series is not None
    train, test = series.read_pair(config.series)
    mean, deviation = series.statistics(train.cases)
    spec = SeriesSpec(tuple(mean.tolist()), tuple(deviation.tolist()), train.classes)
    inputs, test_inputs = spec.inputs(train), spec.inputs(test)
    fields = fields_of(config, len(train.classes))
    model = create(MODEL, **fields)
    descent = minibatch(config.batch_size)
    updates = descent.updates(len(train.labels))
    epochs = EPOCHS if config.epochs is None else config.epochs
    rate = cosine(config.learning_rate or RATE, updates * epochs)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    data = tuple(map(jnp.asarray, inputs)), jnp.asarray(train.labels)
    example = tuple(x[:1] for x in data[0])
    state = create_state(model, example, optimizer, seed=config.seed)
    step = make_step(model, cross_entropy, optimizer, descent, augment=disturbed)
    run = session.start(model=MODEL, fields=fields, classes=train.classes, spec=spec)
    predict = make_predict(model, examples=min(256, len(test.labels)))

    def measure(state: TrainState):
        outputs = predict(state.variables, test_inputs)
        return evaluate(outputs, test.labels, cross_entropy)

    def figures(state: TrainState):
        found = measure(state)
        return {"test_loss": found.loss, "test_accuracy": found.accuracy}

    def order(state: TrainState, epoch: int):
        return epoch_order(state.epoch_key(epoch), len(train.labels), descent)

    plan = Plan(order, updates, epochs, per_call=updates, evaluate_every=5)
    found = measure(session.train(run, state, step, data, plan, figures))
    title = config.series.name.removesuffix(series.TRAIN)
    plots.curves(run.rows(), run.plots / "curves.png", title=title)
    path = run.plots / "confusion.png"
    plots.confusion(found.confusion, train.classes, path, title=f"{title}: test set")
    return {
        "test_accuracy": found.accuracy,
        "test_errors": int(found.confusion.sum() - found.confusion.trace()),
        "training_seconds": sum(row["seconds"] for row in run.rows()[1:]),
    }
