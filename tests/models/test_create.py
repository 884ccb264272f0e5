"""From plain data to a model, and what is said about data that make none."""

import json

import jax
import pytest

import jnets
from jnets.errors import InputError
from jnets.layers import Policy
from jnets.models import MODELS, create, entry, example_inputs, list_models

# Of those that are not of 10 classes, or of 1000 where they look at large pictures.
OUTPUTS = {
    "surname_rnn": (18,),
    "surname_rnn_tanh": (18,),
    "tagger": (20, 17),
    "lrcn_fc6": (4096,),
    "lrcn": (16, 101),
    "lrcn_flow": (16, 101),
    "action_recogniser": (16, 10),
    "series_recogniser": (10,),
    "sequence_reader": (1,),
    "language_model": (35, 100),
    "word_lstm_small": (35, 10_000),
    "word_lstm_medium": (35, 10_000),
    "word_lstm_large": (35, 10_000),
    "seq2seq": (8, 80_000),
    "attention_seq2seq": (8, 30_000),
    "captioner": (20, 12_000),
    "captioner_attention": (20, 12_000),
    "storyteller": (5, 20, 12_000),
}


def output_shape(name: str, model) -> tuple[int, ...]:
    def call(key, *inputs):
        return model.init_with_output(key, *inputs)[0]

    inputs = example_inputs(name, examples=3)
    return jax.eval_shape(call, jax.random.key(0), *inputs).shape


def one_line(error) -> str:
    (message,) = error.value.args
    assert message and "\n" not in message
    return message


def test_the_package_exports_it():
    assert jnets.create is create and jnets.list_models is list_models
    assert list_models() == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_built_by_its_name_alone(name):
    side = entry(name).inputs[0][0][0]
    pictures = entry(name).inputs[0][1] == "float32"
    shape = OUTPUTS.get(name, (1000 if pictures and side > 32 else 10,))
    assert output_shape(name, create(name)) == (3, *shape)


@pytest.mark.parametrize("name", MODELS)
def test_example_inputs_are_what_the_table_says(name):
    for examples in (1, 4):
        inputs = example_inputs(name, examples)
        for x, (shape, dtype) in zip(inputs, entry(name).inputs, strict=True):
            assert x.shape == (examples, *shape) and x.dtype == dtype


@pytest.mark.parametrize("function", [create, example_inputs, entry])
def test_an_unknown_model_is_named_with_the_known_ones(function):
    with pytest.raises(InputError) as error:
        function("lenet6")
    message = one_line(error)
    assert "'lenet6'" in message and all(name in message for name in MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_an_unknown_field_is_named_with_the_known_ones(name):
    with pytest.raises(InputError) as error:
        create(name, scheme="he_normal", depth=3)
    message = one_line(error)
    known = set(entry(name).module.__annotations__) - {"parent", "name"}
    assert repr(name) in message and "'depth'" in message
    assert {"scheme", "policy"} <= known
    assert all(repr(field) in message for field in known)


def test_fields_of_the_framework_are_not_ours():
    with pytest.raises(InputError, match="has no field 'parent'"):
        create("mlp", parent=None)


@pytest.mark.parametrize("field", ["activation", "scheme"])
@pytest.mark.parametrize("name", ["mlp", "lenet5", "surname_rnn"])
def test_an_unknown_choice_is_named_when_the_model_is_called(name, field):
    with pytest.raises(InputError) as error:
        output_shape(name, create(name, **{field: "none_such"}))
    assert "'none_such'" in one_line(error)


def test_an_unknown_pool_is_named_with_the_known_ones():
    with pytest.raises(InputError) as error:
        output_shape("lenet5", create("lenet5", pool="median"))
    message = one_line(error)
    assert "'median'" in message and "max" in message and "average" in message


@pytest.mark.parametrize(
    "name, fields, shape",
    [
        ("mlp", {"hidden": [30, 20], "classes": 7}, (3, 7)),
        ("mlp", {"hidden": []}, (3, 10)),
        ("mlp", {"policy": ["float32", "bfloat16", "float32"]}, (3, 10)),
        ("lenet5", {"maps": [4, 8], "hidden": [20, 12], "classes": 26}, (3, 26)),
        ("lenet_caffe", {"names": list("abcdef")}, (3, 10)),
        ("surname_rnn", {"vocabulary": 58, "hidden": 16, "classes": 3}, (3, 3)),
    ],
)
def test_fields_survive_json(name, fields, shape):
    model = create(name, **json.loads(json.dumps(fields)))
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    assert model == create(name, **frozen)
    hash(model)  # a module is a static argument of compiled functions
    assert output_shape(name, model) == shape


def test_a_policy_from_json_is_a_policy():
    saved = json.dumps(Policy(compute="bfloat16"))
    assert create("mlp", policy=json.loads(saved)).policy == Policy(compute="bfloat16")


def test_variants_are_fields_of_one_module():
    tanh = create("surname_rnn_tanh")
    assert tanh == create("surname_rnn", activation="tanh")
    assert create("surname_rnn_tanh", activation="identity") == create("surname_rnn")
    assert tanh != create("surname_rnn")


def test_names_are_the_names_of_the_layers():
    model = create("lenet_caffe", names=list("abcdef"))
    shapes = jax.eval_shape(model.init, jax.random.key(0), *example_inputs("lenet5"))
    assert list(shapes["params"]) == ["a", "c", "e", "f"]
