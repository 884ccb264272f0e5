"""Files of weights: name -> array, in the forms that PyTorch's users exchange."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jnets.errors import InputError
from jnets.interop.torch_file import STORAGES, read_torch, write_torch

SAFETENSORS, TORCH = (".safetensors",), (".pth", ".pt", ".bin")
# Where training scripts put the weights among the rest of their state.
WRAPPERS = ("state_dict", "model", "model_state_dict")


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a file of weights, by name: a PyTorch state dict as arrays.

    `.safetensors` is read by the library of that name (extra `experiments`). `.pth`,
    `.pt` and `.bin` are files of `torch.save`, in the form of PyTorch 1.6 and later or
    in the one before it; they are read without PyTorch and without running what is
    pickled in them. The state dict is the object itself, or stands under one of
    `WRAPPERS`; what stands beside it is left out, and so are entries that are no
    tensors. The prefix "module." that DataParallel gives to every name is removed.
    Arrays keep the dtype of the file, bfloat16 too, and may be read-only.

    Errors: InputError for a missing, damaged, foreign or big-endian file, and for one
    that holds pickled code or objects.
    """
    path = Path(path)
    if path.suffix not in SAFETENSORS + TORCH:
        raise _wrong_suffix(path)
    try:
        if path.suffix in SAFETENSORS:
            content = _read_safetensors(path)
        else:
            content = read_torch(path)
        tensors = _state_dict(content)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(f"path {str(path)!r} cannot be read: {why}") from error
    except InputError as error:
        raise InputError(f"path {str(path)!r} {error}") from error
    return _without_prefix(tensors)


def write(path: str | Path, tensors: Mapping[str, Any]) -> None:
    """Write name -> array to `.safetensors`, or to a `.pth` that PyTorch loads.

    `torch.load(path, weights_only=True)` reads the second as a state dict. The file
    appears whole or not at all. Errors: InputError for another ending of the name, a
    folder that cannot be written, or a dtype that the form does not have.
    """
    path = Path(path)
    if path.suffix not in SAFETENSORS + TORCH:
        raise _wrong_suffix(path)
    arrays = {k: np.asarray(v, order="C") for k, v in tensors.items()}
    for name, array in arrays.items():
        if array.dtype not in STORAGES.values():
            kinds = ", ".join(map(str, STORAGES.values()))
            raise InputError(f"tensor {name!r} is {array.dtype}; expected {kinds}")
    part = path.with_name(f"{path.name}.part")
    try:
        if path.suffix in SAFETENSORS:
            part.write_bytes(_safetensors().save(arrays))
        else:
            with part.open("wb") as file:
                write_torch(file, arrays)
        os.replace(part, path)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(f"path {str(path)!r} cannot be written: {why}") from error
    except InputError as error:
        raise InputError(f"path {str(path)!r} cannot be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _wrong_suffix(path: Path) -> InputError:
    known = ", ".join(SAFETENSORS + TORCH)
    return InputError(f"path {str(path)!r} is of no known kind; expected {known}")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise InputError(
            "needs the package safetensors: pip install 'jnets[experiments]'"
        ) from error
    return safetensors.numpy


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    library = _safetensors()
    with path.open("rb"):  # the library's own error for a missing file names no file
        pass
    try:
        return library.load_file(path)
    except Exception as error:  # the library's own type, KeyError, TypeError
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"is no readable safetensors file ({why})") from error


def _state_dict(content: dict) -> dict[str, np.ndarray]:
    for key in WRAPPERS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {str(k): v for k, v in content.items() if isinstance(v, np.ndarray)}
    if not tensors:
        found = ", ".join(list(map(str, content))[:5]) or "nothing"
        raise InputError(f"holds no tensors by name, but {found}")
    return tensors


def _without_prefix(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = "module."
    if not all(name.startswith(prefix) for name in tensors):
        return tensors
    return {name.removeprefix(prefix): array for name, array in tensors.items()}
