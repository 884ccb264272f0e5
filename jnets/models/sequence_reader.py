"""One recurrent layer that reads a sequence and answers at its end.

What Hochreiter & Schmidhuber 1997 (section 5), and Le, Jaitly & Hinton 2015, set such
nets to: tasks whose answer lies many steps back.

Axes: B batch, T steps, F features, H hidden, K outputs.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from jnets.errors import InputError
from jnets.layers import GRU, LSTM, RNN, Dense, Policy
from jnets.layers.recurrent import Recurrent
from jnets.typing import Array

# As they are called -> the layer, given its size. All start from U(+-1/sqrt(H)), as
# PyTorch's do, but for the identity of the IRNN.
CELLS: dict[str, Callable[..., Recurrent]] = {
    "elman": RNN,
    "irnn": partial(
        RNN, activation="relu", recurrent_scheme="identity", scheme="lecun_normal"
    ),
    "lstm_1997": partial(LSTM, forget=False),
    "lstm": partial(LSTM, forget_bias=1.0),
    "gru": GRU,
}


class SequenceReader(nn.Module):
    """x [B, T, F] -> outputs [B, K], read from h after the last step.

    `cell` is one of CELLS; `scheme` is the start of its weights, its own if "". The
    outputs are read by a matrix that starts as `lecun_normal`.
    """

    cell: str = "lstm"
    hidden: int = 64
    outputs: int = 1
    scheme: str = ""
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        if self.cell not in CELLS:
            raise InputError(
                f"cell={self.cell!r} is unknown; expected one of {[*CELLS]}"
            )
        start = {"scheme": self.scheme} if self.scheme else {}
        layer = CELLS[self.cell](self.hidden, policy=self.policy, name="layer", **start)
        _, final = layer(x, train=train)
        # B x H
        readout = Dense(self.outputs, policy=self.policy, name="readout")
        return self.policy.finish(readout(final.h[-1]))
