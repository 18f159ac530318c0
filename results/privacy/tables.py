"""Tables of what client-level privacy costs: accuracy, and time."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, rounded, table
from pride_jax.reporting.metrics import Row
from results.privacy.geyer import CLIENTS, with_noise, without_noise
from results.privacy.plots import PUBLISHED

_MECHANISMS = {
    "encrypted": "Skellam shares",
    "skellam": "Skellam shares",
    "floats": "Gaussian on floats, for studies",
}
_POPULATIONS = {"writers": "mnist_writers_dp", "digits": "digits_dp", "iris": "iris_dp"}


def _json(results: Path, name: str) -> dict[str, Any]:
    return read_json(results / "privacy" / f"{name}.json")


def _sweep(results: Path, folder: str) -> dict[str, Any]:
    return _json(results, f"{folder}/sweep")


def _accuracy(runs: Sequence[Row]) -> str:
    values = [run["test_accuracy"] for run in runs]
    return mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 4)


def _epsilon(value: float | None) -> str:
    return "none" if value is None else rounded(value, 3)


def _by_epsilon(runs: Sequence[Row]) -> dict[str, list[Row]]:
    """Runs by the ε that was asked for."""
    found: dict[str, list[Row]] = {}
    for run in runs:
        found.setdefault(run["settings"]["privacy.epsilon"], []).append(run)
    return found


def accuracy(results: Path) -> str:
    """Test accuracy at each ε, for each number of clients, beside those published."""
    clear, lines = without_noise(results), []
    for name, sweep in with_noise(results).items():
        config, published = sweep["config"], PUBLISHED[name]
        for asked, runs in _by_epsilon(sweep["runs"]).items():
            first = runs[0]
            lines.append(
                [
                    f"{name}, δ = {first['delta']:g}",
                    _sampling(config),
                    f"{asked} ({first['epsilon']:.3g})",
                    _accuracy(runs),
                    str(published[1]) if float(asked) == published[0] else "",
                    rounded(first["noise_multiplier"], 3),
                    _epsilon(first["epsilon_known_cohort"]),
                    str(len(runs)),
                ]
            )
        runs = clear[name]["runs"]
        lines.append([name, _sampling(config), "∞", _accuracy(runs), "", "0", "", f"{len(runs)}"])
    header = ["clients", "sampling", "ε asked for (spent)", "test accuracy", "published"]
    header += ["noise multiplier", "ε for who knows the cohorts", "seeds"]
    return table(header, lines)


def _sampling(config: dict[str, Any]) -> str:
    sampling, clients = config["cohort"]["sampling"], config["partition"]["clients"]
    rate = "" if sampling == "full" else f" {config['cohort']['size'] / clients:g}"
    return f"{sampling.replace('_', ' ')}{rate}, {config['rounds']} rounds"


def tuned(results: Path) -> str:
    """Test accuracy where ε covers the choice of the settings, too, beside where it does not."""
    before, lines = _json(results, "tuned/before"), []
    for name, untuned in with_noise(results).items():
        found = sorted((results / "privacy" / "tuned" / CLIENTS[name]).glob("*/private_sweep.json"))
        sweeps = [read_json(path) for path in found]
        target = untuned["config"]["privacy"]["epsilon"]
        runs = _by_epsilon(untuned["runs"])[f"{target:g}"]
        (asked,) = {(sweep["epsilon"], sweep["epsilon_of_one_run"]) for sweep in sweeps}
        released = [each for sweep in sweeps for each in sweep["best"]]
        lines.append(
            [
                f"{name}, δ = {sweeps[0]['delta']:g}",
                rounded(asked[0], 3),
                rounded(asked[1], 3),
                _accuracy(released),
                f"{min(each['test_accuracy'] for each in released):.4f}",
                _accuracy(runs),
                f"{before[CLIENTS[name]]:.4f}",
                str(len(released)),
            ]
        )
    header = ["clients", "ε of everything", "ε of one run", "test accuracy", "lowest"]
    header += ["that ε of one run, settings not covered", "before: noise in floats", "seeds"]
    return table(header, lines)


def examples(results: Path) -> str:
    """What each ε promises of one digit: that of all its holders together."""
    rows = [
        [
            f"{row['clients']}, δ = {row['delta']:g}",
            str(row["holders"]),
            rounded(row["epsilon"], 3),
            _epsilon(row["epsilon_of_holders"]),
        ]
        for row in _json(results, "groups")["rows"]
    ]
    return table(["clients", "holders of a digit", "ε of a client", "ε of a digit"], rows)


def setting(results: Path) -> str:
    """The sentence on what all populations share."""
    configs = [sweep["config"] for sweep in with_noise(results).values()]
    ((shards, norm),) = {
        (config["partition"]["shards_per_client"], config["privacy"]["clipping_norm"])
        for config in configs
    }
    return f"{shards} label shards a client; flat clipping to {norm:g}.\n"


def encrypted_setting(results: Path) -> str:
    """The sentence on the run whose sums nobody sees without noise."""
    config = _sweep(results, "mechanisms/encrypted")["config"]
    aggregation, plan = config["aggregation"], config["privacy"]
    return (
        f"{config['partition']['clients']} clients, {aggregation['bits']}-bit integers, "
        f"{aggregation['key_bits']}-bit Paillier, δ = {plan['delta']:g}; clients that may tell "
        f"their own share without weakening the guarantee: {plan['colluders']}.\n"
    )


def overhead_setting(results: Path) -> str:
    """The sentence on the round that is timed."""
    asked = _json(results, "benchmark")["setting"]
    return (
        f"{asked['clients']} clients of {asked['examples']} digits each; medians of "
        f"{asked['repetitions']} rounds.\n"
    )


def mechanisms(results: Path) -> str:
    """Skellam shares in a secure sum beside Gaussian noise on the device, K = 100."""
    lines = []
    for name, noise in _MECHANISMS.items():
        sweep = _sweep(results, f"mechanisms/{name}")
        config, runs = sweep["config"], sweep["runs"]
        protocol = runs[0]["settings"].get(
            "aggregation.protocol", config["aggregation"]["protocol"]
        )
        sent = (
            "on the device"
            if protocol == "none"
            else f"{protocol}, {config['aggregation']['bits']} bits"
        )
        lines.append([noise, sent, *_costs(runs)])
    exact = with_noise(results)["K = 100"]["runs"]
    lines.append(["Gaussian on integers", "on the device", *_costs(_by_epsilon(exact)["8"])])
    header = ["noise", "sum", "noise multiplier", "ε", "test accuracy"]
    return table([*header, "seeds"], lines)


def _costs(runs: Sequence[Row]) -> list[str]:
    return [
        rounded(runs[0]["noise_multiplier"], 4),
        rounded(runs[0]["epsilon"], 3),
        _accuracy(runs),
        str(len(runs)),
    ]


def rounding(results: Path) -> str:
    """Noise of Skellam shares over Gaussian noise's at the same ε, and bits a value to send."""
    lines = [
        [
            f"{row['model']}, {row['parameters']:,}",
            str(row["bits"]),
            f"{row['noise as they are']:.4f}",
            f"{row['noise rotated']:.4f}",
            str(row["sent as they are"]),
            str(row["sent rotated"]),
        ]
        for row in _json(results, "rounding")["rows"]
    ]
    header = ["model, parameters", "bits", "noise, updates as they are", "noise, rotated"]
    return table([*header, "bits sent, as they are", "bits sent, rotated"], lines)


