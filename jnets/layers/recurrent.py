"""Recurrent layers: RNN, LSTM and GRU by one signature.

    LSTM(hidden=512, num_layers=2, bidirectional=True)

x [B, T, F] -> outputs [B, T, D P] and the final state; D directions, P = H or the size
of the projection. Axes: B batch, T steps, F features, H hidden, L layers, G gates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jnets.layers.direction import Direction, Spec
from jnets.layers.linear import Dense
from jnets.layers.policy import Policy
from jnets.layers.recurrent_input import (
    check_fields,
    check_inputs,
    plain,
    valid_steps,
)
from jnets.ops.bptt import Save
from jnets.ops.cells import Cell, elman, gru
from jnets.ops.cells import State as CellState
from jnets.ops.cells_lstm import lstm
from jnets.ops.cells_normed import normed_elman, normed_gru, normed_lstm
from jnets.ops.recurrence import Steps
from jnets.typing import Array


class RecurrentState(NamedTuple):
    """What is carried from step to step, of layer 0, its reverse, layer 1 and so on.

    `h` [L D, B, P], the last outputs; `c` [L D, B, H], the cells of an LSTM.
    """

    h: Array
    c: Array | None = None


class Recurrent(nn.Module):
    """Layers of one cell over time; RNN, LSTM and GRU say which.

    Called with x [B, T, F] and, each by choice: `lengths` int [B], steps that count:
    outputs past them are zero and the final state is that of the last; `mask` bool
    [B, T], the same for any steps; `resets` bool [B, T], steps before which the state
    starts anew, for sequences packed one after the other; `initial_state`, a
    RecurrentState as it is returned, zeros without. Gives (outputs, final state).

    `dropout` is between layers, as PyTorch's: of each output on its own, or, with
    `variational`, of the same units at all steps, and of the inputs too;
    `recurrent_dropout` of the same units of h at all steps (Gal & Ghahramani 2016).
    They act with train=True and draw from the "dropout" key. Where sizes agree,
    `residual` adds a layer's input to its output, and `highway` mixes the two by a gate
    of its own, t y + (1 - t) x (Srivastava et al. 2015). `layer_norm` is that of
    `jnets.ops.cells_normed`, of the plain cells. `learned_start` makes the initial
    state a parameter. `window` ends gradients every so many steps (truncated BPTT).
    `save` and `unroll` are those of `jnets.ops.bptt.bptt`: what is computed anew going
    backward, and how many steps are one turn of the loop. `implementation` is "scan",
    "cudnn", which says what stands in its way, or "auto", cuDNN where nothing does
    (`jnets.ops.cudnn`); what was chosen is in the log of "jnets.recurrent". Programs
    to be exported, and layers under `vmap`, need "scan" on a GPU.

    Parameters, for layer0, layer0_reverse, layer1, ...: `kernel` [F, G H], `bias`
    [G H], `recurrent_kernel` [P, G H] and the cell's own; `highway0`, ... a Dense.
    """

    hidden: int
    num_layers: int = 1
    bidirectional: bool = False
    reverse: bool = False
    dropout: float = 0.0
    variational: bool = False
    recurrent_dropout: float = 0.0
    residual: bool = False
    highway: bool = False
    layer_norm: bool = False
    learned_start: bool = False
    use_bias: bool = True
    scheme: str = "pytorch_uniform"
    recurrent_scheme: str | None = None  # that of `scheme`
    window: int | None = None
    save: Save = "gates"
    unroll: int = 1
    implementation: str = "auto"
    policy: Policy = Policy()

    def cell(self) -> Cell:
        """The mathematics of one step."""
        raise NotImplementedError

    def sizes(self) -> tuple[int, ...]:
        """Columns of each state; those of h, P, first."""
        return (self.hidden,) * self.cell().states

    @nn.compact
    def __call__(
        self,
        x: Array,
        *,
        lengths: Array | None = None,
        mask: Array | None = None,
        resets: Array | None = None,
        initial_state: RecurrentState | None = None,
        train: bool = False,
    ) -> tuple[Array, RecurrentState]:
        check_fields(self)
        check_inputs(self, x, lengths, mask, resets, initial_state)
        lengths, mask, resets = (
            None if a is None else jnp.asarray(a) for a in (lengths, mask, resets)
        )
        given = _by_direction(self, initial_state)
        valid = valid_steps(x, lengths, mask)
        steps = Steps(valid, None if resets is None else resets.T)
        x, finals, spec = jnp.swapaxes(x, 0, 1), [], self._spec()
        for layer in range(self.num_layers):
            y, outputs = _between(self, x, layer, train), []
            for reverse in (False, True) if self.bidirectional else (self.reverse,):
                suffix = "_reverse" * (self.bidirectional and reverse)
                one = Direction(spec, reverse, name=f"layer{layer}{suffix}")
                hs, final = one(y, steps, lengths, next(given), train)
                outputs.append(hs)
                finals.append(final)
            out = jnp.concatenate(outputs, axis=-1)
            x = _connected(self, x, out, layer)
        if valid is not None:
            x = jnp.where(valid[..., None], x, 0)
        final = RecurrentState(*map(jnp.stack, zip(*finals, strict=True)))
        return jnp.swapaxes(x, 0, 1), final

    def _spec(self) -> Spec:
        return Spec(
            self.cell(),
            self.hidden,
            self.sizes(),
            self.use_bias and not self.layer_norm,
            self.learned_start,
            self.recurrent_dropout,
            self.scheme,
            self.recurrent_scheme or self.scheme,
            getattr(self, "forget_bias", 0.0),
            self.window,
            self.save,
            self.unroll,
            self.implementation,
            self.policy,
        )


class RNN(Recurrent):
    """The Elman network, h_t = f(W_x x_t + b + W_h h_{t-1}); Elman 1990.

    `activation` is tanh, relu or identity. With relu and recurrent_scheme="identity" it
    is the IRNN (Le, Jaitly & Hinton 2015). `own` is a cell of one's own in its place,
    see `jnets.ops.cells.derived`. For the rest see Recurrent.
    """

    activation: str = "tanh"
    own: Cell | None = None

    def cell(self) -> Cell:
        if self.layer_norm:
            plain(self, own=None)
            return normed_elman(self.activation)
        return self.own or elman(self.activation)


class LSTM(Recurrent):
    """Long short-term memory in the layout of PyTorch; see `jnets.ops.cells_lstm.lstm`
    for the forms and Recurrent for the rest.

    `forget_bias` is added to the forget gates' first biases: 1 keeps the cells' state
    at the start (Gers et al. 2000; Jozefowicz et al. 2015), 0 is PyTorch's.
    `projection` is the size P of h, H unless given.
    """

    forget: bool = True
    forget_bias: float = 0.0
    peepholes: bool = False
    output_tanh: bool = True
    projection: int | None = None

    def cell(self) -> Cell:
        if self.layer_norm:
            plain(self, forget=True, peepholes=False, output_tanh=True, projection=None)
            return normed_lstm()
        return lstm(
            forget=self.forget,
            peepholes=self.peepholes,
            output_tanh=self.output_tanh,
            projection=self.projection is not None,
        )

    def sizes(self) -> tuple[int, ...]:
        return self.projection or self.hidden, self.hidden


class GRU(Recurrent):
    """The gated recurrent unit; see `jnets.ops.cells.gru` and Recurrent.

    `reset_after=False` is the form of Cho et al. 2014. `forget_bias` is added to the
    first biases of z, of which a large one keeps the state, as of an LSTM's forget
    gates: at 0 half of the state is gone after each step.
    """

    reset_after: bool = True
    forget_bias: float = 0.0

    def cell(self) -> Cell:
        if self.layer_norm:
            plain(self, reset_after=True)
            return normed_gru()
        return gru(self.reset_after)


def _by_direction(
    layer: Recurrent, state: RecurrentState | None
) -> Iterator[CellState | None]:
    """The initial state of layer 0, its reverse, layer 1, ...; None without."""
    count = layer.num_layers * (1 + layer.bidirectional)
    for i in range(count):
        yield None if state is None else tuple(s[i] for s in state if s is not None)


def _connected(layer: Recurrent, x: Array, y: Array, number: int) -> Array:
    """What the next layer reads, of this one's input and output [T, B, ...]."""
    if x.shape != y.shape or not (layer.residual or layer.highway):
        return y
    if layer.residual:
        return x + y
    gate = Dense(x.shape[-1], policy=layer.policy, name=f"highway{number}")
    # Shifted by -1, so that at first most of the input goes through, deep nets too.
    t = jax.nn.sigmoid(gate(x).astype(x.dtype) - 1)
    return t * y + (1 - t) * x


def _between(layer: Recurrent, x: Array, number: int, train: bool) -> Array:
    """Dropout of what a layer reads: of other layers' outputs, or of the inputs too."""
    if not layer.dropout or (number == 0 and not layer.variational):
        return x
    shared = (0,) if layer.variational else ()  # one mask for all steps
    return nn.Dropout(layer.dropout, shared, deterministic=not train)(x)
