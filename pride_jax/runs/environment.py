"""What a run ran on: versions, commit, device."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "dp-accounting",
    "phe",
    "gmpy2",
    "pride-jax",
)
_NO_BITS = (
    *("jax_compilation_cache_", "jax_enable_compilation_cache", "jax_persistent_cache_"),
    *("jax_log", "jax_dump", "jax_include_debug", "jax_explain", "jax_pprint", "jax_traceback"),
)
"""How JAX's settings begin that change no number: where programs are kept, and what is told."""


def environment() -> dict[str, Any]:
    """Versions, git commit and device, as JSON has them; ``started`` is in UTC."""
    import jax

    devices = jax.devices()
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "device": devices[0].device_kind,
        "platform_of_device": devices[0].platform,
        "num_devices": len(devices),
        "cores": _cores(),
        "num_processes": jax.process_count(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def jax_settings() -> dict[str, str]:
    """JAX's settings that may change a bit of what it computes, by name."""
    import jax

    return {
        name: str(getattr(jax.config, name, value))
        for name, value in sorted(jax.config.values.items())
        if not name.startswith(_NO_BITS)
    }


def _version(package: str) -> str | None:
    """None of a package that is run from its source tree without being installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    """Cores that this process may use, on which how sums are cut up depends."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """The CPU's model as Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _git(*arguments: str) -> str | None:
    """What git says of this source tree; None where it is not a checkout or there is no git."""
    try:
        answer = subprocess.run(
            # Killed while it held a lock, git would leave the checkout locked.
            ["git", "--no-optional-locks", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
