"""torchvision's pictures by PyTorch's DataLoader, for side by side timing."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader  # pyright: ignore[reportMissingImports]

from benchmarks import torch_models  # noqa: F401, makes torchvision importable

from torchvision import datasets, transforms  # pyright: ignore # isort: skip


class Pictures(datasets.ImageFolder):
    """Of this module: a worker that unpickles it imports torchvision as here."""


def batches(
    root: Path, batch: int, size: int, workers: int
) -> Generator[np.ndarray, None, None]:
    """uint8 [B, 3, size, size], shuffled, epoch after epoch."""
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
        ]
    )
    loader = DataLoader(
        Pictures(str(root), augment),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
    while True:
        for images, _ in loader:
            yield images.numpy()
