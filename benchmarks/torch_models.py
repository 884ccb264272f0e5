"""torchvision's models, trained as people train them, for side by side timing.

    python -m benchmarks.torch_models resnet50 --batch 8 --size 224

prints the peak memory of training in MiB: what CUDA allocated or, on a CPU, where
PyTorch keeps no count, what the resident set grew by. Both are of a whole process.
"""

import argparse
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.timing import Program, Run

_register = torch.library.register_fake


def _register_own(name: str, *arguments: Any):
    """Leave out operators for detection, which another build of torch does not have."""
    if name.startswith("torchvision::"):
        return lambda function: function
    return _register(name, *arguments)


with mock.patch.object(torch.library, "register_fake", _register_own):
    from torchvision import models  # pyright: ignore[reportMissingImports]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Form -> whether images and kernels are NHWC, whether torch.compile is used.
FORMS = {
    "eager": (False, False),
    "channels_last": (True, False),
    "compile": (True, True),
}
AUX_WEIGHT = 0.3
# Their random draws of a truncated normal take longer than the timing.
_OPTIONS = {name: {"init_weights": False} for name in ("googlenet", "inception_v3")}


def has(model: str) -> bool:
    """Whether torchvision has a classifier of this name."""
    return model in models.list_models(module=models)


def program(run: Run, form: str) -> Program:
    """Forward, backward and SGD with momentum; and evaluation without gradients.

    In bfloat16 by autocast, with the weights in float32. On a GPU convolutions are
    chosen by cuDNN's benchmark mode, and float32 products may use TF32, as XLA's do.
    """
    channels_last, compiled = FORMS[form]
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = models.get_model(run.model, weights=None, **_OPTIONS.get(run.model, {}))
    net = net.to(DEVICE, memory_format=layout)
    images = torch.randn(run.batch, 3, run.size, run.size)
    images = images.to(DEVICE, memory_format=layout)
    labels = torch.randint(1000, (run.batch,), device=DEVICE)
    sgd = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, fused=True)
    call = torch.compile(net) if compiled else net

    def train() -> float:
        net.train()
        for _ in range(run.steps):
            sgd.zero_grad()
            with _precision(run.dtype):
                loss = _loss(call(images), labels)
            loss.backward()
            sgd.step()
        return loss.item()

    def infer() -> torch.Tensor:
        net.eval()
        with torch.inference_mode(), _precision(run.dtype):
            for _ in range(run.steps):
                logits = call(images)
            return logits.cpu()

    return Program(train, infer, sum(p.numel() for p in net.parameters()))


def _precision(dtype: str) -> AbstractContextManager:
    half = dtype == "bfloat16"
    return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=half)


def _loss(outputs, labels: torch.Tensor) -> torch.Tensor:
    if isinstance(outputs, torch.Tensor):
        return F.cross_entropy(outputs, labels)
    logits, *heads = outputs
    auxiliary = sum(F.cross_entropy(head, labels) for head in heads)
    return F.cross_entropy(logits, labels) + AUX_WEIGHT * auxiliary


def peak_mib(run: Run, form: str) -> float:
    before = _most_resident_kib()
    train = program(run, form).train
    train()
    train()
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return (_most_resident_kib() - before) / 2**10


def _most_resident_kib() -> int:
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    (kib,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--form", choices=FORMS, default="eager")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    run = Run(options.model, options.batch, options.size, options.dtype)
    print(round(peak_mib(run, options.form)))


if __name__ == "__main__":
    main()
