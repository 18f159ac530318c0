"""What a process asks of its machine: cores as devices, and programs compiled once."""

import os
from pathlib import Path

import jax

from pride_jax.engine.cores import cores
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Engine

_PATIENCE = 7 * 24 * 3600
"""Seconds that a core waits for the others, whose clients may be much longer; XLA's own are 40."""

GRAPHS = "--xla_gpu_enable_command_buffer=+WHILE,+CONVOLUTION"
"""Makes loops and convolutions part of CUDA graphs; to be asked before JAX first computes."""


def use_devices(settings: Engine) -> None:
    """Makes JAX see the devices that a run is to have; to be called before JAX first computes.

    Raises:
      ConfigError: JAX has computed already, such as in a config.
    """
    if settings.platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if settings.graphs:
        _ask_xla(GRAPHS)
    use_cores(settings.devices)


def devices_told() -> str:
    """What this process computes on, in words; and what it leaves idle."""
    here = jax.local_devices()
    if here[0].platform != "cpu":
        return f"{len(here)} × {here[0].device_kind}"
    told = f"{len(here)} CPU core{'s' * (len(here) > 1)}"
    if Path("/dev/nvidiactl").exists():
        told += (
            ", not on the machine's GPU, which JAX does not see: install the extra cuda, or hide "
            "the GPU with engine.platform=cpu"
        )
    return told


def use_cores(devices: int | None = None) -> int:
    """Makes JAX see CPU cores as devices; to be called before JAX first computes.

    Clients are independent, so a core is best used by a client of its own; a thread pool that all
    devices share only gets in their way. GPUs are not touched.

    Args:
      devices: how many; a device a core if None. Never more than there are cores.

    Returns:
      How many there are.

    Raises:
      ConfigError: JAX has computed already, such as in a config.
    """
    available = len(cores())
    count = min(devices or available, available)
    for what in ("warn_stuck", "terminate"):
        _ask_xla(f"--xla_cpu_collective_call_{what}_timeout_seconds={_PATIENCE}")
    if count == available:
        _ask_xla("--xla_cpu_multi_thread_eigen=false")
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        raise ConfigError(
            "JAX has computed before the run began, and cannot be given the machine's cores any "
            "more: expected a config of plain numbers, without jax or jax.numpy"
        ) from None
    return count


def _ask_xla(flag: str) -> None:
    """Adds a flag, once, before what the user asks, which counts."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if flag not in flags:
        os.environ["XLA_FLAGS"] = " ".join([flag, *flags])


def keep_programs() -> Path:
    """Keeps compiled programs on disk, so that the next start of a config compiles nothing.

    Returns:
      Their folder: that of ``JAX_COMPILATION_CACHE_DIR``, else ``pride_jax`` in the user's cache.
      It may be removed at any time.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or user / "pride_jax" / "programs")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
