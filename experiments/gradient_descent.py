"""Online, minibatch and batch gradient descent on the same network with dropout.

    python -m experiments.gradient_descent                    digits of scikit-learn
    python -m experiments.gradient_descent --data-dir DIR     MNIST idx files in DIR

All three see the data equally often. One update costs one example online, and all of
them in batch: what an update's better gradient is worth against many cheap updates is
what the plot shows.

On 4 CPU cores all three take 16 seconds. After 40 passes over the digits the test
accuracy is 98.9 % online, 97.8 % by minibatches of 32, 93.1 % in batch.
"""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import optax

from experiments import harness, inputs, plots
from jnets.data.images import prepare
from jnets.errors import InputError
from jnets.models import create
from jnets.runs import Run
from jnets.training import (
    Descent,
    TrainState,
    batch,
    constant,
    create_state,
    epoch_order,
    evaluate,
    make_predict,
    make_step,
    minibatch,
    online,
)
from jnets.training.fit import Plan
from jnets.training.schedules import check_rate

cross_entropy = optax.softmax_cross_entropy_with_integer_labels


@dataclasses.dataclass(frozen=True)
class Config:
    """A multilayer perceptron with dropout under three flavours of descent."""

    data_dir: Path | None = None
    """Directory of the four MNIST files; without it, the digits of scikit-learn."""
    fetch: bool = False
    """Download MNIST (11 MB) into data_dir, or data/mnist, unless it is there."""
    epochs: int = 40
    """Passes over the training set, for each flavour."""
    hidden: int = 128
    """Hidden units."""
    activation: str = "relu"
    """Activation function: tanh, relu, leaky_relu, elu, softplus, ..."""
    dropout: float = 0.2
    """Probability of dropping a hidden unit."""
    batch_size: int = 32
    """Examples per update of minibatch descent."""
    reduction: str = "mean"
    """mean, or sum: the plain accumulation of gradients."""
    online_rate: float = 0.01
    """rho of online descent."""
    minibatch_rate: float = 0.1
    """rho of minibatch descent, for the mean; divided by the examples for the sum."""
    batch_rate: float = 0.5
    """rho of batch descent, likewise."""
    seed: int = 0
    """Decides initial parameters, the order of examples and the dropout masks."""


def flavours(config: Config, size: int) -> dict[str, tuple[Descent, float]]:
    """name -> descent and its constant factor rho for the chosen reduction."""
    kinds = {
        "online": (online(reduction=config.reduction), config.online_rate),
        "minibatch": (
            minibatch(config.batch_size, reduction=config.reduction),
            config.minibatch_rate,
        ),
        "batch": (batch(size, reduction=config.reduction), config.batch_rate),
    }
    if config.reduction == "mean":
        return kinds
    return {
        name: (d, rate / min(d.examples, size)) for name, (d, rate) in kinds.items()
    }


def run(config: Config, session: harness.Session) -> harness.Result:
    check(config)
    train, test, spec = inputs.handwriting(config.data_dir, config.fetch)
    # As they are: a fully connected network needs no border and no enlargement.
    side = spec.native[0]
    spec = spec._replace(resize=side, size=side, low=0.0, high=1.0)
    kinds = flavours(config, train.size)
    optimizers = {name: optax.sgd(constant(rate)) for name, (_, rate) in kinds.items()}
    fields = {
        "hidden": [config.hidden],
        "classes": len(train.classes),
        "activation": config.activation,
        "dropout": config.dropout,
    }
    model = create("mlp", **fields)
    x_train, x_test = prepare(train.inputs[0], spec), prepare(test.inputs[0], spec)
    data = ((jnp.asarray(x_train),), jnp.asarray(train.labels))
    state = create_state(model, (data[0][0][:1],), optimizers["online"])
    predict = make_predict(model, examples=min(1000, test.size))

    def figures(state: TrainState):
        outputs = predict(state.variables, (x_test,))
        found = evaluate(outputs, test.labels, cross_entropy)
        return {"test_loss": found.loss, "test_accuracy": found.accuracy}

    run = session.start(model="mlp", fields=fields, classes=train.classes, spec=spec)
    result: harness.Result = {}
    parts: dict[str, Run] = {}
    for name, (descent, _) in kinds.items():
        part = parts[name] = session.part(run, name)
        state = create_state(
            model, (data[0][0][:1],), optimizers[name], seed=config.seed
        )
        step = make_step(model, cross_entropy, optimizers[name], descent)
        updates = descent.updates(train.size)

        def order(state: TrainState, epoch: int, descent: Descent = descent):
            return epoch_order(state.epoch_key(epoch), train.size, descent)

        plan = Plan(order, updates, config.epochs, per_call=updates)
        state = session.train(part, state, step, data, plan, figures)
        result[f"{name}_test_accuracy"] = figures(state)["test_accuracy"]
    rows = {name: part.rows() for name, part in parts.items()}
    plots.flavours(rows, run.plots / "flavours.png", size=train.size)
    return result


def check(config: Config) -> None:
    harness.at_least(1, config, "epochs", "hidden", "batch_size")
    harness.fraction(config, "dropout")
    for name in ("online_rate", "minibatch_rate", "batch_rate"):
        check_rate(getattr(config, name), name)
    if config.reduction not in ("mean", "sum"):
        raise InputError(
            f"reduction={config.reduction!r} is unknown; expected 'mean' or 'sum'"
        )


if __name__ == "__main__":
    sys.exit(harness.main("gradient_descent", Config(), run))
