"""Pictures with what was told of them."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from experiments.plots import GREY, ORANGE, _save

_GREEN = "#2d7d46"


def captions(
    images: np.ndarray,
    told: Sequence[str],
    references: Sequence[Sequence[str]],
    path: Path,
    *,
    title: str,
) -> None:
    """Pictures [N, H, W, 3] with their captions under them: green as a person's, orange
    otherwise, with what a person wrote in grey below."""
    columns = min(len(images), 6)
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.1 * columns, 2.75 * rows), squeeze=False
    )
    figure.suptitle(title, x=0.02, ha="left")
    for cell in axes.flat:
        cell.axis("off")
    for cell, image, text, known in zip(
        axes.flat, images, told, references, strict=False
    ):
        cell.imshow(image)
        right = text in known
        below = _wrapped(text, 26)
        cell.text(
            0.5, -0.04, below, transform=cell.transAxes, ha="center", va="top",
            fontsize=7.5, color=_GREEN if right else ORANGE,
        )  # fmt: skip
        if not right:
            lines = below.count("\n") + 1
            cell.text(
                0.5, -0.04 - 0.095 * lines, _wrapped(known[0], 26),
                transform=cell.transAxes, ha="center", va="top", fontsize=7.5,
                color=GREY,
            )  # fmt: skip
    figure.tight_layout(h_pad=2.2)
    _save(figure, path)


def attention(
    image: np.ndarray, words: Sequence[str], maps: np.ndarray, path: Path, *, title: str
) -> None:
    """A picture [H, W, 3], and where the model looked, [words, h, w], at each word."""
    columns = min(len(words) + 1, 6)
    rows = -(-(len(words) + 1) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.8 * columns, 2.05 * rows), squeeze=False
    )
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    for cell in axes.flat:
        cell.axis("off")
    axes.flat[0].imshow(image)
    side = image.shape[0]
    for cell, word, weights in zip(axes.flat[1:], words, maps, strict=False):
        cell.imshow(image)
        cell.imshow(
            weights, cmap="inferno", alpha=0.65, interpolation="bilinear",
            extent=(-0.5, side - 0.5, side - 0.5, -0.5), vmin=0,
        )  # fmt: skip
        cell.set_title(word, fontsize=9)
    figure.tight_layout()
    _save(figure, path)


def stories(
    albums: np.ndarray,
    told: Sequence[Sequence[str]],
    known: Sequence[Sequence[str]],
    path: Path,
    *,
    title: str,
) -> None:
    """Albums [N, P, H, W, 3], a row each, with their sentences under the pictures:
    green as a person's, orange otherwise, with the person's in grey below."""
    rows, columns = albums.shape[:2]
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.1 * columns, 2.6 * rows), squeeze=False
    )
    figure.suptitle(title, x=0.02, ha="left")
    for i in range(rows):
        for k, cell in enumerate(axes[i]):
            cell.axis("off")
            cell.imshow(albums[i, k])
            text = told[i][k] if k < len(told[i]) else ""
            right = text == known[i][k]
            below = _wrapped(text, 24) + ("" if right else "\n")
            cell.text(
                0.5, -0.04, below, transform=cell.transAxes, ha="center", va="top",
                fontsize=7.5, color=_GREEN if right else ORANGE,
            )  # fmt: skip
            if not right:
                cell.text(
                    0.5, -0.04 - 0.095 * below.count("\n"), _wrapped(known[i][k], 24),
                    transform=cell.transAxes, ha="center", va="top", fontsize=7.5,
                    color=GREY,
                )  # fmt: skip
    figure.tight_layout(h_pad=1.8)
    _save(figure, path)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)[:5])
