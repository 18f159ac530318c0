"""The table of what XLA compiles for a GPU, from the JSON of ``benchmark.py gpu_schedule``."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table

_NAMES = {"2nn": "2NN", "cnn": "CNN", "resnet": "ResNet-8"}
_COMMON = {
    "chunk": 100,
    "precision": "float32",
    "sum": "floats",
    "kernels": "grouped",
    "graphs": True,
    "cards": 1,
}


def schedule(results: Path) -> str:
    """Launches, host waits, bytes and memory of a step, and how fast the card could do it."""
    rows = read_json(results / "benchmarks" / "gpu_schedule.json")["rows"]
    header = ["network", "what differs", "launches a step", "host waits a step", "MB a step"]
    header += ["MB of memory a client", "at best, ms a step", "bound by", "products"]
    return table(
        header,
        [
            [
                _NAMES[row["network"]],
                ", ".join(_told(name, row) for name in _COMMON if row[name] != _COMMON[name])
                or "nothing",
                str(row["launches"]),
                str(row["host_waits"]),
                rounded(row["bytes_per_step"] / 1e6, 3),
                rounded(row["bytes_per_client"] / 1e6),
                rounded(row["bound_ms"], 2),
                row["bound_by"],
                ", ".join(f"{count} {name}" for name, count in row["products"].items()),
            ]
            for row in rows
        ],
    )


def _told(name: str, row: dict) -> str:
    if name == "kernels":
        return "convolutions as products"
    if name == "graphs":
        return "without graphs"
    return f"{name} {row[name]}" if name in ("chunk", "cards") else str(row[name])
