"""ZFNet: AlexNet with a smaller, denser first layer, as rows for its module.

M. D. Zeiler, R. Fergus. Visualizing and understanding convolutional networks. ECCV
2014 (arXiv 1311.2901), figure 3 and section 5.1.

These also stand in for Clarifai, which won ILSVRC-2013 and comes from one of the
authors, but whose architecture was not published.
"""

from typing import Any

from jnets.models.alexnet import POOLED, POOLED_FIRST, RELU


def _rows(third: int, fourth: int, fifth: int):
    return (  # sizes at 224 x 224 images; pools of 3 x 3, stride 2, in ceil mode
        (96, 7, 2, 1, 1, POOLED_FIRST),  # 110 x 110 x 96, pooled 55 x 55
        (256, 5, 2, 0, 1, POOLED_FIRST),  # 26 x 26 x 256, pooled 13 x 13
        (third, 3, 1, 1, 1, RELU),  # 13 x 13
        (fourth, 3, 1, 1, 1, RELU),
        (fifth, 3, 1, 1, 1, POOLED),  # pooled 6 x 6
    )


# The paper does not give the constants of its normalisation across maps: they are
# AlexNet's here, whose architecture the paper starts from.
_SCHEMES = ("normal_0.01",) * 8  # section 3: all biases start at 0

ZFNETS: dict[str, dict[str, Any]] = {
    "zfnet": {"stages": _rows(384, 384, 256), "schemes": _SCHEMES},
    # Table 2, net (b): wider layers 3, 4 and 5.
    "zfnet_512_1024_512": {"stages": _rows(512, 1024, 512), "schemes": _SCHEMES},
}
