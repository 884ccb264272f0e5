"""What holds for every model: one table of models, one test per property."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jnets.layers import Policy
from jnets.models import MODELS, create, entry, example_inputs
from jnets.models.language_model import LanguageModel


class Descriptor(NamedTuple):
    """A model to test: a name and fields, as `create` takes them."""

    name: str
    fields: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for _, value in self.fields)])


DESCRIPTORS = [
    Descriptor("mlp", (("hidden", (30, 20)), ("activation", "elu"), ("dropout", 0.5))),
    Descriptor("lenet5_1998"),
    Descriptor("lenet5", (("dropout", 0.5),)),
    Descriptor("lenet_caffe"),
    Descriptor("surname_rnn"),
    Descriptor("surname_rnn_tanh"),
    Descriptor("tagger", (("dropout", 0.5), ("word_dropout", 0.5))),
    Descriptor("document_classifier", (("dropout", 0.5), ("pooling", "attention"))),
    Descriptor("document_classifier", (("cell", "gru"), ("num_layers", 2))),
    Descriptor("bag_of_words", (("pairs", 50),)),
]
EXAMPLES = 4
FLOAT32 = Policy()


@pytest.fixture(params=DESCRIPTORS, ids=str)
def descriptor(request):
    return request.param


def inputs(descriptor: Descriptor) -> tuple[jax.Array, ...]:
    """Noise for images; symbols and lengths within the alphabet and the text."""
    rng = np.random.default_rng(0)
    shapes = entry(descriptor.name).inputs
    if shapes[0][1] == "float32":
        (shape, _) = shapes[0]
        return (jnp.asarray(rng.standard_normal((EXAMPLES, *shape)), jnp.float32),)
    *symbols, _ = shapes  # the last one is of lengths
    most = symbols[0][0][0]
    lengths = np.array([2, 5, most - 1, most])
    numbers = [rng.integers(0, 57, (EXAMPLES, *shape)) for shape, _ in symbols]
    return tuple(jnp.asarray(a, jnp.int32) for a in (*numbers, lengths))


def shapes_of(descriptor: Descriptor, **more: Any):
    """The tree of variables as shapes and dtypes; nothing is computed."""
    model = create(descriptor.name, **dict(descriptor.fields), **more)
    return jax.eval_shape(
        model.init, jax.random.key(0), *example_inputs(descriptor.name)
    )


@functools.cache
def variables(descriptor: Descriptor) -> dict:
    """Random parameters; every one of them, biases too, differs from 0."""
    rng = np.random.default_rng(1)

    def draw(leaf):
        fan_in = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 16
        values = rng.standard_normal(leaf.shape) / np.sqrt(fan_in)
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, shapes_of(descriptor))


def forward(descriptor: Descriptor, *, train: bool = False, policy: Policy = FLOAT32):
    """(variables, *inputs) -> outputs, with one dropout key for all calls."""
    model = create(descriptor.name, **dict(descriptor.fields), policy=policy)

    def apply(variables, *inputs):
        rngs = {"dropout": jax.random.key(2)} if train else {}
        return model.apply(variables, *inputs, train=train, rngs=rngs)

    return apply


@functools.cache
def outputs(descriptor: Descriptor) -> np.ndarray:
    """Of the compiled model without dropout, in float32."""
    compiled = jax.jit(forward(descriptor))
    return np.asarray(compiled(variables(descriptor), *inputs(descriptor)))


def test_the_table_has_every_small_model():
    """The nets for coloured pictures, for sequences of vectors, and that answer at
    every step are tried in files of their own, made small."""
    small = {
        name
        for name, row in MODELS.items()
        if row.inputs[0][0][-1:] != (3,) and row.module is not LanguageModel
    }
    small -= {"series_recogniser", "sequence_reader", "seq2seq", "attention_seq2seq"}
    assert {d.name for d in DESCRIPTORS} == small


def test_jit_is_eager(descriptor):
    apply = forward(descriptor, train="dropout" in dict(descriptor.fields))
    v, x = variables(descriptor), inputs(descriptor)
    eager = apply(v, *x)
    assert eager.shape[0] == EXAMPLES
    np.testing.assert_allclose(jax.jit(apply)(v, *x), eager, rtol=1e-5, atol=1e-5)


def test_vmap_is_the_batch(descriptor):
    apply, v, x = forward(descriptor), variables(descriptor), inputs(descriptor)

    def one(*example):
        return apply(v, *(a[None] for a in example))[0]

    each = jax.jit(jax.vmap(one))(*x)
    np.testing.assert_allclose(each, outputs(descriptor), rtol=1e-5, atol=1e-5)


def test_mixed_precision(descriptor):
    policy = Policy(compute="bfloat16")
    shapes = shapes_of(descriptor, policy=policy)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(shapes)} == {"float32"}
    narrow = jax.jit(forward(descriptor, policy=policy))
    narrow = narrow(variables(descriptor), *inputs(descriptor))
    wide = outputs(descriptor)
    assert narrow.dtype == wide.dtype == jnp.float32
    # bfloat16 keeps 8 bits: the results are near, and not those of float32.
    error = np.abs(np.asarray(narrow) - wide).max() / np.abs(wide).max()
    assert 1e-5 < error < 0.03


def products(jaxpr) -> set[str]:
    """The dtypes that products and convolutions are computed in."""
    found = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found |= {v.aval.dtype.name for v in equation.invars}
        for inner in jaxprs_in_params(equation.params):
            found |= products(inner)
    return found


def test_products_are_in_the_compute_dtype(descriptor):
    v, x = variables(descriptor), inputs(descriptor)
    for dtype in ("float32", "bfloat16"):
        apply = forward(descriptor, policy=Policy(compute=dtype))
        found = products(jax.make_jaxpr(apply)(v, *x).jaxpr)
        # A bag is a sum of rows: there is no product in it.
        assert found == ({dtype} if descriptor.name != "bag_of_words" else set())


def gradients(descriptor: Descriptor, x: tuple[jax.Array, ...]):
    """Of a fixed random combination of the outputs, by parameter."""
    apply, v = forward(descriptor), variables(descriptor)
    rng = np.random.default_rng(3)
    shape = outputs(descriptor).shape
    weights = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    grads = jax.jit(jax.grad(lambda v: jnp.sum(weights * apply(v, *x))))(v)
    return jax.tree.map(np.asarray, grads["params"])


def test_gradients_reach_every_parameter(descriptor):
    for path, g in jax.tree_util.tree_leaves_with_path(
        gradients(descriptor, inputs(descriptor))
    ):
        assert np.all(np.isfinite(g)), path
        assert np.any(g != 0), path
        if descriptor.name == "lenet5_1998":  # nothing in it can be switched off
            assert np.all(g != 0), path


@pytest.mark.parametrize("name", ["surname_rnn", "surname_rnn_tanh"])
def test_a_name_of_one_letter_does_not_touch_i2h(name):
    tokens, _ = inputs(Descriptor(name))
    grads = gradients(Descriptor(name), (tokens, jnp.ones(EXAMPLES, jnp.int32)))
    assert np.all(grads["i2h"]["kernel"] == 0) and np.all(grads["i2h"]["bias"] == 0)
    assert np.any(grads["i2o"]["kernel"] != 0) and np.all(grads["i2o"]["bias"] != 0)


def test_initialisation_is_a_function_of_the_key():
    model, x = create("mlp", hidden=[3, 3]), example_inputs("mlp")
    init = jax.jit(model.init)
    first, again, other = (init(jax.random.key(seed), *x) for seed in (5, 5, 6))
    same = jax.tree.map(np.array_equal, first, again)
    assert all(jax.tree.leaves(same))
    kernels = [first["params"][f"hidden{i}"]["kernel"] for i in (1, 2)]
    assert np.all(kernels[0] != other["params"]["hidden1"]["kernel"])
    assert np.all(kernels[0][:3] != kernels[1])
