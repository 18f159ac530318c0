"""The same rounds in other frameworks, from the JSON of ``benchmark.py peers``."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table

_WORKS = {"2nn": "2NN, MNIST", "cnn": "CNN, MNIST", "blazefl": "LeNet, CIFAR-10", "pfl": "pfl's"}


def peers(results: Path) -> str:
    """Seconds a round beside this house's, and what each protection costs a framework itself."""
    report = read_json(results / "benchmarks" / "peers.json")
    header = ["work", "cores", "framework", "protection", "s a round", "times ours, unprotected"]
    header += ["over its own unprotected round", "accuracy", "rounds", "load before"]
    return table(
        header,
        [
            [
                _WORKS[row["comparison"].removesuffix("_two_cores")],
                str(row["cores"]),
                row["peer"],
                row["protection"],
                *(
                    [row["why"], *[""] * 3]
                    if row["seconds_per_round"] is None
                    else [
                        rounded(row["seconds_per_round"], 3),
                        rounded(row["times_ours"], 3),
                        _share(row["over_unprotected"]),
                        f"{row['accuracy']:.4f}",
                    ]
                ),
                str(row["rounds"]),
                rounded(row["load"], 2),
            ]
            for row in report["rows"]
        ],
    )


def _share(over: float | None) -> str:
    return "" if over is None else f"{over:+.0%}"
