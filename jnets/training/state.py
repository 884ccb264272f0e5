"""Everything that changes while training, as one tree of arrays."""

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
    the same numbers. `ema` is an average of the parameters, or None.
    """

    step: Array
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    key: PRNGKey
    ema: PyTree = None

    @property
    def variables(self) -> dict[str, PyTree]:
        """What `model.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    def step_key(self) -> PRNGKey:
        """The key of this update's dropout."""
        return jax.random.fold_in(jax.random.fold_in(self.key, 0), self.step)

    def epoch_key(self, epoch: int) -> PRNGKey:
        """The key of the order of the data in an epoch; disjoint from `step_key`s."""
        return jax.random.fold_in(jax.random.fold_in(self.key, 1), epoch)


def create_state(
    model: nn.Module,
    inputs: tuple[Array, ...],
    optimizer: optax.GradientTransformation,
    *,
    seed: int = 0,
) -> TrainState:
    """Initialise a model on example inputs (any batch size) and its optimizer.

    `seed` decides the parameters, the order of the data and the dropout masks.
    """
    init_key, key = jax.random.split(jax.random.key(seed))
    variables = jax.jit(model.init)(init_key, *inputs)
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        key=key,
    )
