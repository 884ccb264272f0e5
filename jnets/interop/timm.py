"""The names of PyTorch Image Models (timm) in place of torchvision's.

Covered are the models that both have, where timm differs by names and shapes alone:

- ResNets (`resnet18` to `resnet152`, also as `tv_` and `gluon_..._v1b`): timm has
  torchvision's names. Its variants with other stems or shortcuts (`c`, `d`, `s`, `t`)
  are other models.
- VGG (`vgg11` to `vgg19`, `_bn`): fc6 and fc7 are convolutions, fc8 is `head.fc`.
- `inception_v3` (also `tf_`, `adv_`, `gluon_`): torchvision's names, as a rule without
  the auxiliary head. Files ported from TensorFlow may have 1,001 classes, of which the
  first is none of ImageNet's.

Source: timm/models/{resnet,vgg,inception_v3}.py.
"""

from collections.abc import Mapping
from typing import Any

from jnets.interop.rows import VGG

VGG_NAMES = {
    "pre_logits.fc1": "classifier.0",
    "pre_logits.fc2": "classifier.3",
    "head.fc": "classifier.6",
}


def from_timm(name: str, state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """timm's state dict of the model `name` under torchvision's names and shapes.

    For `jnets.interop.torchvision.to_variables`, which checks what it gets. A state
    dict that has torchvision's names already is passed on as it is.
    """
    if name.removesuffix("_bn") not in VGG:
        return dict(state_dict)
    renamed = {}
    for source, tensor in state_dict.items():
        layer, _, part = source.rpartition(".")
        if layer in VGG_NAMES and part == "weight":
            tensor = tensor.reshape(tensor.shape[0], -1)
        renamed[f"{VGG_NAMES.get(layer, layer)}.{part}"] = tensor
    return renamed
