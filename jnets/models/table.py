"""Every model by name. A model is described by plain data: its name and its fields."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn

from jnets.models.alexnet import ALEXNETS, AlexNet
from jnets.models.attention_seq2seq import AttentionSeq2Seq
from jnets.models.googlenet import GoogLeNet
from jnets.models.inception_v3 import InceptionV3
from jnets.models.lenet import LeNet, LeNet1998
from jnets.models.mlp import MLP
from jnets.models.resnet import ResNet
from jnets.models.resnet_v2 import PreActResNet
from jnets.models.seq2seq import Seq2Seq
from jnets.models.surname_rnn import SurnameRNN
from jnets.models.vgg import VGG, VGGS
from jnets.models.zfnet import ZFNETS


class Entry(NamedTuple):
    """A model's module, the fields that make the variant, and what it reads.

    `inputs` are (shape without the batch axis, dtype) of each argument. `pixels` is how
    the published weights of the variant want colours, a row of
    `jnets.ops.colour.PIXELS`.
    """

    module: type[nn.Module]
    fields: Mapping[str, Any]
    inputs: tuple[tuple[tuple[int, ...], str], ...]
    summary: str
    pixels: str = "torchvision"


_GREY_32 = (((32, 32, 1), "float32"),)
_GREY_28 = (((28, 28, 1), "float32"),)
_RGB_224 = (((224, 224, 3), "float32"),)
_RGB_227 = (((227, 227, 3), "float32"),)
_RGB_299 = (((299, 299, 3), "float32"),)
_RGB_32 = (((32, 32, 3), "float32"),)
_NAME = (((19,), "int32"), ((), "int32"))  # letters of the longest name, its length
# Source and its length, and the target as far as it is read.
_PAIR = (((8,), "int32"), ((), "int32"), ((8,), "int32"))


_GOOGLENET_BN = {
    "norm": True,
    "scheme": "he_normal_fan_out",
    "fc_scheme": "normal_0.01",
}
_GOOGLENET_TORCHVISION = {
    "filters": "3x3",
    "norm": True,
    "pool4": 2,
    "adaptive": True,
    "dropout": 0.2,
    "scheme": "normal_0.01",
    "fc_scheme": "normal_0.01",
}
_BASIC_18 = {"block": "basic", "blocks": (2, 2, 2, 2)}
_BASIC_34 = {"block": "basic", "blocks": (3, 4, 6, 3)}
_R50, _R101 = {"blocks": (3, 4, 6, 3)}, {"blocks": (3, 4, 23, 3)}
_R152, _R200 = {"blocks": (3, 8, 36, 3)}, {"blocks": (3, 24, 36, 3)}


def _cifar(count: int, shortcut: str = "A") -> dict[str, Any]:
    """He et al. 2015, section 4.2: 6 count + 2 layers."""
    return {
        "block": "basic",
        "blocks": (count,) * 3,
        "widths": (16, 32, 64),
        "stem": "cifar",
        "shortcut": shortcut,
        "classes": 10,
        "scheme": "he_normal",
    }


def _cifar_v2(count: int) -> dict[str, Any]:
    """He et al. 2016, section 4.1: 9 count + 2 layers."""
    return {
        "blocks": (count,) * 3,
        "widths": (16, 32, 64),
        "stem": "cifar",
        "version": "v1",
        "classes": 10,
        "scheme": "he_normal",
    }


MODELS: dict[str, Entry] = {
    "mlp": Entry(MLP, {}, _GREY_28, "multilayer perceptron, dropout"),
    "lenet5_1998": Entry(LeNet1998, {}, _GREY_32, "LeNet-5 as published"),
    "lenet5": Entry(
        LeNet,
        {"names": ("C1", "S2", "C3", "S4", "C5", "F6", "OUT")},
        _GREY_32,
        "LeNet-5 with plain pooling, logits",
    ),
    "lenet_caffe": Entry(
        LeNet,
        {
            "names": ("conv1", "pool1", "conv2", "pool2", "ip1", "ip2"),
            "maps": (20, 50),
            "hidden": (500,),
            "squash_maps": False,
            "scheme": "caffe_xavier",
        },
        _GREY_28,
        "LeNet of Caffe's MNIST example",
    ),
    "surname_rnn": Entry(
        SurnameRNN, {}, _NAME, "the lecture's linear RNN over letters"
    ),
    "surname_rnn_tanh": Entry(
        SurnameRNN,
        {"activation": "tanh"},
        _NAME,
        "the same with tanh in the recurrence",
    ),
    "seq2seq": Entry(Seq2Seq, {}, _PAIR, "translation by two stacks of LSTMs"),
    "attention_seq2seq": Entry(
        AttentionSeq2Seq, {}, _PAIR, "translation by learning to align (RNNsearch-50)"
    ),
    "alexnet_2012": Entry(
        AlexNet,
        ALEXNETS["alexnet_2012"],
        _RGB_224,
        "AlexNet as published",
    ),
    "alexnet_ungrouped": Entry(
        AlexNet, ALEXNETS["alexnet_ungrouped"], _RGB_224, "the same without groups"
    ),
    "alexnet_caffe": Entry(
        AlexNet,
        ALEXNETS["alexnet_caffe"],
        _RGB_227,
        "AlexNet of Caffe's model zoo",
        "caffe",
    ),
    "caffenet": Entry(
        AlexNet,
        ALEXNETS["caffenet"],
        _RGB_227,
        "the same, pooled before its norms",
        "caffe",
    ),
    "alexnet": Entry(
        AlexNet,
        ALEXNETS["alexnet"],
        _RGB_224,
        "AlexNet, torchvision's: one tower",
    ),
    "zfnet": Entry(AlexNet, ZFNETS["zfnet"], _RGB_224, "ZFNet; stands in for Clarifai"),
    "zfnet_512_1024_512": Entry(
        AlexNet,
        ZFNETS["zfnet_512_1024_512"],
        _RGB_224,
        "the same with wider layers 3 to 5",
    ),
    "vgg11": Entry(VGG, VGGS["vgg11"], _RGB_224, "VGG A"),
    "vgg11_lrn": Entry(VGG, VGGS["vgg11_lrn"], _RGB_224, "VGG A-LRN"),
    "vgg13": Entry(VGG, VGGS["vgg13"], _RGB_224, "VGG B"),
    "vgg16_c": Entry(VGG, VGGS["vgg16_c"], _RGB_224, "VGG C"),
    "vgg16": Entry(VGG, VGGS["vgg16"], _RGB_224, "VGG D"),
    "vgg19": Entry(VGG, VGGS["vgg19"], _RGB_224, "VGG E"),
    "vgg11_bn": Entry(VGG, VGGS["vgg11_bn"], _RGB_224, "VGG A with batch norm"),
    "vgg13_bn": Entry(VGG, VGGS["vgg13_bn"], _RGB_224, "VGG B with batch norm"),
    "vgg16_c_bn": Entry(VGG, VGGS["vgg16_c_bn"], _RGB_224, "VGG C with batch norm"),
    "vgg16_bn": Entry(VGG, VGGS["vgg16_bn"], _RGB_224, "VGG D with batch norm"),
    "vgg19_bn": Entry(VGG, VGGS["vgg19_bn"], _RGB_224, "VGG E with batch norm"),
    "googlenet_paper": Entry(
        GoogLeNet, {}, _RGB_224, "GoogLeNet as published, and Caffe's"
    ),
    "googlenet_paper_separable": Entry(
        GoogLeNet,
        {"separable": True},
        _RGB_224,
        "the same with its table's stem",
    ),
    "googlenet_bn": Entry(
        GoogLeNet, _GOOGLENET_BN, _RGB_224, "the same with batch norm"
    ),
    "googlenet": Entry(
        GoogLeNet,
        _GOOGLENET_TORCHVISION,
        _RGB_224,
        "GoogLeNet, torchvision's: 3x3 for 5x5",
        "inception",
    ),
    "inception_v3": Entry(
        InceptionV3, {}, _RGB_299, "Inception-v3, torchvision's", "inception"
    ),
    "resnet18": Entry(ResNet, _BASIC_18, _RGB_224, "ResNet-18, torchvision's (v1.5)"),
    "resnet34": Entry(ResNet, _BASIC_34, _RGB_224, "ResNet-34, torchvision's (v1.5)"),
    "resnet50": Entry(ResNet, _R50, _RGB_224, "ResNet-50, torchvision's (v1.5)"),
    "resnet101": Entry(ResNet, _R101, _RGB_224, "ResNet-101, torchvision's (v1.5)"),
    "resnet152": Entry(ResNet, _R152, _RGB_224, "ResNet-152, torchvision's (v1.5)"),
    "resnet200": Entry(ResNet, _R200, _RGB_224, "ResNet-200, v1.5"),
    "resnet50_v1": Entry(
        ResNet, _R50 | {"version": "v1"}, _RGB_224, "ResNet-50 as published"
    ),
    "resnet101_v1": Entry(
        ResNet, _R101 | {"version": "v1"}, _RGB_224, "ResNet-101 as published"
    ),
    "resnet152_v1": Entry(
        ResNet, _R152 | {"version": "v1"}, _RGB_224, "ResNet-152 as published"
    ),
    "resnet50_caffe": Entry(
        ResNet,
        _R50 | {"version": "v1", "stem": "caffe", "conv1_bias": True},
        _RGB_224,
        "ResNet-50 as released for Caffe",
        "caffe",
    ),
    "resnet18_a": Entry(
        ResNet,
        _BASIC_18 | {"shortcut": "A"},
        _RGB_224,
        "ResNet-18, shortcuts of kind A",
    ),
    "resnet34_a": Entry(
        ResNet,
        _BASIC_34 | {"shortcut": "A"},
        _RGB_224,
        "ResNet-34, shortcuts of kind A",
    ),
    "resnet34_c": Entry(
        ResNet,
        _BASIC_34 | {"shortcut": "C"},
        _RGB_224,
        "ResNet-34, shortcuts of kind C",
    ),
    "plain18": Entry(
        ResNet,
        _BASIC_18 | {"shortcut": "none"},
        _RGB_224,
        "ResNet-18 without shortcuts",
    ),
    "plain34": Entry(
        ResNet,
        _BASIC_34 | {"shortcut": "none"},
        _RGB_224,
        "ResNet-34 without shortcuts",
    ),
    "preact_resnet18": Entry(
        PreActResNet, _BASIC_18, _RGB_224, "pre-activation ResNet-18"
    ),
    "preact_resnet34": Entry(
        PreActResNet, _BASIC_34, _RGB_224, "pre-activation ResNet-34"
    ),
    "preact_resnet50": Entry(PreActResNet, _R50, _RGB_224, "pre-activation ResNet-50"),
    "preact_resnet101": Entry(
        PreActResNet, _R101, _RGB_224, "pre-activation ResNet-101"
    ),
    "preact_resnet152": Entry(
        PreActResNet, _R152, _RGB_224, "pre-activation ResNet-152"
    ),
    "preact_resnet200": Entry(
        PreActResNet, _R200, _RGB_224, "pre-activation ResNet-200"
    ),
    "cifar_resnet20": Entry(ResNet, _cifar(3), _RGB_32, "ResNet-20 for CIFAR"),
    "cifar_resnet32": Entry(ResNet, _cifar(5), _RGB_32, "ResNet-32 for CIFAR"),
    "cifar_resnet44": Entry(ResNet, _cifar(7), _RGB_32, "ResNet-44 for CIFAR"),
    "cifar_resnet56": Entry(ResNet, _cifar(9), _RGB_32, "ResNet-56 for CIFAR"),
    "cifar_resnet110": Entry(ResNet, _cifar(18), _RGB_32, "ResNet-110 for CIFAR"),
    "cifar_resnet1202": Entry(ResNet, _cifar(200), _RGB_32, "ResNet-1202 for CIFAR"),
    "cifar_plain20": Entry(
        ResNet, _cifar(3, "none"), _RGB_32, "the same without shortcuts"
    ),
    "cifar_plain32": Entry(
        ResNet, _cifar(5, "none"), _RGB_32, "the same without shortcuts"
    ),
    "cifar_plain44": Entry(
        ResNet, _cifar(7, "none"), _RGB_32, "the same without shortcuts"
    ),
    "cifar_plain56": Entry(
        ResNet, _cifar(9, "none"), _RGB_32, "the same without shortcuts"
    ),
    "cifar_preact_resnet164": Entry(
        PreActResNet, _cifar_v2(18), _RGB_32, "pre-activation ResNet-164 for CIFAR"
    ),
    "cifar_preact_resnet1001": Entry(
        PreActResNet, _cifar_v2(111), _RGB_32, "pre-activation ResNet-1001 for CIFAR"
    ),
}
