"""The same work in other frameworks: rounds (``benchmark.py peers``) and steps (``networks``)."""

import statistics
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table

_NETWORKS = {"lenet": "LeNet", "resnet": "ResNet-8", "depthwise": "depthwise"}
_WORKS = {"2nn": "2NN, MNIST", "cnn": "CNN, MNIST", "blazefl": "LeNet, CIFAR-10", "pfl": "pfl's"}


def peers(results: Path) -> str:
    """Seconds a round beside this house's, and what each protection costs a framework itself."""
    report = read_json(results / "benchmarks" / "peers.json")
    header = ["work", "cores", "framework", "protection", "s a round", "times ours, unprotected"]
    header += ["over its own unprotected round", "share of products", "accuracy"]
    header += ["rounds", "load before"]
    return table(
        header,
        [
            [
                _WORKS[row["comparison"].removesuffix("_two_cores")],
                str(row["cores"]),
                row["peer"],
                row["protection"],
                *(
                    [row["why"], *[""] * 4]
                    if row["seconds_per_round"] is None
                    else [
                        rounded(row["seconds_per_round"], 3),
                        rounded(row["times_ours"], 3),
                        _share(row["over_unprotected"]),
                        f"{row['product_share']:.0%}",
                        f"{row['accuracy']:.4f}",
                    ]
                ),
                str(row["rounds"]),
                rounded(row["load"], 2),
            ]
            for row in report["rows"]
        ],
    )


def networks(results: Path) -> str:
    """Steps of networks of Flax's own layers, as a user writes them, beside PyTorch's."""
    report = read_json(results / "benchmarks" / "networks.json")
    header = ["network", "ours, ms a step", f"PyTorch {report['torch']}", "times as fast"]
    return table(
        header,
        [
            [
                _NETWORKS[row["network"]],
                *(rounded(1000 * statistics.median(row[name]), 3) for name in ("ours", "theirs")),
                f"{row['ratio']:.2f}",
            ]
            for row in report["rows"]
        ],
    )


def _share(over: float | None) -> str:
    return "" if over is None else f"{over:+.0%}"
