"""Methods for clients whose classes differ: SCAFFOLD's rounds, and models of each client's own."""

import statistics
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, rounded, table
from pride_jax.reporting.metrics import Row
from results.provenance import made_by
from results.redo import steps_table

_SHARED = {"fedavg": "FedAvg", "scaffold": "SCAFFOLD"}
_PERSONAL = {"fedavg": "FedAvg", "fedper": "FedPer", "ditto": "Ditto"}
_MODELS = {
    "shared": "the shared model",
    "personal": "its own",
    "fine_tuned": "a fine-tuned one",
}


def _runs(results: Path, name: str) -> list[Row]:
    return read_json(results / "methods" / name / "sweep.json")["runs"]


def rounds(results: Path) -> str:
    """Rounds to the target on the test set."""
    rows = []
    for method, name in _SHARED.items():
        runs = _runs(results, method)
        reached = sorted(
            run["rounds_to_target"] for run in runs if run["rounds_to_target"] is not None
        )
        there = len(reached) == len(runs)
        rows.append(
            [
                name,
                runs[0]["settings"]["client.learning_rate"],
                f"{len(reached)} of {len(runs)}",
                f"{statistics.median(reached):.0f}" if there else "–",
                f"{reached[0]:.0f}–{reached[-1]:.0f}" if there else "–",
                f"{runs[0]['bytes_per_client_round']:,}",
            ]
        )
    header = ["method", "learning rate", "seeds that got there", "rounds, median", "range"]
    return table([*header, "bytes a client and round"], rows)


def tuning(results: Path) -> str:
    """Accuracy on validation examples at each of the clients' learning rates; the best in bold."""
    columns = [_validated(_runs(results, f"tuning_{method}")) for method in _SHARED]
    rows = [[rate, *(column[rate] for column in columns)] for rate in columns[0]]
    return table(["learning rate", *_SHARED.values()], rows)


def _validated(runs: list[Row]) -> dict[str, str]:
    """What is written of each learning rate."""
    best = max(run["test_accuracy"] for run in runs if "error" not in run)
    written = {}
    for run in runs:
        told = "diverged" if "error" in run else f"{run['test_accuracy']:.4f}"
        chosen = run.get("test_accuracy") == best
        written[run["settings"]["client.learning_rate"]] = f"**{told}**" if chosen else told
    return written


def protocols(results: Path) -> str:
    """What five rounds of SCAFFOLD end with under each protocol, and what they cost."""
    rows = [
        [
            run["settings"]["aggregation.protocol"],
            f"`{run['parameters_sha256'][:16]}…`",
            f"{run['test_accuracy']:.4f}",
            f"{run['bytes_per_client_round']:,}",
            rounded(run["seconds_per_round"]),
        ]
        for run in _runs(results, "protocols")
    ]
    header = ["protocol", "SHA-256 of the parameters", "test accuracy"]
    return table([*header, "bytes a client and round", "s a round"], rows)


def held_out(results: Path) -> str:
    """Accuracy on each client's own held-out examples; means over seeds."""
    rows = []
    for method, name in _PERSONAL.items():
        runs = _runs(results, f"personal_{method}")
        for model, words in _MODELS.items():
            spreads = [run["held_out"][model] for run in runs if model in run["held_out"]]
            if not spreads:
                continue
            rows.append(
                [
                    name,
                    words,
                    str(len(spreads)),
                    *(
                        mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 4)
                        for field in ("median", "tenth_percentile")
                        for values in [[each[field] for each in spreads]]
                    ),
                ]
            )
    header = ["method", "a client uses", "seeds", "median client"]
    return table([*header, "worst tenth of clients below"], rows)


PICTURES = {}
TABLES = {
    "rounds": rounds,
    "tuning": tuning,
    "protocols": protocols,
    "held out": held_out,
    "steps": steps_table("methods"),
    "made by": made_by("methods"),
}
