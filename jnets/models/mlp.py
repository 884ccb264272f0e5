"""The multilayer perceptron: h = g(W1 x + b1), logits = W2 h + b2."""

import flax.linen as nn

from jnets.layers import Dense, Policy
from jnets.ops import activation
from jnets.typing import Array


class MLP(nn.Module):
    """Fully connected network with `hidden` layers and dropout after each of them.

    x [B, ...] is flattened; logits [B, classes]. `activation` is a name from
    `jnets.ops.ACTIVATIONS`: tanh, or one of the rectifier family. `dropout` is the
    probability of dropping a unit; kept units are scaled by 1/(1 - dropout) in
    training, so that nothing changes in use (Srivastava et al. 2014, section 10).
    """

    hidden: tuple[int, ...] = (128,)
    classes: int = 10
    activation: str = "relu"
    dropout: float = 0.0
    scheme: str = "he_normal"
    policy: Policy = Policy()

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        act = activation(self.activation)
        x = x.reshape(x.shape[0], -1)
        for i, units in enumerate(self.hidden):
            x = act(
                Dense(units, self.scheme, policy=self.policy, name=f"hidden{i + 1}")(x)
            )
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = Dense(self.classes, self.scheme, policy=self.policy, name="output")(x)
        return self.policy.finish(logits)
