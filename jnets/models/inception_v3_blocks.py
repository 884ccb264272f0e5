"""The blocks of Inception-v3 as tables of branches, in torchvision's form and names.

C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna. Rethinking the Inception
architecture for computer vision. CVPR 2016, figures 4 to 7 and 10.

Axes: B batch, then height, width, channels. Sizes in comments are for 299 x 299 images.
A kernel or a padding (1, 7) has height 1 and width 7.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One convolution with its batch norm and rectifier."""

    name: str
    features: int
    kernel: tuple[int, int]
    stride: int = 1
    padding: tuple[int, int] = (0, 0)


class Pooling(NamedTuple):
    """One pooling of 3x3; averages count the padding."""

    name: str
    kind: str
    stride: int
    padding: int


# A branch is a sequence of steps: a Row, a Pooling, or a table of branches that run
# side by side and are concatenated. A block is such a table.
Branch = tuple
Table = tuple[Branch, ...]

AVERAGE = Pooling("pool", "average", 1, 1)
SHRINK = Pooling("pool", "max", 2, 0)


def _figure5(project: int) -> Table:
    """Figure 5, with the 5x5 of figure 4 in its second branch."""
    return (
        (Row("branch1x1", 64, (1, 1)),),
        (
            Row("branch5x5_1", 48, (1, 1)),
            Row("branch5x5_2", 64, (5, 5), 1, (2, 2)),
        ),
        (
            Row("branch3x3dbl_1", 64, (1, 1)),
            Row("branch3x3dbl_2", 96, (3, 3), 1, (1, 1)),
            Row("branch3x3dbl_3", 96, (3, 3), 1, (1, 1)),
        ),
        (AVERAGE, Row("branch_pool", project, (1, 1))),
    )


def _figure6(c7: int) -> Table:
    """Figure 6 for n = 7: a 7x7 as 1x7 and 7x1, through `c7` features."""
    return (
        (Row("branch1x1", 192, (1, 1)),),
        (
            Row("branch7x7_1", c7, (1, 1)),
            Row("branch7x7_2", c7, (1, 7), 1, (0, 3)),
            Row("branch7x7_3", 192, (7, 1), 1, (3, 0)),
        ),
        (
            Row("branch7x7dbl_1", c7, (1, 1)),
            Row("branch7x7dbl_2", c7, (7, 1), 1, (3, 0)),
            Row("branch7x7dbl_3", c7, (1, 7), 1, (0, 3)),
            Row("branch7x7dbl_4", c7, (7, 1), 1, (3, 0)),
            Row("branch7x7dbl_5", 192, (1, 7), 1, (0, 3)),
        ),
        (AVERAGE, Row("branch_pool", 192, (1, 1))),
    )


# Figure 7: 1x3 and 3x1 side by side, so that the representation is wide.
FIGURE7: Table = (
    (Row("branch1x1", 320, (1, 1)),),
    (
        Row("branch3x3_1", 384, (1, 1)),
        (
            (Row("branch3x3_2a", 384, (1, 3), 1, (0, 1)),),
            (Row("branch3x3_2b", 384, (3, 1), 1, (1, 0)),),
        ),
    ),
    (
        Row("branch3x3dbl_1", 448, (1, 1)),
        Row("branch3x3dbl_2", 384, (3, 3), 1, (1, 1)),
        (
            (Row("branch3x3dbl_3a", 384, (1, 3), 1, (0, 1)),),
            (Row("branch3x3dbl_3b", 384, (3, 1), 1, (1, 0)),),
        ),
    ),
    (AVERAGE, Row("branch_pool", 192, (1, 1))),
)

STEM: Branch = (
    Row("conv1a_3x3", 32, (3, 3), 2),  # B x 149 x 149 x 32
    Row("conv2a_3x3", 32, (3, 3)),  # B x 147 x 147 x 32
    Row("conv2b_3x3", 64, (3, 3), 1, (1, 1)),
    Pooling("pool1", "max", 2, 0),  # B x 73 x 73 x 64
    Row("conv3b_1x1", 80, (1, 1)),
    Row("conv4a_3x3", 192, (3, 3)),  # B x 71 x 71 x 192
    Pooling("pool2", "max", 2, 0),  # B x 35 x 35 x 192
)
MIXED: dict[str, Table] = {
    "5b": _figure5(32),  # B x 35 x 35 x 256
    "5c": _figure5(64),  # B x 35 x 35 x 288
    "5d": _figure5(64),
    "6a": (
        (Row("branch3x3", 384, (3, 3), 2),),
        (
            Row("branch3x3dbl_1", 64, (1, 1)),
            Row("branch3x3dbl_2", 96, (3, 3), 1, (1, 1)),
            Row("branch3x3dbl_3", 96, (3, 3), 2),
        ),
        (SHRINK,),
    ),  # B x 17 x 17 x 768
    "6b": _figure6(128),
    "6c": _figure6(160),
    "6d": _figure6(160),
    "6e": _figure6(192),
    "7a": (
        (
            Row("branch3x3_1", 192, (1, 1)),
            Row("branch3x3_2", 320, (3, 3), 2),
        ),
        (
            Row("branch7x7x3_1", 192, (1, 1)),
            Row("branch7x7x3_2", 192, (1, 7), 1, (0, 3)),
            Row("branch7x7x3_3", 192, (7, 1), 1, (3, 0)),
            Row("branch7x7x3_4", 192, (3, 3), 2),
        ),
        (SHRINK,),
    ),  # B x 8 x 8 x 1280
    "7b": FIGURE7,  # B x 8 x 8 x 2048
    "7c": FIGURE7,
}
