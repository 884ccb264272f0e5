"""The lecture's PyTorch program, in today's spelling, for side by side timing.

As on the slides: one name at a time, one-hot letters, a linear recurrence, NLL of the
last output, and `p -= 0.005 * gradient` by hand. The one-hot tensors are made before
the clock starts, which favours this program.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

RATE = 0.005


class RNN(nn.Module):
    """i2h and i2o on the concatenation of letter and previous hidden state."""

    def __init__(self, letters: int, hidden: int, classes: int):
        super().__init__()
        self.hidden_size = hidden
        self.i2h = nn.Linear(letters + hidden, hidden)
        self.i2o = nn.Linear(letters + hidden, classes)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, letter, hidden):
        combined = torch.cat((letter, hidden), 1)
        return self.softmax(self.i2o(combined)), self.i2h(combined)

    def load(self, params: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Take parameters of jnets: kernels [in, out]; PyTorch has [out, in]."""
        for name, layer in (("i2h", self.i2h), ("i2o", self.i2o)):
            layer.weight.data = torch.tensor(np.asarray(params[name]["kernel"]).T)
            layer.bias.data = torch.tensor(np.asarray(params[name]["bias"]))


Example = tuple[torch.Tensor, torch.Tensor]


def examples(
    tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray, letters: int
) -> list[Example]:
    """(class [1], one-hot letters [length, 1, letters]) of every name."""
    eye = torch.eye(letters)
    return [
        (torch.tensor([int(label)]), eye[row[:length]][:, None])
        for row, length, label in zip(tokens, lengths, labels, strict=True)
    ]


def update(rnn: RNN, criterion: nn.Module, category, line) -> float:
    """The slides' `train`; returns the loss."""
    hidden = torch.zeros(1, rnn.hidden_size)
    rnn.zero_grad()
    for letter in line:
        output, hidden = rnn(letter, hidden)
    loss = criterion(output, category)
    loss.backward()
    for p in rnn.parameters():
        if p.grad is not None:  # a name of one letter does not use i2h
            p.data.add_(p.grad.data, alpha=-RATE)
    return loss.item()


def run(rnn: RNN, drawn: Sequence[Example]) -> list[float]:
    """One update per example; the losses."""
    criterion = nn.NLLLoss()
    return [update(rnn, criterion, category, line) for category, line in drawn]
