"""An LSTM in both directions, step by step, in NumPy."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def one_way(params, x):
    """x [T, F] -> the outputs at all steps [T, H]; gates i, f, g, o."""
    w, u, b = (params[name] for name in ("kernel", "recurrent_kernel", "bias"))
    h = c = np.zeros(len(u))
    outputs = []
    for step in x:
        i, f, g, o = np.split(step @ w + h @ u + b, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def both_ways(params, x):
    """x [T, F] -> outputs [T, 2H]; and the last one of each direction [2H]."""
    forward = one_way(params["layer0"], x)
    backward = one_way(params["layer0_reverse"], x[::-1])
    outputs = np.concatenate([forward, backward[::-1]], axis=1)
    return outputs, np.concatenate([forward[-1], backward[-1]])


def random_like(shapes, seed=0):
    """Float64 parameters for a tree of shapes, all of them of size about 1/2."""
    rng = np.random.default_rng(seed)
    return {
        name: random_like(part, seed + 1 + i)
        if isinstance(part, dict)
        else rng.normal(size=part.shape) / 2
        for i, (name, part) in enumerate(shapes.items())
    }
