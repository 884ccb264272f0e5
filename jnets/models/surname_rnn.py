"""The lecture's recurrent classifier of surnames, letter by letter.

The program is the character-level RNN of the PyTorch tutorials (S. Robertson, 2017),
as printed on the lecture's slides: i2h and i2o both read the letter and the previous
hidden state, there is no nonlinearity in the recurrence, and the output after the
last letter is the answer.

Axes: B batch, T letters, V vocabulary, H hidden, K classes.
"""

import flax.linen as nn
import jax.numpy as jnp

from jnets.layers import Affine, Policy
from jnets.ops import activation
from jnets.ops.symbols import RECURRENCES, final_state, last_state
from jnets.typing import Array


class SurnameRNN(nn.Module):
    """h_t = g(i2h([x_t; h_{t-1}])), logits = i2o([x_T; h_{T-1}]), h_0 = 0.

    tokens int32 [B, T] (letters by number, any padding), lengths int32 [B] (at least
    1) -> logits [B, K]. `activation` is g: "identity" is the lecture's program, "tanh"
    the Elman network. The softmax is left to the loss: log_softmax of these logits
    and the negative log-likelihood of the class are the program's LogSoftmax and
    NLLLoss.

    The output at a letter reads the state before it. The state after the last letter
    is therefore never computed, and a name of one letter does not touch i2h.

    A batch of one runs by `jnets.ops.bptt`, which has reverse-mode gradients of first
    order; larger batches run by `jnets.ops.unroll`, which any transformation takes.
    """

    vocabulary: int = 57
    hidden: int = 128
    classes: int = 18
    activation: str = "identity"
    scheme: str = "pytorch_uniform"
    policy: Policy = Policy()

    def setup(self):
        inputs = self.vocabulary + self.hidden
        self.i2h = Affine(inputs, self.hidden, self.scheme, self.policy)
        self.i2o = Affine(inputs, self.classes, self.scheme, self.policy)

    def __call__(self, tokens: Array, lengths: Array, *, train: bool = False) -> Array:
        del train  # nothing here differs between training and use
        tokens, lengths = jnp.asarray(tokens), jnp.asarray(lengths)
        g = activation(self.activation)
        (w, b), (v, c) = self.i2h.weights(), self.i2o.weights()
        w_x, w_h = jnp.split(w, [self.vocabulary])
        v_x, v_h = jnp.split(v, [self.vocabulary])
        if tokens.shape[0] == 1 and self.activation in RECURRENCES:
            # One name at a time, as the lecture trains: explicit BPTT, no padding.
            steps = lengths[0] - 1
            h = last_state(w_x, w_h, b, tokens[0], steps, self.activation)
            h = jnp.expand_dims(h, 0)
        else:
            # A product with a one-hot letter is a row of the matrix.
            z = w_x[tokens.T] + b[None, None]
            # T x B x H
            h0 = jnp.zeros(z.shape[1:], z.dtype)
            h = final_state(lambda z, h: g(z + h @ w_h), z, h0, lengths - 1)
        # B x H
        last = jnp.take_along_axis(tokens, lengths[:, None] - 1, axis=1)[:, 0]
        return self.policy.finish(v_x[last] + h @ v_h + c[None])
