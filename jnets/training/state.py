"""Everything that changes while training, as one tree of arrays."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from jnets.typing import Array, PRNGKey, PyTree


class TrainState(flax.struct.PyTreeNode):
    """State is data: the model, the optimizer and the loss are closed over elsewhere.

    `step` counts updates and is also the position in the data; `key` never changes:
    the randomness of update t is derived from (key, t), so that a resumed run draws
    the same numbers. `ema` is a running average of `variables`, or None. `carry` is
    what a model keeps from one batch to the next, its collection of that name: states
    of a recurrence that is trained in windows; or None.
    """

    step: Array
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    key: PRNGKey
    ema: PyTree = None
    carry: PyTree = None

    @property
    def kept(self) -> dict[str, PyTree]:
        """The collections that a training step changes beside the parameters."""
        carry = {} if self.carry is None else {"carry": self.carry}
        return {"batch_stats": self.batch_stats} | carry

    @property
    def variables(self) -> dict[str, PyTree]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged(self) -> dict[str, PyTree]:
        """The variables to use after training: the average, if there is one."""
        return self.variables if self.ema is None else self.ema

    def step_key(self) -> PRNGKey:
        """The key of this update's dropout."""
        return jax.random.fold_in(jax.random.fold_in(self.key, 0), self.step)

    def epoch_key(self, epoch: int) -> PRNGKey:
        """The key of the order of the data in an epoch; disjoint from `step_key`s."""
        return jax.random.fold_in(jax.random.fold_in(self.key, 1), epoch)


def _init(model: nn.Module) -> Callable[..., PyTree]:
    """`model.init`, compiled: soon, as it runs once."""
    # The random numbers of every shape are a loop of their own, which LLVM works at for
    # seconds. Level 1 gives the same bits; level 0 does not.
    quick = {"xla_backend_optimization_level": 1}
    return jax.jit(
        model.init, compiler_options=quick if jax.default_backend() == "cpu" else None
    )


def create_state(
    model: nn.Module,
    inputs: tuple[Any, ...],
    optimizer: optax.GradientTransformation,
    *,
    seed: int = 0,
    variables: PyTree = None,
    ema: bool = False,
) -> TrainState:
    """Initialise a model on example inputs and its optimizer.

    Any batch size will do, unless the model has a carry: that is of the batch.

    `seed` decides the parameters, the order of the data and the dropout masks; with
    `variables`, trained before, only the latter two. With `ema` the state keeps a
    running average, which starts where the variables do (see `make_step`).
    """
    init_key, key = jax.random.split(jax.random.key(seed))
    if variables is None:
        variables = _init(model)(init_key, *inputs)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(variables["params"]),
        key=key,
        carry=variables.get("carry"),
    )
    # A copy: an update donates its state, which must not hold a buffer twice.
    return state.replace(ema=jax.tree.map(jnp.copy, state.variables)) if ema else state
