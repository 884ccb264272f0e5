"""Names and shapes of the parameters of recurrent layers: public, files keep them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.layers import GRU, LSTM, RNN

B, T, F, H = 3, 5, 2, 4


def shapes(layer, features=F):
    """{path: shape} of the parameters."""
    tree = jax.eval_shape(
        lambda: layer.init(jax.random.key(0), jnp.zeros((B, T, features)))
    )
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree["params"])
    return {"/".join(k.key for k in path): leaf.shape for path, leaf in leaves}


NAMES = {
    "rnn": (
        RNN(H),
        {
            "layer0/kernel": (2, 4),
            "layer0/bias": (4,),
            "layer0/recurrent_kernel": (4, 4),
        },
    ),
    "no bias": (
        RNN(H, use_bias=False),
        {"layer0/kernel": (2, 4), "layer0/recurrent_kernel": (4, 4)},
    ),
    "gru without bias": (
        GRU(H, use_bias=False),
        {"layer0/kernel": (2, 12), "layer0/recurrent_kernel": (4, 12)},
    ),
    "lstm": (
        LSTM(H, num_layers=2, bidirectional=True),
        {
            "layer0/kernel": (2, 16),
            "layer0/bias": (16,),
            "layer0/recurrent_kernel": (4, 16),
            "layer0_reverse/kernel": (2, 16),
            "layer0_reverse/bias": (16,),
            "layer0_reverse/recurrent_kernel": (4, 16),
            "layer1/kernel": (8, 16),
            "layer1/bias": (16,),
            "layer1/recurrent_kernel": (4, 16),
            "layer1_reverse/kernel": (8, 16),
            "layer1_reverse/bias": (16,),
            "layer1_reverse/recurrent_kernel": (4, 16),
        },
    ),
    "all of lstm": (
        LSTM(H, num_layers=2, projection=3, peepholes=True, learned_start=True),
        {
            f"layer{layer}/{name}": shape
            for layer, features in ((0, 2), (1, 3))
            for name, shape in {
                "kernel": (features, 16),
                "bias": (16,),
                "recurrent_kernel": (3, 16),
                "projection_kernel": (4, 3),
                "peephole_i": (4,),
                "peephole_f": (4,),
                "peephole_o": (4,),
                "start_h": (3,),
                "start_c": (4,),
            }.items()
        },
    ),
    "carousel": (
        LSTM(H, forget=False, peepholes=True),
        {
            "layer0/kernel": (2, 12),
            "layer0/bias": (12,),
            "layer0/recurrent_kernel": (4, 12),
            "layer0/peephole_i": (4,),
            "layer0/peephole_o": (4,),
        },
    ),
    "gru": (
        GRU(H, reverse=True),
        {
            "layer0/kernel": (2, 12),
            "layer0/bias": (12,),
            "layer0/recurrent_kernel": (4, 12),
            "layer0/recurrent_bias": (4,),
        },
    ),
    "gru of 2014": (
        GRU(H, reset_after=False),
        {
            "layer0/kernel": (2, 12),
            "layer0/bias": (12,),
            "layer0/recurrent_kernel": (4, 8),
            "layer0/candidate_kernel": (4, 4),
        },
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_parameters(name):
    layer, wanted = NAMES[name]
    assert shapes(layer) == wanted


def test_numbers_of_parameters():
    """4H(F + H + 1) and 3H(F + H) + 4H: one bias where PyTorch keeps two."""
    count = {
        cell: sum(np.prod(shape) for shape in shapes(cell(7), 5).values())
        for cell in (RNN, LSTM, GRU)
    }
    assert count == {RNN: 7 * 13, LSTM: 28 * 13, GRU: 21 * 12 + 28}
