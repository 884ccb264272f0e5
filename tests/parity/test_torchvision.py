"""Torchvision's models beside jnets': logits, a step of training, files of weights."""

import contextlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jnets.interop import weights
from jnets.interop.rows import MODELS, rows
from jnets.interop.torchvision import to_state_dict, to_variables
from jnets.models import create

pytestmark = pytest.mark.parity

FIXTURES = Path(__file__).parents[1] / "fixtures"
RATES = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
# For small images, where compiling takes longer than running.
QUICK = {"xla_backend_optimization_level": 0}


@pytest.fixture(scope="module")
def made():
    """The modules of tests/fixtures: formula, make_torchvision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FIXTURES)
        import formula
        import make_torchvision
        import torch

        torch.set_num_threads(2)
        yield formula, make_torchvision


@pytest.mark.parametrize("name", MODELS)
def test_names(name, made):
    """Torchvision's own list of tensors, in its order."""
    _, make_torchvision = made
    state = make_torchvision.build(name, 5, aux=True).state_dict()
    names = [k for k in state if not k.endswith("num_batches_tracked")]
    assert [row.source for row in rows(name)] == names


# A network of every family at the size it was made for, and of those with heads.
SIZES = {
    "alexnet": 224,
    "vgg11": 224,
    "vgg11_bn": 160,
    "googlenet": 224,
    "resnet18": 224,
    "resnet50": 224,
    "inception_v3": 299,
}


@pytest.mark.parametrize("name", SIZES)
def test_logits(name, made):
    """Both in float32, with all 1,000 classes; and the same bits back."""
    import torch

    formula, make_torchvision = made
    model = make_torchvision.fill(make_torchvision.build(name, 1000, aux=True))
    state = model.state_dict()
    variables = to_variables(name, state)
    size = SIZES[name]
    images = formula.uniform("images", (2, size, size, 3), -2, 2)
    expected = make_torchvision.logits(model, images)
    ours = create(name)
    found = jax.jit(ours.apply)(variables, images)
    error = np.abs(np.asarray(found) - expected).max()
    assert error < 1e-5 * np.abs(expected).max()

    back = to_state_dict(name, variables)
    assert back.keys() == state.keys()
    for key, tensor in state.items():
        assert back[key].tobytes() == tensor.numpy().tobytes(), key
    fresh = make_torchvision.build(name, 1000, aux=True)
    tensors = {k: torch.from_numpy(v) for k, v in back.items()}
    fresh.load_state_dict(tensors, strict=True)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_a_model_without_heads(name, made):
    import torch

    _, make_torchvision = made
    model = make_torchvision.fill(make_torchvision.build(name, 3))
    back = to_state_dict(name, to_variables(name, model.state_dict()))
    tensors = {k: torch.from_numpy(v) for k, v in back.items()}
    make_torchvision.build(name, 3).load_state_dict(tensors, strict=True)


def train_step(model, variables, images, labels, heads_weight):
    """As make_torchvision.train_step: the loss, and the variables after it."""
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    optimizer = optax.chain(
        optax.add_decayed_weights(RATES["weight_decay"]),
        optax.sgd(RATES["lr"], momentum=RATES["momentum"]),
    )

    def loss_of(params, rest, images, labels):
        outputs, new = model.apply(
            {"params": params, **rest}, images, train=True, mutable=["batch_stats"]
        )
        logits, heads = outputs if isinstance(outputs, tuple) else (outputs, {})
        loss = cross_entropy(logits, labels).mean()
        for head in heads.values():
            loss += heads_weight * cross_entropy(head, labels).mean()
        return loss, new

    def step(variables, *batch):
        params, stats = variables["params"], variables["batch_stats"]
        rest = {"batch_stats": stats} if stats else {}
        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, new), grads = gradient(params, rest, *batch)
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        params = optax.apply_updates(params, updates)
        return loss, {"params": params, "batch_stats": new.get("batch_stats", {})}

    batch = jnp.asarray(images), jnp.asarray(labels)
    options = QUICK if images.shape[1] < 100 else None
    return jax.jit(step, compiler_options=options)(variables, *batch)


