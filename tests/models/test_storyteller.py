"""The storyteller: the order of the pictures, against NumPy and against itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jnets.models import create

SMALL = {
    "blocks": [[4], [6]],
    "hidden": [10],
    "map_size": 2,
    "dropout": 0.0,
    "fc_scheme": "he_normal",
}
SIZES = {"vocabulary": 7, "hidden": 5, "dropout": 0.0, "encoder": "vgg11_bn"}


@pytest.fixture(scope="module")
def made():
    """(model, variables, images, tokens) of a tiny one."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, 5, 8, 8, 3)), jnp.float32)
    tokens = jnp.asarray(rng.integers(4, 7, (2, 5, 3)), jnp.int32)
    model = create("storyteller", **SIZES, encoder_fields=SMALL)
    return model, jax.jit(model.init)(jax.random.key(1), images, tokens), images, tokens


def gru(p, x, h):
    zx, zh = x @ p["kernel"] + p["bias"], h @ p["recurrent_kernel"]
    (x_r, x_z, x_n), (z_r, z_z, u) = (np.split(a, 3, axis=-1) for a in (zx, zh))
    r, z = (1 / (1 + np.exp(-a)) for a in (x_r + z_r, x_z + z_z))
    n = np.tanh(x_n + r * (u + p["recurrent_bias"]))
    return (1 - z) * n + z * h


def test_the_formulas(made):
    """From the pictures' vectors v_k on, sentence by sentence."""
    model, variables, images, tokens = made
    p = jax.tree.map(np.asarray, variables["params"])
    seen: dict[str, np.ndarray] = {}

    def listen(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if context.module.path == ("picture",):
            seen["v"] = np.maximum(result, 0).reshape(2, 5, -1)
        return result

    with nn.intercept_methods(listen):
        logits = model.apply(variables, images, tokens)
    g, states = np.zeros((2, 5)), {}
    for k in reversed(range(5)):
        g = states[k] = gru(p["album"]["layer0"], seen["v"][:, k], g)
    for k in range(5):
        known = np.concatenate([seen["v"][:, k], states[k], states[0]], axis=-1)
        # The norm of a net in use, by the running mean 0 and variance 1 of a new one.
        h = begin = np.tanh(known @ p["begin"]["kernel"] / np.sqrt(1 + 1e-5))
        for t in range(3):
            word = p["words"]["embedding"][tokens[:, k, t]]
            read = np.concatenate([word, begin], axis=-1)
            h = gru(p["sentence"]["layer0"], read, h)
            expected = h @ p["output"]["kernel"] + p["output"]["bias"]
            np.testing.assert_allclose(logits[:, k, t], expected, rtol=2e-4, atol=2e-5)


def test_word_by_word_is_all_at_once(made):
    model, variables, images, tokens = made
    whole = model.apply(variables, images, tokens).reshape(10, 3, -1)
    state = model.apply(variables, images, method="start")
    for t in range(3):
        words = tokens.reshape(10, 3)[:, t]
        logits, state = model.apply(variables, state, words, method="step")
        np.testing.assert_allclose(logits, whole[:, t], rtol=1e-4, atol=1e-5)


def test_every_sentence_depends_on_every_picture(made):
    """And on its place: an album in another order starts every sentence elsewhere."""
    model, variables, images, tokens = made
    starts = model.apply(variables, images, method="start")[0].reshape(2, 5, -1)
    shuffled = model.apply(variables, images[:, ::-1], method="start")[0]
    moved = np.abs(shuffled.reshape(2, 5, -1) - starts).max(axis=-1)
    assert (moved > 1e-4).all()
    for k in range(5):
        changed = images.at[0, k].multiply(-1)
        other = model.apply(variables, changed, method="start")[0].reshape(2, 5, -1)
        assert (np.abs(other[0] - starts[0]).max(axis=-1) > 1e-7).all()
        np.testing.assert_array_equal(other[1], starts[1])
