"""Tables of several studies: published beside measured figures, leaks, and who sees what."""

import statistics
from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, rounded, table
from results.iris import study as iris
from results.mcmahan import study as mcmahan
from results.privacy.geyer import with_noise
from results.privacy.plots import PUBLISHED
from results.provenance import without_commit
from results.redo import steps_table
from results.rows import only
from results.sights import (
    who_learns_what,
    who_learns_what_in_short,
    who_learns_what_of_scores,
)


def headline(results: Path) -> str:
    """Published figures beside ours, and the command that gives ours."""
    return table(
        ["", "published", "here", "command"],
        [*_iris(results), *_mcmahan(results), *_ten_parties(results), *_private(results)],
    )


def _iris(results: Path) -> list[list[str]]:
    spread = read_json(results / "iris" / "two_party" / "sweep.json")["over_runs"]["test_accuracy"]
    process = read_json(results / "iris" / "process.json")
    reached = mean_and_deviation(100 * spread["mean"], 100 * spread["sd"], 1)
    return [
        [
            "Iris, two parties, every update encrypted: 20 seeds; seconds of a whole later process",
            f"{iris.ORIGINAL_ACCURACY:.1%} in {iris.ORIGINAL_SECONDS} s (PRIDE)",
            f"**{reached}%** in {statistics.median(process['later']):.1f} s",
            "`sweep.py --config configs/iris_two_party.py --over seed=0..19`",
        ]
    ]


def _mcmahan(results: Path) -> list[list[str]]:
    rows = []
    for partition, what in (("iid", "IID"), ("shards", "two classes a client")):
        summary = read_json(results / f"mnist_2nn_{partition}" / "summary.json")
        rows.append(
            [
                f"MNIST, 2NN, 10 of 100 clients a round, {what}: rounds to 97%",
                f"{mcmahan.published_of_2nn(partition)} (McMahan et al.)",
                f"**{summary['rounds_to_target']:.0f}**",
                f"`train.py --config configs/mnist_2nn_{partition}.py`",
            ]
        )
    published, reached = mcmahan.cnn_iid(results)
    rows.append(
        [
            "MNIST, CNN, IID, 5 local epochs: rounds to 99%",
            f"{published}",
            f"**{reached}**",
            "`train.py --config configs/mnist_cnn_iid.py`",
        ]
    )
    return rows


def _ten_parties(results: Path) -> list[list[str]]:
    summary = read_json(results / "mnist_ten_party_encrypted" / "summary.json")
    return [
        [
            "MNIST, ten parties, every update encrypted",
            "about 98% (PRIDE, planned)",
            f"**{summary['test_accuracy']:.1%}** after {summary['rounds']} rounds",
            "`train.py --config configs/mnist_ten_party_encrypted.py`",
        ]
    ]


def _private(results: Path) -> list[list[str]]:
    rows, groups = [], read_json(results / "privacy" / "groups.json")["rows"]
    for name, sweep in with_noise(results).items():
        target = sweep["config"]["privacy"]["epsilon"]
        runs = [run for run in sweep["runs"] if float(run["settings"]["privacy.epsilon"]) == target]
        values = [100 * run["test_accuracy"] for run in runs]
        reached = mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 2)
        clients = sweep["config"]["partition"]["clients"]
        theirs, accuracy = PUBLISHED[name]
        of_example = only(groups, clients=name, settings={"privacy.epsilon": f"{target:g}"})
        rows.append(
            [
                f"MNIST, {clients:,} clients of two classes each{_held(of_example)}, client-level "
                "DP",
                f'{accuracy:.0%} at "ε = {theirs:g}" (Geyer et al., under an accounting that does '
                "not hold)",
                f"**{reached}%** at ({target:g}, {runs[0]['delta']:g})",
                f"`sweep.py --config configs/mnist_dp_k{clients}.py --over seed=0..4`",
            ]
        )
    return rows


def _held(of_example: dict[str, Any]) -> str:
    """How many clients hold one digit, and what that leaves of ε for it."""
    if of_example["holders"] == 1:
        return ""
    epsilon = of_example["epsilon_of_holders"]
    promised = "no ε" if epsilon is None else f"ε = {epsilon:.3g}"
    return f", {of_example['holders']} of whom hold the same digits ({promised} for a digit)"


def speed(results: Path) -> str:
    """How many times as fast packing and our convolutions are as what they replace."""
    encryption = read_json(results / "encryption" / "benchmark.json")["rows"]
    usual = {"key_bits": 3072, "value_bits": 16, "mode": "default", "workers": 1}
    packed = only(encryption, protocol="paillier", **usual)["encrypt_ratio_to_naive"]
    engine = read_json(results / "benchmarks" / "engine_under_load.json")["rows"]
    cnn = only(engine, model="cnn", name="engine", cores=1, chunk=1)["ratio_to_plain_convolution"]
    return table(
        ["on one core", "times as fast"],
        [
            ["packed Paillier, beside one value at a time", rounded(packed)],
            ["the CNN's round, beside the same network written with `nnx.Conv`", rounded(cnn)],
        ],
    )


def leaks(results: Path) -> str:
    """What attackers get of a clear update, and of released models with and without privacy."""
    digits = read_json(results / "attacks" / "inversion.json")["rows"]
    rows = [
        [
            f"a digit, from the clear update of the {model.upper()}",
            f"{row['psnr_median']:.0f} dB (the mean image: {row['psnr_of_mean_image']:.0f} dB)",
        ]
        for model, attack in (("2nn", "all units"), ("cnn", "matching"))
        for row in [only(digits, model=model, attack=attack, view="clear update")]
    ]
    for row in read_json(results / "attacks" / "membership.json")["rows"]:
        privacy = "no privacy" if row["epsilon"] is None else f"ε = {row['epsilon']:g}"
        ceiling = (
            "" if row["auc_ceiling"] is None else f" (no attack exceeds {row['auc_ceiling']:.3f})"
        )
        rows.append(
            [f"whether a client took part, with {privacy}", f"AUC {row['auc']:.3f}{ceiling}"]
        )
    return table(["what is asked", "what the attack gets"], rows)


PICTURES = {}
TABLES = {
    "headline": headline,
    "speed": speed,
    "leaks": leaks,
    "steps": steps_table(
        "digits_ten_party",
        "mnist_2nn_iid",
        "mnist_2nn_shards",
        "mnist_cnn_shards",
        "mnist_six_party",
        "mnist_ten_party_encrypted",
    ),
    "who learns what": who_learns_what,
    "who learns what in short": who_learns_what_in_short,
    "of scores who learns what": who_learns_what_of_scores,
    "unknown sources": without_commit,
}
