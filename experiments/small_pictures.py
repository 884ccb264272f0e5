"""The net that reads the small pictures which are made here: a VGG of six layers.

With batch norm: without it the nets that must tell where something is, or how it moves
from picture to picture, find no gradient to begin with.
"""

from typing import Any

ENCODER = "vgg11_bn"
FIELDS: dict[str, Any] = {  # for pictures of 32 pixels
    "blocks": [[16, 16], [32, 32], [64, 64]],
    "hidden": [256],
    "map_size": 4,
    "dropout": 0.0,
    "fc_scheme": "he_normal",
}
