"""How many clients fit into a device's memory side by side."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from pride_jax.errors import RunError

Wait = Callable[[], Any]
"""Waits for what was dispatched, and returns it."""


def within_memory(make: Callable[[int], Callable[..., Any]], chunk: int) -> Callable[..., Wait]:
    """Compiles the function that ``make`` makes for a chunk, or for a smaller one if it must.

    When a device runs out of memory, the chunk is halved and the call repeated with the very same
    arguments: keys are among them, so that only the order of float additions is another. Later
    calls keep to the smaller chunk, and a warning says so, once.

    Args:
      make: chunk -> a pure function.
      chunk: most clients vmapped together.

    Returns:
      A function that dispatches a call and returns at once what waits for its result, so that the
      host can work meanwhile.

    Raises (when waited for):
      RunError: one client at a time is too much, or memory ran out in one of several processes.
    """
    fitting = [chunk]
    compiled = functools.cache(lambda chunk: jax.jit(make(chunk)))

    def dispatch(*arguments: Any) -> Wait:
        def attempt() -> Any:
            try:
                return compiled(fitting[0])(*arguments)
            except jax.errors.JaxRuntimeError as error:
                return error

        pending = [attempt()]

        def wait() -> Any:
            first = fitting[0]
            while True:
                try:
                    if isinstance(pending[0], Exception):
                        raise pending[0]
                    result = jax.block_until_ready(pending[0])
                except jax.errors.JaxRuntimeError as error:
                    fitting[0] = _smaller(fitting[0], error)
                    pending[0] = attempt()
                else:
                    if fitting[0] < first:
                        warnings.warn(
                            f"Out of memory with a chunk of {first} clients: done with "
                            f"{fitting[0]}; set engine.chunk={fitting[0]} to begin there",
                            RuntimeWarning,
                            stacklevel=2,
                        )
                    return result

        return wait

    return dispatch


def _smaller(chunk: int, error: Exception) -> int:
    """Half of a chunk that did not fit.

    Raises:
      RunError: it cannot be halved.
      JaxRuntimeError: something else went wrong.
    """
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    if chunk == 1 or jax.process_count() > 1:
        raise RunError(
            f"Out of memory with a chunk of {chunk} clients: lower engine.chunk, "
            "client.batch_size or the model's size"
        ) from error
    return chunk // 2


_COPIES = 3
"""Of the parameters, for each client of a chunk: XLA, compiling for an H100, takes 2.1 to 2.9."""


def default_chunk(parameters: int, read: int, mesh: Mesh) -> int:
    """Clients to vmap together where the user names no number.

    On a CPU, measured from 83 to 1,663,370 parameters: many small clients together, one at a time
    where the chunk's parameters and batches would leave the cache. On a GPU, as many as fit with
    their parameters, gradients and updates into half of the memory that is free. The other half is
    for what layers keep for their gradients; where that is too little, `within_memory` halves the
    chunk. Not measured on a GPU.

    Args:
      parameters: of the model.
      read: numbers of a client's batch.
      mesh: the devices, which hold the data.
    """
    device = mesh.local_devices[0]
    if device.platform == "cpu":
        return min(64, max(1, 2**16 // (parameters + read)))
    free = bytes_of(mesh) - (device.memory_stats() or {}).get("bytes_in_use", 0)
    return max(1, free // 2 // (_COPIES * 4 * parameters))


def bytes_of(mesh: Mesh) -> int:
    """Memory of a device; 16 GiB where it does not say."""
    return (mesh.local_devices[0].memory_stats() or {}).get("bytes_limit", 2**34)
