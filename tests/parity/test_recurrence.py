"""RNN, LSTM and GRU beside torch.nn's: outputs, gradients, a training run.

Both sides compute in float32, on sequences of unequal length (packed, in PyTorch), from
given initial states.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.interop.pytorch import recurrent_to_state_dict, recurrent_to_variables
from jnets.layers import GRU, LSTM, RNN, RecurrentState
from tests.interop.recurrent_runs import close, torch_gradients

pytestmark = [
    pytest.mark.parity,
    # A choice of PyTorch's own between two implementations.
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
]

B, T, F, H = 5, 12, 6, 8
LENGTHS = [12, 1, 7, 12, 3]
BOTH = {"num_layers": 2, "bidirectional": True}
# torch.nn's fields, ours
CASES = {
    "rnn": ({}, RNN(H)),
    "rnn_relu": (
        {"nonlinearity": "relu", **BOTH},
        RNN(H, activation="relu", **BOTH),
    ),
    "rnn_biasless": ({"bias": False}, RNN(H, use_bias=False)),
    "lstm": ({}, LSTM(H)),
    "lstm_2_layers": ({"num_layers": 2}, LSTM(H, num_layers=2)),
    "lstm_both_ways": ({"bidirectional": True}, LSTM(H, bidirectional=True)),
    "lstm_whole": (BOTH, LSTM(H, **BOTH)),
    "lstm_projection": ({"proj_size": 3}, LSTM(H, projection=3)),
    "lstm_projection_whole": ({"proj_size": 3, **BOTH}, LSTM(H, projection=3, **BOTH)),
    "gru": ({}, GRU(H)),
    "gru_whole": (BOTH, GRU(H, **BOTH)),
    "gru_biasless": ({"bias": False}, GRU(H, use_bias=False)),
}


@pytest.fixture(scope="module")
def torch():
    import torch

    torch.set_num_threads(1)
    return torch


def theirs(torch, layer, fields, seed=0):
    torch.manual_seed(seed)
    kind = getattr(torch.nn, type(layer).__name__)
    return kind(F, H, batch_first=True, **fields)


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def run_torch(torch, net, x, start, lengths):
    """(y, states) of batch-first sequences, packed if there are lengths."""
    start = start if len(start) > 1 else start[0]
    if lengths is None:
        y, final = net(x, start)
    else:
        rnn = torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=False
        )
        packed, final = net(packed, start)
        y, _ = rnn.pad_packed_sequence(packed, batch_first=True, total_length=T)
    return y, final if isinstance(final, tuple) else (final,)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients(name, lengths, torch):
    """With respect to inputs, initial states and every weight."""
    fields, layer = CASES[name]
    net = theirs(torch, layer, fields)
    rng, directions = np.random.default_rng(1), 1 + layer.bidirectional
    cells = layer.num_layers * directions
    x, start = normal(rng, B, T, F), [normal(rng, cells, B, n) for n in layer.sizes()]
    d_states = [normal(rng, cells, B, n) for n in layer.sizes()]
    dy = normal(rng, B, T, directions * layer.sizes()[0])

    given = [torch.from_numpy(a).requires_grad_() for a in (x, *start)]
    y, states = run_torch(torch, net, given[0], tuple(given[1:]), lengths)
    pairs = zip((y, *states), (dy, *d_states), strict=True)
    sum((value * torch.from_numpy(d)).sum() for value, d in pairs).backward()

    @jax.jit
    def ours(variables, x, start, lengths):
        def loss(variables, x, start):
            y, final = layer.apply(
                variables, x, lengths=lengths, initial_state=RecurrentState(*start)
            )
            outputs = y, *(s for s in final if s is not None)
            pairs = zip(outputs, (dy, *d_states), strict=True)
            return sum(jnp.vdot(value, d) for value, d in pairs), outputs

        return jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(variables, x, start)

    variables = recurrent_to_variables(net.state_dict(), layer)
    arguments = x, start, None if lengths is None else jnp.asarray(lengths)
    (d_variables, dx, d_start), outputs = ours(variables, *arguments)
    for found, expected in zip(outputs, (y, *states), strict=True):
        close({"output": found}, {"output": expected.detach().numpy()})
    for found, expected in zip((dx, *d_start), given, strict=True):
        close({"gradient": found}, {"gradient": expected.grad.numpy()})
    expected = {name: p.grad.numpy() for name, p in net.named_parameters()}
    close(torch_gradients(layer, d_variables), expected)


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name, torch):
    """What is written loads strictly, computes the same and reads as the same bits."""
    fields, layer = CASES[name]
    net, other = theirs(torch, layer, fields), theirs(torch, layer, fields, seed=1)
    variables = recurrent_to_variables(net.state_dict(), layer)
    state = recurrent_to_state_dict(variables, layer)
    assert list(state) == list(net.state_dict())
    other.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    x = torch.from_numpy(normal(np.random.default_rng(2), B, T, F))
    close({"y": other(x)[0].detach().numpy()}, {"y": net(x)[0].detach().numpy()})
    again = recurrent_to_variables(other.state_dict(), layer)
    same = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), again, variables)
    assert jax.tree.all(same)


def test_weights_in_the_dtype_that_they_are_in(torch):
    layer = LSTM(H)
    net = theirs(torch, layer, {}).bfloat16()
    variables = recurrent_to_variables(net.state_dict(), layer)
    kernel = variables["params"]["layer0"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    expected = net.weight_ih_l0.detach().float().numpy().T
    np.testing.assert_array_equal(kernel.astype(np.float32), expected)


STEPS, RATE = 10, 0.2


@pytest.mark.parametrize("frozen", [True, False], ids=["one_bias", "two_biases"])
def test_training(frozen, torch):
    """Ten steps of gradient descent: the losses, and the weights after them.

    With both of PyTorch's biases learning, their sum learns twice as fast as ours.
    """
    layer, rng = LSTM(H, num_layers=2), np.random.default_rng(3)
    net = theirs(torch, layer, {"num_layers": 2})
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not (frozen and name.startswith("bias_hh")))
    x, target = normal(rng, B, T, F), np.tanh(normal(rng, B, T, H))
    variables = recurrent_to_variables(net.state_dict(), layer)

    learning = [p for p in net.parameters() if p.requires_grad]
    optimizer, expected = torch.optim.SGD(learning, lr=RATE), []
    for _ in range(STEPS):
        y, _ = net(torch.from_numpy(x))
        loss = (y - torch.from_numpy(target)).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())

    @jax.jit
    def step(variables):
        def loss(variables):
            y, _ = layer.apply(variables, jnp.asarray(x))
            return jnp.mean(jnp.sum(jnp.square(y - target), -1))

        def moved(path, w, d):
            twice = path[-1].key == "bias" and not frozen
            return w - RATE * (2 if twice else 1) * d

        value, d = jax.value_and_grad(loss)(variables)
        return value, jax.tree_util.tree_map_with_path(moved, variables, d)

    losses = []
    for _ in range(STEPS):
        value, variables = step(variables)
        losses.append(float(value))
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    final = recurrent_to_variables(net.state_dict(), layer)["params"]
    for path, cell in final.items():
        close(variables["params"][path], cell)
