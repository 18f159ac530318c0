"""How a process uses the machine's cores: as many devices, each with one thread."""

import os

import jax


def use_cores(devices: int | None = None) -> int:
    """Makes JAX see CPU cores as devices; to be called before JAX first computes.

    Clients are independent, so a core is best used by a client of its own; a thread pool that all
    devices share only gets in their way. GPUs are not touched.

    Args:
      devices: how many; a device a core if None. Never more than there are cores.

    Returns:
      How many there are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    count = min(devices or cores, cores)
    if count == cores:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    jax.config.update("jax_num_cpu_devices", count)
    return count