# In float64 where batch norm over few values turns the rounding of float32 into parts
# in a hundred of some updates; the nets of 100 million parameters in float32. The last
# is what a parameter's rounding adds to its update.
STEPS = [
    ("alexnet", 71, "float32", 1e-4, 3e-7),
    ("vgg11", 40, "float32", 1e-4, 3e-7),
    ("vgg11_bn", 40, "float32", 1e-4, 3e-7),
    ("googlenet", 70, "float64", 1e-9, 0),
    ("resnet18", 65, "float64", 1e-9, 0),
    ("resnet50", 65, "float64", 1e-9, 0),
    ("inception_v3", 299, "float64", 1e-9, 0),
]


@pytest.mark.parametrize("name, size, dtype, within, rounding", STEPS)
def test_a_step_of_training(name, size, dtype, within, rounding, made):
    """Loss, every update and every running statistic, heads included."""
    formula, make_torchvision = made
    theirs = make_torchvision.fill(make_torchvision.build(name, 10, aux=True))
    theirs = theirs.double() if dtype == "float64" else theirs
    before = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
    images = formula.uniform("images", (4, size, size, 3), -2, 2).astype(dtype)
    labels = np.array([3, 0, 9, 5])
    known = type(create(name)).__dataclass_fields__
    fields = {k: 0.0 for k in ("dropout", "aux_dropout") if k in known}
    double = jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()
    with double:
        variables = jax.tree.map(jnp.asarray, to_variables(name, before))
        _, weight = make_torchvision.HEADS.get(name, ((), 0.0))
        model = create(name, classes=10, policy=[dtype] * 3, **fields)
        loss, after = train_step(model, variables, images, labels, weight)
        found = to_state_dict(name, after)
    expected = make_torchvision.train_step(name, theirs, images, labels, RATES)
    np.testing.assert_allclose(float(loss), expected, rtol=within)
    for key, tensor in theirs.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            update, wanted = found[key] - before[key], tensor.numpy() - before[key]
            error = np.abs(update - wanted).max()
            assert error <= within * np.abs(wanted).max() + rounding, key


def checkpoint(torch):
    """A state dict of views and of every dtype, and the state of its training."""
    base = torch.arange(24.0).reshape(2, 3, 4)
    kinds = "float64 float16 bfloat16 int32 int16 int8 uint8 bool".split()
    tensors = {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1, :, 1::2],
        "expanded": torch.ones(1).expand(3, 2),
        "parameter": torch.nn.Parameter(base[0]),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(7),
        **{k: torch.tensor([0, 1, 3]).to(getattr(torch, k)) for k in kinds},
    }
    module = torch.nn.DataParallel(torch.nn.BatchNorm2d(3))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 3, 1, 1)).sum().backward()
    optimizer.step()
    state = module.state_dict()
    state.update({f"module.{k}": v for k, v in tensors.items()})
    return {"epoch": 1, "state_dict": state, "optimizer": optimizer.state_dict()}


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_pytorch(zipped, wrapped, tmp_path):
    """Both forms of torch.save; what is written is read by PyTorch."""
    import torch

    whole = checkpoint(torch)
    state = whole["state_dict"]
    path = tmp_path / "weights.pth"
    value = whole if wrapped else state
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    found = weights.read(path)
    weights.write(tmp_path / "back.pth", found)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    names = [k.removeprefix("module.") for k in state]
    assert list(found) == names == list(back)
    for name, tensor in zip(names, state.values(), strict=True):
        assert str(found[name].dtype) == str(tensor.dtype).removeprefix("torch.")
        # float64 holds all of them exactly.
        expected = tensor.detach().double().numpy()
        np.testing.assert_array_equal(found[name].astype("f8"), expected)
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor)


def test_a_whole_module_is_refused(tmp_path):
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(ValueError, match=r"holds torch\.nn\.modules\.linear\.Linear"):
        weights.read(tmp_path / "module.pth")
