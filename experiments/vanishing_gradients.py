"""Why the Elman network forgets and the LSTM does not: gradients over time, drawn.

    python -m experiments.vanishing_gradients                  the adding problem
    python -m experiments.vanishing_gradients --length 400     with longer lags
    python -m experiments.vanishing_gradients --task digits    digits, pixel by pixel

Five nets learn to add two marked numbers of a long sequence: Elman's, the IRNN (relu,
identity), the LSTM of 1997, the LSTM with a forget gate, the GRU. The error at the last
step must reach the marked ones. Plots: learning curves; the norm of the gradient at
every step before, during and after training, with the bound (sigma_max gamma)^(t-k)
for the Elman net; the Jacobians' norms before training; an Elman net whose gradients
explode, with and without clipping.

On 2 CPU cores 1.3 minutes, beside other jobs 2.6. After 2,500 updates on 100 steps,
tested on 1,000 sequences (to answer 1 always costs 0.173 on these), mean of seeds 0, 1
and 2: Elman 0.177, IRNN 0.0028, LSTM of 1997 0.0004, LSTM 0.0010, GRU 0.0003. By then
at most 5e-11 of the error at the last step reaches the first one in the Elman net;
0.22, 2.3, 1.1 and 0.10 of it in the others. On 400 steps (seed 0, 6 minutes) as many
updates are enough for the GRU alone: 0.0002; the LSTMs and Elman's net have 0.16, the
IRNN is lost.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import flow_plots, harness
from experiments.long_lags import (
    NETS,
    Task,
    adding_task,
    closed_input_gates,
    digits_task,
    endless,
    scaled,
)
from jnets.errors import InputError
from jnets.inspect.gradient_flow import (
    gradient_flow,
    layer_weights,
)
from jnets.models import create
from jnets.ops.jacobians import jacobian_norms, largest_singular_value
from jnets.ops.recurrence import Form
from jnets.runs import Run
from jnets.systems.steps import StepsSpec
from jnets.training import (
    NonFiniteLoss,
    TrainState,
    constant,
    create_state,
    epoch_order,
    make_predict,
    make_step,
    minibatch,
)
from jnets.training.fit import Plan
from jnets.training.schedules import check_rate
from jnets.typing import PyTree

PROBES = 16  # test sequences whose gradients are looked at
POINTS = 25  # times at which a net is looked at
FLOOR = 1e-30  # of norms, where float32 loses them
TASKS = ("adding", "digits")
MODEL = "sequence_reader"


@dataclasses.dataclass(frozen=True)
class Config:
    """Recurrent nets on lags that grow long."""

    task: str = "adding"
    """adding, or digits (scikit-learn's, 64 pixels one after the other)."""
    length: int = 100
    """Steps of the adding problem."""
    updates: int = 2500
    """Updates of each net; whole multiples of 25."""
    hidden: int = 64
    """Units of each net."""
    batch_size: int = 32
    """Sequences per update."""
    learning_rate: float = 0.003
    """Adam's; the IRNN's is a third of it, as its gradients explode at first."""
    clip: float = 1.0
    """Gradients of a larger norm are scaled down to it."""
    sigma_max: float = 0.95
    """Largest singular value of the Elman net's recurrent matrix at its start; below 1
    its gradients must vanish."""
    input_bias: float = -3.0
    """Of the input gates of the LSTM of 1997, which cannot forget, at its start."""
    exploding: float = 2.0
    """The same as sigma_max of the Elman net that shows what clipping does."""
    exploding_updates: int = 400
    """Updates of that one, with and without clipping."""
    exploding_rate: float = 0.03
    """Its rate, of plain descent: Adam would make up for gradients of any size."""
    seed: int = 0
    """Decides initial parameters and sequences."""


class Net(NamedTuple):
    """A net of the comparison, and how it is trained."""

    fields: dict[str, Any]  # of the model
    optimizer: optax.GradientTransformation
    change: Callable[[PyTree], PyTree]  # of the parameters it starts with

    @property
    def model(self) -> nn.Module:
        return create(MODEL, **self.fields)

    def start(self, task: Task, seed: int) -> TrainState:
        example = (task.test[0][:1],)
        state = create_state(self.model, example, self.optimizer, seed=seed)
        return state.replace(params=self.change(state.params))


def run(config: Config, session: harness.Session) -> harness.Result:
    check(config)
    task = (
        digits_task()
        if config.task == "digits"
        else adding_task(config.length, config.seed)
    )
    _, steps, features = task.test[0].shape
    spec = StepsSpec(steps, features, task.classes)
    run = session.start(model=MODEL, fields={}, classes=task.classes, spec=spec)
    looks: dict[str, list[dict[str, Any]]] = {}
    jacobians: dict[str, np.ndarray] = {}
    result: harness.Result = {}
    for name, net in nets(config, task).items():
        look = looking(net, task)
        start = net.start(task, config.seed)
        looks[name] = [{"step": 0, **look(start)}]
        jacobians[name] = reach(net, start, task)
        part = session.part(run, name, fields=net.fields)
        lost = learn(config, session, part, net, task, look)
        looks[name] += part.rows()
        last = looks[name][-1]
        result[f"{name}_test_{task.measure}"] = "lost" if lost else last["test_loss"]
        result[f"{name}_ratio"] = f"{10 ** (last['flow'][0] - last['flow'][-1]):.1e}"
    clipping = explode(config, session, run, task)
    baseline = float(np.var(task.test[1])) if config.task == "adding" else None
    flow_plots.learning(looks, run.plots / "learning.png", task.measure, baseline)
    flow_plots.heat_maps(looks, run.plots / "gradient_flow.png")
    flow_plots.reach(jacobians, config.sigma_max, run.plots / "before_training.png")
    flow_plots.clipping(clipping, config.clip, run.plots / "clipping.png")
    return result


def fields(cell: str, config: Config, task: Task) -> dict[str, Any]:
    return {"cell": cell, "hidden": config.hidden, "outputs": task.outputs}


def nets(config: Config, task: Task) -> dict[str, Net]:
    clip, rates = optax.clip_by_global_norm(config.clip), {"irnn": 1 / 3}
    changes: dict[str, Callable[[PyTree], PyTree]] = {
        "elman": lambda params: scaled(params, config.sigma_max),
        "lstm_1997": lambda params: closed_input_gates(params, config.input_bias),
    }
    return {
        name: Net(
            fields(name, config, task),
            optax.chain(clip, adam(config.learning_rate * rates.get(name, 1))),
            changes.get(name, lambda params: params),
        )
        for name in NETS
    }


def adam(rate: float) -> optax.GradientTransformation:
    return optax.adam(constant(rate))


def learn(
    config: Config,
    session: harness.Session,
    part: Run,
    net: Net,
    task: Task,
    look: Callable[[TrainState], dict[str, Any]],
    epochs: int = POINTS,
) -> bool:
    """Train one net; `look` at it `epochs` times, evenly spaced. Whether it was lost,
    its loss no longer finite: that is told, and its rows end there."""
    descent = minibatch(config.batch_size)
    step = make_step(net.model, task.loss, net.optimizer, descent)
    updates = config.updates // POINTS if epochs == POINTS else 1
    size = len(task.data[1])
    if not task.data[0]:
        step = endless(step, config.batch_size, config.length)

    def order(state: TrainState, epoch: int):
        if not task.data[0]:
            return jnp.zeros((updates, 1), jnp.int32)
        passes = -(-updates * config.batch_size // size)
        keys = jax.random.split(state.epoch_key(epoch), passes)
        return jnp.concatenate([epoch_order(key, size, descent) for key in keys])[
            :updates
        ]

    plan = Plan(order, updates, epochs, evaluate_every=1 if epochs == POINTS else 100)
    state = net.start(task, config.seed)
    try:
        session.train(part, state, step, task.data, plan, look)
    except NonFiniteLoss as error:
        print(f"{part.directory.name}: {error}", file=sys.stderr)
        return True
    return False


def looking(net: Net, task: Task) -> Callable[[TrainState], dict[str, Any]]:
    """What is recorded of a net: test loss, sigma_max of its recurrent matrix, and
    log10 of the mean norm of dE/ds_t at every step t, E the loss of a sequence."""
    predict = make_predict(net.model, examples=min(1000, len(task.test[1])))
    x, y = (a[:PROBES] for a in task.test)

    @jax.jit
    def flow(variables):
        def objective():
            outputs: Any = net.model.apply(variables, x)
            return task.loss(outputs, y).sum()

        (states,) = gradient_flow(objective).values()
        norms = jnp.sqrt(sum(jnp.square(s) for s in states)).mean(axis=1)
        kernel = variables["params"]["layer"]["layer0"]["recurrent_kernel"]
        logs = jnp.log10(jnp.maximum(norms, FLOOR))
        return logs, largest_singular_value(kernel)

    def look(state: TrainState) -> dict[str, Any]:
        outputs = predict(state.variables, (np.asarray(task.test[0]),))
        loss = task.loss(jnp.asarray(outputs), task.test[1]).mean()
        logs, sigma = flow(state.variables)
        return {
            "test_loss": float(loss),
            "sigma_max": float(sigma),
            "flow": [round(float(v), 3) for v in logs],
        }

    return look


def reach(net: Net, state: TrainState, task: Task) -> np.ndarray:
    """||ds_T/ds_k|| of the whole state by T - k, on one sequence."""
    layer = NETS[net.fields["cell"]](net.fields["hidden"])
    weights = layer_weights(layer.cell(), state.params["layer"]["layer0"])
    x = jnp.swapaxes(task.test[0][:1], 0, 1)
    start = tuple(jnp.zeros((1, n)) for n in layer.sizes())
    run = Form(layer.cell()), weights, x, start
    return np.asarray(jacobian_norms(*run, len(x) - 1, whole=True)[:, 0])


def explode(
    config: Config, session: harness.Session, run: Run, task: Task
) -> dict[str, list[dict[str, Any]]]:
    """An Elman net whose gradients explode, update by update, without clipping and
    with it. Without, it may be lost on the way: its rows end there."""
    own = fields("elman", config, task)
    descend = optax.sgd(constant(config.exploding_rate))
    clip = optax.clip_by_global_norm(config.clip)
    kinds = {"unclipped": descend, "clipped": optax.chain(clip, descend)}
    rows = {}
    for name, optimizer in kinds.items():
        part = session.part(run, name, fields=own)
        net = Net(own, optimizer, lambda p: scaled(p, config.exploding))
        updates = config.exploding_updates
        learn(config, session, part, net, task, lambda state: {}, updates)
        rows[name] = part.rows()
    return rows


def check(config: Config) -> None:
    harness.at_least(1, config, "hidden", "batch_size", "exploding_updates")
    harness.at_least(2, config, "length")
    for name in ("learning_rate", "exploding_rate"):
        check_rate(getattr(config, name), name)
    for name in ("clip", "sigma_max", "exploding"):
        if not getattr(config, name) > 0:
            raise InputError(
                f"{name}={getattr(config, name)} is not usable; expected above 0"
            )
    if config.updates < 1 or config.updates % POINTS:
        raise InputError(
            f"updates={config.updates} is not usable; expected a multiple of {POINTS}"
        )
    if config.task not in TASKS:
        raise InputError(
            f"task={config.task!r} is unknown; expected one of {list(TASKS)}"
        )


if __name__ == "__main__":
    sys.exit(harness.main("vanishing_gradients", Config(), run))
