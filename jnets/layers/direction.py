"""One recurrent layer in one direction: parameters, and the cell over time.

Axes: T steps, B batch, F features, H hidden, P columns of h, G gates.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnets.errors import InputError
from jnets.layers import recurrent_init
from jnets.layers.cost import Cost, Shape
from jnets.layers.policy import Policy
from jnets.ops.bptt import Save, bptt
from jnets.ops.cells import Cell, State
from jnets.ops.cudnn import cudnn_lstm, obstacle
from jnets.ops.recurrence import Form, Steps, Weights
from jnets.ops.unroll import scan
from jnets.typing import Array

LOG = logging.getLogger("jnets.recurrent")

_PORTABLE = ContextVar("portable", default=False)


@contextmanager
def portable() -> Iterator[None]:
    """While it lasts, recurrent layers are traced as a plain `lax.scan`: for every
    backend, not the one that is here, and for numbers of steps not known yet."""
    before = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(before)


class Spec(NamedTuple):
    """What all layers and directions of one module share; see `recurrent.Recurrent`.

    `sizes` are the columns of each state, P first.
    """

    cell: Cell
    hidden: int
    sizes: tuple[int, ...]
    use_bias: bool
    learned_start: bool
    recurrent_dropout: float
    scheme: str
    recurrent_scheme: str
    forget_bias: float
    window: int | None
    save: Save
    unroll: int
    implementation: str
    policy: Policy


class Direction(nn.Module):
    """x [T, B, F] -> (h of all steps [T, B, P], final state)."""

    spec: Spec
    reverse: bool

    @nn.compact
    def __call__(
        self,
        x: Array,
        steps: Steps,
        lengths: Array | None,
        start: State | None,
        train: bool,
    ) -> tuple[Array, State]:
        spec, batch = self.spec, x.shape[1]
        if self.reverse and steps.resets is not None:
            # Running back, a sequence is over before the last step of the one before.
            later = jnp.zeros_like(steps.resets[:1])
            steps = steps._replace(resets=jnp.concatenate([steps.resets[1:], later]))
        weights = self._weights(x.shape[-1])
        own = self._start(batch)  # whether or not a state is given: it has parameters
        start = start or own
        rate = spec.recurrent_dropout
        if train and rate:
            shape = batch, spec.sizes[0]
            keep = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, shape)
            steps = steps._replace(drop=keep.astype(start[0].dtype) / (1 - rate))
        policy = spec.policy
        compute = policy.compute if policy.compute != policy.param else None
        form = Form(spec.cell, self.reverse, spec.window, compute)
        x = x.astype(policy.param)  # states, and sums of products, are of this dtype
        return self.run(form, weights, x, start, steps, lengths)

    def cost(self, x: Shape, y: Shape) -> Cost:
        """Of one step, in which each weight of a matrix is used once."""
        del x, y  # they are of all steps
        own = jax.tree.leaves(self.variables["params"])
        macs = sum(weights.size for weights in own if weights.ndim == 2)
        return Cost(macs, sum(weights.size for weights in own))

    def run(
        self,
        form: Form,
        weights: Weights,
        x: Array,
        start: State,
        steps: Steps,
        lengths: Array | None,
    ) -> tuple[Array, State]:
        """The recurrence by itself: what may be watched, or run in another way."""
        if _PORTABLE.get():
            return scan(form, weights, x, start, steps)
        if self._on_cudnn(obstacle(form, x, steps, lengths)):
            return cudnn_lstm(form, weights, x, start, lengths)
        save, unroll = self.spec.save, self.spec.unroll
        return bptt(form, weights, x, start, steps, save=save, unroll=unroll)

    def _on_cudnn(self, obstacle: str | None) -> bool:
        """Whether cuDNN runs this; said in the log of "jnets.recurrent"."""
        asked = self.spec.implementation
        if asked == "cudnn" and obstacle:
            raise InputError(
                f"implementation='cudnn' cannot run {self.name}: {obstacle}; expected "
                f"'auto' or 'scan' here"
            )
        chosen = "scan" if asked == "scan" or obstacle else "cudnn"
        because = f" ({obstacle})" if asked == "auto" and obstacle else ""
        LOG.info("%s runs by %s%s", self.name, chosen, because)
        return chosen == "cudnn"

    def _weights(self, features: int) -> Weights:
        spec, h, cell = self.spec, self.spec.hidden, self.spec.cell
        bias = None
        inputs = recurrent_init.kernel(spec.scheme, h, cell.gates)
        w_x = self._param("kernel", inputs, features, cell.gates * h)
        if spec.use_bias:
            init = recurrent_init.bias(spec.scheme, h, cell, forget=spec.forget_bias)
            bias = self._param("bias", init, cell.gates * h)
        recurrent = []
        for name, *units in cell.matrices:
            rows, columns = (
                n * h if isinstance(n, int) else spec.sizes[0] for n in units
            )
            blocks = units[1] if isinstance(units[1], int) else 1
            init = recurrent_init.kernel(spec.recurrent_scheme, h, blocks)
            recurrent.append(self._param(name, init, rows, columns))
        vectors = []
        for name, n in cell.vectors:
            if name == "recurrent_bias" and not spec.use_bias:
                vectors.append(jnp.zeros(n * h, spec.policy.param_dtype))
                continue
            init = recurrent_init.vector(name, spec.scheme, h, spec.forget_bias)
            vectors.append(self._param(name, init, n * h))
        return Weights(w_x, bias, tuple(recurrent), tuple(vectors))

    def _param(self, name: str, init: recurrent_init.Initializer, *shape: int) -> Array:
        return self.param(name, init, shape, self.spec.policy.param_dtype)

    def _start(self, batch: int) -> State:
        """Zeros, or parameters `start_h` and `start_c`, the same for all of a batch."""
        spec, dtype = self.spec, self.spec.policy.param_dtype
        if not spec.learned_start:
            return tuple(jnp.zeros((batch, n), dtype) for n in spec.sizes)
        rows = [
            self._param(f"start_{name}", nn.initializers.zeros, n)
            for name, n in zip("hc", spec.sizes, strict=False)
        ]
        return tuple(jnp.broadcast_to(row[None], (batch, len(row))) for row in rows)
