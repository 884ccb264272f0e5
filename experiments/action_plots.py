"""Pictures of videos and of what was said about their frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from experiments.plots import GREY, ORANGE, _save, plt

SHOWN = 16  # frames of a video
MOST = 8  # classes beside a video
NAMES = {"test": "LSTM over frames", "single_frame": "each frame alone"}


def strips(
    videos: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    probabilities: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
    path: Path,
) -> None:
    """Frames [n, H, W, 3] side by side, and under each how likely it makes each class:
    a map of classes by frames for every net, the darker the surer. The true class of a
    frame has a frame around it."""
    rows = 1 + len(probabilities)
    shown = min(len(classes), MOST)
    heights = [1.0, *[0.16 * shown] * len(probabilities)] * len(videos)
    figure, axes = plt.subplots(
        rows * len(videos),
        1,
        figsize=(10.5, 0.8 * sum(heights)),
        gridspec_kw={"height_ratios": heights, "hspace": 0.12},
        squeeze=False,
    )
    for i, (video, truth) in enumerate(zip(videos, labels, strict=True)):
        first, *others = axes[rows * i : rows * (i + 1), 0]
        count = min(len(video), SHOWN)
        height, width = video.shape[1:3]
        first.imshow(
            np.concatenate([frame for frame in video[:count]], axis=1),
            extent=(-0.5, count - 0.5, 0, height / width),
            aspect="auto",
            interpolation="nearest",
        )
        for edge in np.arange(0.5, count - 1):
            first.axvline(edge, color=GREY, linewidth=0.6)
        first.set_axis_off()
        for axis, (name, found) in zip(others, probabilities.items(), strict=True):
            _likely(axis, found[i][:count], truth[:count], classes, name)
    _save(figure, path)


def _likely(axis, p: np.ndarray, truth: np.ndarray, classes, name: str) -> None:
    """The likeliest classes of a video, in their own order, by its frames."""
    kept = np.sort(np.argsort(-p.max(axis=0), kind="stable")[:MOST])
    axis.imshow(p[:, kept].T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xlim(-0.5, len(p) - 0.5)
    axis.set_yticks(range(len(kept)), [classes[k] for k in kept], fontsize=6)
    axis.set_xticks([])
    axis.set_ylabel(NAMES[name].replace(" ", "\n", 1), fontsize=7)
    for frame, label in enumerate(truth):
        if label in kept:
            row = int(np.flatnonzero(kept == label)[0])
            box = Rectangle(
                (frame - 0.5, row - 0.5), 1, 1, fill=False, color=ORANGE, linewidth=1.2
            )
            axis.add_patch(box)
