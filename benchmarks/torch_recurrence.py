"""torch.nn.LSTM, GRU and RNN for side by side timing; cuDNN's on a GPU."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

from benchmarks.recurrent_case import Case, Problem, problem
from benchmarks.recurrent_worker import PRODUCT, Calls, check

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def layer(case: Case, given: Problem) -> nn.RNNBase:
    """jnets' weights, transposed; the second bias is zero where it is not needed."""
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
    kinds["rnn_relu"] = partial(nn.RNN, nonlinearity="relu")
    net = kinds[case.cell](case.inputs, case.hidden)
    weights = given.weights
    second = np.zeros_like(weights.bias)
    if case.cell == "gru":
        second[2 * case.hidden :] = weights.pointwise[0]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    values = weights.input.T, weights.recurrent[0].T, weights.bias, second
    state = {n: torch.tensor(v) for n, v in zip(names, values, strict=True)}
    net.load_state_dict(state)
    return net.to(DEVICE)


def programs(case: Case, path: Path):
    """Calls and facts as those of JAX's libraries, on all threads and on one."""
    torch.backends.cuda.matmul.allow_tf32 = True  # cuDNN's RNNs do already, XLA does
    given = problem(case)
    net = layer(case, given)
    x, factor = (torch.tensor(a, device=DEVICE) for a in (given.x, given.factor))
    wanted = (*net.parameters(), x.requires_grad_())

    def hs() -> torch.Tensor:
        with _precision(case):
            return net(x)[0]

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return _done(hs())

    def both() -> tuple[torch.Tensor, ...]:
        found = hs()
        return _done(torch.autograd.grad(found, wanted, factor.to(found.dtype)))

    found = {"h": forward(), "d_x": both()[-1]}
    found = {name: value.float().cpu().numpy() for name, value in found.items()}
    facts = {"layout": "[T, B]", "apart": check(case, found, path, DEVICE == "cpu")}
    threads = len(os.sched_getaffinity(0))
    counts = {"torch": threads}
    if DEVICE == "cpu":  # small products are too small to share
        counts["torch, 1 thread"] = 1
    calls: dict[str, Calls] = {
        name: {"forward": _on(count, forward), "both": _on(count, both)}
        for name, count in counts.items()
    }
    peak, gflop = product(case)
    calls["product"] = {"peak": _on(threads, peak)}
    return calls, dict.fromkeys(counts, facts), gflop


def product(case: Case) -> tuple[Callable[[], Any], float]:
    """One large product, and its 10^9 operations."""
    n = PRODUCT["cpu" if DEVICE == "cpu" else "gpu"]
    a = torch.randn(n, n, device=DEVICE, dtype=getattr(torch, case.dtype))
    return lambda: _done(a @ a), 2 * n**3 / 1e9


def _precision(case: Case) -> AbstractContextManager:
    half = case.dtype == "bfloat16"
    return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=half)


def _done(result):
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return result


def _on(threads: int, call: Callable[[], Any]) -> Callable[[], Any]:
    def on() -> Any:
        torch.set_num_threads(threads)
        return call()

    return on
