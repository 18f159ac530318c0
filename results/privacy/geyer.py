"""The sweeps of Geyer et al.'s three populations, by the names that tables give these."""

from pathlib import Path
from typing import Any

from pride_jax.files import read_json

CLIENTS = {"K = 100": "k100", "K = 1,000": "k1000", "K = 10,000": "k10000"}
"""Names in tables -> in folders, and in configs after ``mnist_dp_``."""


def with_noise(results: Path) -> dict[str, dict[str, Any]]:
    """Name -> its sweep over ε and seeds."""
    return {name: _sweep(results, folder) for name, folder in CLIENTS.items()}


def without_noise(results: Path) -> dict[str, dict[str, Any]]:
    """Name -> its sweep over seeds."""
    return {name: _sweep(results, f"{folder}_no_noise") for name, folder in CLIENTS.items()}


def _sweep(results: Path, folder: str) -> dict[str, Any]:
    return read_json(results / "privacy" / "accuracy" / folder / "sweep.json")
