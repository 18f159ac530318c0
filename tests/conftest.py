"""Strictness for every test, and the real MNIST for those that need it."""

import os

import jax
import pytest

# Two devices, so that everything that is sharded is tested sharded.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PRIDE_DATA_DIR"):
        return
    needing_data = [item for item in items if item.get_closest_marker("data")]
    config.hook.pytest_deselected(items=needing_data)
    items[:] = [item for item in items if not item.get_closest_marker("data")]


def pytest_report_header() -> str:
    folder = os.environ.get("PRIDE_DATA_DIR")
    if folder:
        return f"MNIST for tests marked data: {folder}"
    return "PRIDE_DATA_DIR is not set: tests marked data (real MNIST) are deselected"
