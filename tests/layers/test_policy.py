"""The dtypes of parameters, products and results."""

import json

import jax.numpy as jnp

from jnets.layers import Policy


def test_float32_is_the_default():
    assert Policy() == Policy("float32", "float32", "float32")


def test_each_name_decides_one_thing():
    policy = Policy(param="float16", compute="bfloat16", output="float32")
    assert policy.param_dtype == jnp.float16
    x, y = policy.cast(jnp.ones(2), jnp.ones(3, jnp.float16))
    assert x.dtype == y.dtype == jnp.bfloat16
    assert x.shape == (2,) and y.shape == (3,)
    assert policy.finish(x).dtype == jnp.float32


def test_it_is_plain_data():
    policy = Policy(compute="bfloat16")
    assert Policy(*json.loads(json.dumps(policy))) == policy
    assert hash(policy) == hash(Policy("float32", "bfloat16"))
