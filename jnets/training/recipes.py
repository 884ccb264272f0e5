"""How each paper trained its nets, as data: one row of RECIPES per source.

A number that the source does not state has a comment that says so. "log" is the log
kept in the comments of AlexNet's released configuration.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jnets.errors import InputError

Scalar = str | int | float
# ((from, rate), ...): from this time on the rate is this one.
Stages = tuple[tuple[float, float], ...]


class Recipe(NamedTuple):
    """One way to train. Times are in `unit`s: epochs or updates, counted from 0.

    `rule` is the update, by name and numbers, v and s starting at 0, g after decay:
    - ("caffe", mu): v <- mu v + lr g, w <- w - v;
    - ("momentum", mu): v <- mu v + g, w <- w - lr v, as in PyTorch and optax;
    - ("nesterov", mu): the same v, w <- w - lr (g + mu v);
    - ("rmsprop", rho, eps, mu), as in PyTorch: s <- rho s + (1 - rho) g^2,
      v <- mu v + g / (sqrt(s) + eps), w <- w - lr v;
    - ("rmsprop_tf", rho, eps, mu), as in TensorFlow: s starts at 1,
      v <- mu v + lr g / sqrt(s + eps), w <- w - v.

    `rate` is for batches of `reference` examples and is scaled to `batch` linearly.
    `schedule` multiplies it, t being the time and T the `length` of the run:
    - ("constant",);
    - ("steps", f, t1, t2, ...): f^k after k of the times;
    - ("every", f, t1): f^floor(t / t1);
    - ("power", p): (1 - t / T)^p;
    - ("cosine",): (1 + cos(pi (t - W) / (T - W))) / 2, W the end of the warm-up.
    `warmup` replaces it at first: ("linear", start, W) goes from the rate `start`,
    whatever the batch, to `rate`; ("constant", rate, W).

    `weight_decay` adds wd w to the gradient of: "all" parameters, "kernels" (no bias,
    no norm), or all but those of norms ("not_norms"). Rates of biases are `bias_factor`
    times the others'. `rates` gives parameters a rate of their own: (pattern, stages),
    a shell pattern of the path, as "conv1/kernel" or "*/bias"; the first that fits
    holds. A rate of 0 freezes. `clip` bounds the norm of the whole gradient, before
    decay; `filter_rms` the root mean square of each filter, after each update; 0 is no
    bound. `ema` is the decay of the average of the weights, 0 for none. `aux_weight`,
    `smoothing` (of labels) and `pca_noise` (std of alpha) are 0 where unused.
    `augmentation` names a row of the data room, `scheme` an initialisation ("" is the
    model's own) and `compute` the dtype of products.
    """

    source: str
    rate: float
    batch: int
    reference: int
    length: float
    unit: str = "epochs"
    schedule: tuple[Scalar, ...] = ("constant",)
    warmup: tuple[Scalar, ...] = ()
    rule: tuple[Scalar, ...] = ("momentum", 0.9)
    weight_decay: float = 0.0
    decays: str = "all"
    bias_factor: float = 1.0
    rates: tuple[tuple[str, Stages], ...] = ()
    clip: float = 0.0
    filter_rms: float = 0.0
    smoothing: float = 0.0
    ema: float = 0.0
    aux_weight: float = 0.0
    augmentation: str = "none"
    pca_noise: float = 0.0
    scheme: str = ""
    compute: str = "float32"


_ALEXNET = Recipe(
    source="Krizhevsky et al. 2012, section 5; log of the released net 145",
    rate=0.01,
    batch=128,
    reference=128,
    length=91,  # log; "roughly 90 cycles" in the paper
    schedule=("steps", 0.1, 25, 51, 79),  # log; "three times" in the paper
    rule=("caffe", 0.9),
    weight_decay=5e-4,
    decays="kernels",  # released code; the paper has no word on biases
    # Log and final configuration, not in the paper: only the weights' rate falls,
    # and the first layer stops before the others.
    rates=(
        ("conv1/kernel", ((67, 1e-5), (72, 0.0))),
        ("conv1/bias", ((0, 0.02), (72, 0.0))),
        ("*/bias", ((0, 0.02),)),
    ),
    augmentation="alexnet",
    pca_noise=0.1,  # the log turns it off at epoch 67
)

_RESNET_CIFAR = Recipe(
    source="He et al. 2016a, section 4.2",
    rate=0.1,
    batch=128,
    reference=128,
    length=64_000,
    unit="updates",
    schedule=("steps", 0.1, 32_000, 48_000),
    rule=("caffe", 0.9),  # the form is not in the paper; its framework's
    weight_decay=1e-4,
    decays="not_norms",  # as in "resnet"
    augmentation="cifar",
    scheme="he_normal",
)

_GOOGLENET_CAFFE = Recipe(
    source="Caffe bvlc_googlenet [solver.prototxt]",
    rate=0.01,
    batch=32,
    reference=32,
    length=10_000_000,  # 250 epochs
    unit="updates",
    schedule=("every", 0.96, 320_000),  # 8 epochs
    rule=("caffe", 0.9),
    weight_decay=2e-4,
    decays="kernels",
    bias_factor=2.0,
    aux_weight=0.3,
    augmentation="alexnet",  # a random crop of 224 and a flip
    scheme="caffe_xavier_bias_0.2",
)

RECIPES: dict[str, Recipe] = {
    "alexnet_2012": _ALEXNET,
    "alexnet_caffe": Recipe(
        source="Caffe bvlc_alexnet [solver.prototxt]",
        rate=0.01,
        batch=256,
        reference=256,
        length=450_000,  # 90 epochs
        unit="updates",
        schedule=("every", 0.1, 100_000),
        rule=("caffe", 0.9),
        weight_decay=5e-4,
        decays="kernels",
        bias_factor=2.0,
        augmentation="alexnet",
    ),
    "zfnet": Recipe(
        source="Zeiler & Fergus 2014, section 3.1",
        rate=0.01,
        batch=128,
        reference=128,
        length=70,
        # Annealed by hand when the validation error stood still; dates not in paper.
        schedule=("steps", 0.1, 30, 50, 60),
        rule=("caffe", 0.9),  # the form is not in the paper; AlexNet's code
        weight_decay=0.0,  # not mentioned in the paper
        filter_rms=0.1,
        augmentation="alexnet",  # the paper's 10 fixed crops, drawn at random
        scheme="normal_0.01",
    ),
    "vgg": Recipe(
        source="Simonyan & Zisserman 2015, section 3.1",
        rate=0.01,
        batch=256,
        reference=256,
        length=74,
        # Three times when the validation accuracy stood still; dates not in paper.
        schedule=("steps", 0.1, 20, 40, 60),
        rule=("caffe", 0.9),  # the form is not in the paper; its framework's
        weight_decay=5e-4,
        decays="kernels",  # not in the paper; its framework's habit
        augmentation="vgg",
        pca_noise=0.1,  # "random RGB colour shift", after Krizhevsky et al.
        scheme="glorot_normal",  # which the paper found to make pre-training needless
    ),
    "googlenet": Recipe(
        source="Szegedy et al. 2015, section 6",
        rate=0.01,  # not in the paper; Caffe's
        batch=32,  # not in the paper; Caffe's
        reference=32,
        length=250,  # not in the paper; Caffe's
        schedule=("every", 0.96, 8),
        rule=("momentum", 0.9),  # asynchronous in the paper
        weight_decay=2e-4,  # not in the paper; Caffe's
        decays="kernels",  # not in the paper; Caffe's
        ema=0.9999,  # Polyak averaging; window not in paper, its authors' later code's
        aux_weight=0.3,
        augmentation="inception",
        scheme="caffe_xavier_bias_0.2",  # not in the paper; Caffe's
    ),
    "googlenet_caffe": _GOOGLENET_CAFFE,
    "googlenet_caffe_quick": _GOOGLENET_CAFFE._replace(
        source="Caffe bvlc_googlenet [quick_solver.prototxt]",
        length=2_400_000,  # 60 epochs
        schedule=("power", 0.5),
    ),
    "resnet": Recipe(
        source="He et al. 2016a, section 3.4",
        rate=0.1,
        batch=256,
        reference=256,
        length=120,  # "up to 60 10^4 iterations"
        # "When the error plateaus"; dates not in the paper, fb.resnet.torch's.
        schedule=("steps", 0.1, 30, 60, 90),
        rule=("caffe", 0.9),  # the form is not in the paper; its framework's
        weight_decay=1e-4,
        decays="not_norms",  # as Goyal et al. 2017, section 5.1, report
        augmentation="resnet",
        pca_noise=0.1,
        scheme="he_normal",
    ),
    "resnet_torch": Recipe(
        source="fb.resnet.torch, opts.lua and train.lua",
        rate=0.1,
        batch=256,
        reference=256,
        length=90,
        schedule=("steps", 0.1, 30, 60),
        rule=("nesterov", 0.9),
        weight_decay=1e-4,
        augmentation="torchvision",
        pca_noise=0.1,
        scheme="he_normal_fan_out",
    ),
    "resnet_cifar": _RESNET_CIFAR,
    "resnet_cifar_110": _RESNET_CIFAR._replace(
        # Until the training error is below 80 %: "about 400 iterations".
        warmup=("constant", 0.01, 400),
    ),
    "inception_v3": Recipe(
        source="Szegedy et al. 2016, section 8; TensorFlow's released code",
        rate=0.045,
        batch=32,  # of each of 50 asynchronous replicas
        reference=32,
        length=100,
        schedule=("every", 0.94, 2),
        rule=("rmsprop_tf", 0.9, 1.0, 0.9),  # the momentum is the released code's
        weight_decay=4e-5,  # not in the paper; the released code's, from memory
        decays="kernels",  # not in the paper; the released code's, from memory
        clip=2.0,
        smoothing=0.1,
        ema=0.9999,  # decay not in the paper; the released code's
        aux_weight=0.4,  # not in the paper; the released code's
        augmentation="inception",
    ),
    "large_batch": Recipe(
        source="Goyal et al. 2017, sections 2.1, 2.2 and 5.1",
        rate=0.1,
        batch=8192,
        reference=256,
        length=90,
        schedule=("steps", 0.1, 30, 60, 80),
        warmup=("linear", 0.1, 5),
        rule=("nesterov", 0.9),
        weight_decay=1e-4,
        decays="not_norms",
        augmentation="torchvision",
        scheme="he_normal",
    ),
    # A ResNet-18 from scratch on a few thousand images; no paper.
    "small": Recipe(
        source="jnets",
        rate=0.05,
        batch=32,
        reference=32,
        length=24,
        schedule=("cosine",),
        warmup=("linear", 0.0, 2),
        rule=("nesterov", 0.9),
        weight_decay=5e-4,
        decays="kernels",
        smoothing=0.1,
        ema=0.998,
        augmentation="small",
    ),
}


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`; an InputError lists the names there are."""
    if name not in RECIPES:
        raise InputError(f"recipe={name!r} is unknown; expected one of {[*RECIPES]}")
    return RECIPES[name]


def as_recipe(fields: Mapping[str, Any]) -> Recipe:
    """A recipe from its fields as they come back from JSON, lists for tuples.

    `as_recipe(json.loads(json.dumps(recipe._asdict()))) == recipe`. Errors: InputError
    for a field that is unknown or missing.
    """
    unknown = sorted(set(fields) - set(Recipe._fields))
    required = set(Recipe._fields) - set(Recipe._field_defaults)
    missing = sorted(required - set(fields))
    if unknown or missing:
        raise InputError(f"recipe has unknown fields {unknown}, lacks {missing}")
    return Recipe(**{name: _tuples(value) for name, value in fields.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