def few_bits(results: Path) -> str:
    """Test accuracy with integers of few bits, with rotations and without."""
    by_setting: dict[tuple[str, str], list[Row]] = {}
    for run in _sweep(results, "few_bits/few")["runs"]:
        asked = run["settings"]
        key = asked["aggregation.bits"], asked["privacy.rotation"]
        by_setting.setdefault(key, []).append(run)
    fine = _sweep(results, "few_bits/fine")["runs"]
    lines = [["12", _accuracy(fine), "the same: not rotated", str(len(fine))]]
    for bits in sorted({bits for bits, _ in by_setting}, key=int, reverse=True):
        plain, rotated = (by_setting[bits, may] for may in ("False", "True"))
        lines.append([bits, _accuracy(plain), _accuracy(rotated), str(len(rotated))])
    return table(["bits", "updates as they are", "rotated", "seeds"], lines)


def populations(results: Path) -> str:
    """Smaller and natural populations."""
    lines = []
    for name, config in _POPULATIONS.items():
        runs = _sweep(results, f"populations/{name}")["runs"]
        first = runs[0]
        lines.append(
            [
                config,
                f"({first['epsilon']:.3g}, {first['delta']:g})",
                _accuracy(runs),
                str(len(runs)),
            ]
        )
    return table(["config", "(ε, δ)", "test accuracy", "seeds"], lines)


def overhead(results: Path) -> str:
    """Seconds of a round with and without a plan."""
    lines = [
        [
            {"none": "floats", "plain": "plain integers"}[row["aggregation"]],
            row["mechanism"],
            rounded(row["seconds_per_round"], 3),
            f"{row['overhead']:.1%}",
            "–" if row["noise_seconds"] is None else rounded(row["noise_seconds"]),
        ]
        for row in _json(results, "benchmark")["rows"]
    ]
    header = ["sum", "mechanism", "seconds a round", "over no mechanism"]
    return table([*header, "seconds of drawing all shares"], lines)


def accounting(results: Path) -> str:
    """Seconds that a plan's ε and its calibration take."""
    lines = [
        [
            row["plan"],
            rounded(row["epsilon"], 3),
            rounded(row["noise_multiplier"], 3),
            rounded(row["epsilon_seconds"]),
            rounded(row["calibrate_seconds"]),
        ]
        for row in _json(results, "benchmark")["accounting"]
    ]
    header = ["plan", "ε", "noise multiplier", "seconds of ε", "seconds of calibration"]
    return table(header, lines)
