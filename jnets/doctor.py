"""What a bug report needs: versions, devices, caches, memory settings."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

PACKAGES = (
    "jnets",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "scikit-learn",
    "matplotlib",
    "pillow",
)

# Each is read by XLA or JAX when it starts; the value in brackets is what an unset
# one means.
MEMORY = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "true: take GPU memory at the start",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.75 of GPU memory",
    "XLA_PYTHON_CLIENT_ALLOCATOR": "default",
}


def report() -> list[tuple[str, str]]:
    """(name, value) rows, in the order in which they are worth reading."""
    rows = [
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, version(name)) for name in PACKAGES),
        ("backend", jax.default_backend()),
        *(
            (f"device {device.id}", f"{device.device_kind}{_memory(device)}")
            for device in jax.devices()
        ),
        ("processes", f"{jax.process_count()} (this is {jax.process_index()})"),
        ("host cores", str(os.cpu_count())),
        (
            "compilation cache",
            f"{_setting('jax_compilation_cache_dir') or 'off'} "
            f"(JAX_COMPILATION_CACHE_DIR)",
        ),
        ("64-bit", str(_setting("jax_enable_x64"))),
        (
            "matmul precision",
            _setting("jax_default_matmul_precision") or "default",
        ),
        ("XLA_FLAGS", os.environ.get("XLA_FLAGS") or "not set"),
    ]
    for name, meaning in MEMORY.items():
        rows.append((name, os.environ.get(name) or f"not set ({meaning})"))
    return rows


def version(package: str) -> str:
    """The installed version of a package, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, Any]:
    """What a figure was measured on: the device, cores of the host, Python."""
    here = jax.default_backend() == "cpu"
    affinity = getattr(os, "sched_getaffinity", None)  # of Linux
    return {
        "device": _processor() if here else jax.devices()[0].device_kind,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    for line in facts.read_text().splitlines() if facts.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def _memory(device: Any) -> str:
    stats = device.memory_stats() or {}
    if "bytes_limit" not in stats:
        return ""
    used, limit = stats["bytes_in_use"], stats["bytes_limit"]
    return f", {used / 2**30:.1f} of {limit / 2**30:.1f} GiB in use"
