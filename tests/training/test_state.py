"""Seeds and keys: what is drawn once, what is drawn anew, and nothing twice."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def draw(key):
    return jax.random.key_data(key).tobytes()


def test_a_seed_decides_everything(net, bits):
    first, again, other = (net.state(optax.adam(0.1), seed=s) for s in (3, 3, 4))
    assert bits(first) == bits(again)
    assert bits(first.params) != bits(other.params)
    assert bits(first.key) != bits(other.key)


def test_a_new_state(net):
    state = net.state(optax.sgd(0.1, momentum=0.9))
    assert state.step.dtype == jnp.int32 and int(state.step) == 0
    assert state.ema is None
    assert set(state.variables) == {"params", "batch_stats"}
    logits = net.model.apply(state.variables, net.data[0][0])
    assert logits.shape == (23, 3)
    trace = jax.tree.leaves(state.opt_state)
    assert all(not np.any(leaf) for leaf in trace) and trace


def test_a_model_without_statistics(line):
    state = line([[1.0, 2.0]], [0.0]).state(optax.sgd(0.1))
    assert state.batch_stats == {}


def test_no_key_is_used_twice(net):
    state = net.state(optax.sgd(0.1))
    steps = [draw(state.replace(step=jnp.int32(t)).step_key()) for t in range(50)]
    epochs = [draw(state.epoch_key(t)) for t in range(50)]
    chunks = [
        draw(jax.random.fold_in(state.replace(step=jnp.int32(t)).step_key(), i))
        for t in range(5)
        for i in range(5)
    ]
    assert len({*steps, *epochs, *chunks}) == 50 + 50 + 25


def test_a_key_depends_on_the_step_alone(net):
    state = net.state(optax.sgd(0.1)).replace(step=jnp.int32(7))
    moved = state.replace(params=jax.tree.map(lambda p: p + 1, state.params))
    assert draw(state.step_key()) == draw(moved.step_key())
    assert draw(state.epoch_key(2)) == draw(moved.replace(step=0).epoch_key(2))
