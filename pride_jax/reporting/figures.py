"""Which pictures and tables of ``results/`` are made of which JSON: makes them anew from it."""

import functools
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from pride_jax.errors import RunError
from pride_jax.files import read_json, write_atomically
from pride_jax.reporting import (
    audit_plots,
    audit_tables,
    balance,
    deployed,
    encryption_plots,
    encryption_tables,
    engine_tables,
    headline,
    inversion_tables,
    iris,
    markdown,
    mcmahan,
    parties,
    privacy_plots,
    privacy_tables,
    provenance,
    scale_plots,
    scale_tables,
    writers,
)
from pride_jax.reporting.plots import save

_PICTURES: dict[str, Callable[[Path], Figure]] = {
    "attacks/audit.png": lambda results: audit_plots.audits(
        read_json(results / "attacks" / "audit.json")["audits"]
    ),
    "attacks/membership.png": lambda results: audit_plots.roc_curves(
        read_json(results / "attacks" / "membership.json")
    ),
    "balance/trade_offs.png": balance.trade_offs,
    "benchmarks/growth.png": lambda results: scale_plots.growth(
        read_json(results / "benchmarks" / "scale.json")
    ),
    "benchmarks/ways.png": lambda results: scale_plots.ways(
        read_json(results / "benchmarks" / "scale.json")
    ),
    "encryption/client_costs.png": lambda results: encryption_plots.client_costs(
        read_json(results / "encryption" / "benchmark.json")
    ),
    "encryption/stages.png": lambda results: encryption_plots.stage_costs(
        read_json(results / "encryption" / "benchmark.json")
    ),
    "iris/accuracies.png": iris.accuracies_over_seeds,
    "mcmahan/rounds.png": mcmahan.rounds_against_cohort,
    "mnist_six_party/plots/confusion_matrix.png": parties.confusion_matrices,
    "privacy/accuracy_against_epsilon.png": lambda results: privacy_plots.accuracy_against_epsilon(
        read_json(results / "privacy" / "accuracy.json")
    ),
    "writers/spread.png": writers.spread_over_writers,
}
"""Path in ``results/`` -> the picture, of the numbers in ``results/``."""


def _made_by(*folder: str) -> Callable[[Path], str]:
    return lambda results: provenance.made_by(results.joinpath(*folder))


_TABLES: dict[str, Callable[[Path], str]] = {
    "balance": balance.matrix,
    "balance in short": balance.in_short,
    "balance made by": _made_by("balance"),
    "cnn rounds": mcmahan.rounds_of_cnn,
    "deployed": deployed.rounds,
    "deployed made by": _made_by("deploy"),
    "messages": deployed.messages,
    "headline": headline.headline,
    "iris": iris.accuracies,
    "iris made by": _made_by("iris"),
    "iris process": iris.process,
    "iris scatter": iris.scatter,
    "learning rates": mcmahan.rates_of_2nn,
    "2nn rounds": mcmahan.rounds_of_2nn,
    "mcmahan 2nn made by": _made_by("mcmahan", "2nn"),
    "mcmahan cnn made by": _made_by("mcmahan", "cnn_iid"),
    "mcmahan rates made by": _made_by("mcmahan", "rates"),
    "parties": parties.accuracies,
    "parties made by": _made_by("mnist_six_party"),
    "writers": writers.accuracies,
    "writers made by": _made_by("writers"),
    "accounting": privacy_tables.accounting,
    "attack sources": provenance.sources(
        "attacks/inversion.json", "attacks/membership.json", "attacks/audit.json"
    ),
    "audits": audit_tables.audits,
    "benchmark sources": provenance.sources(
        "benchmarks/scale.json",
        "benchmarks/devices.json",
        "benchmarks/engine_2nn.json",
        "benchmarks/engine_under_load.json",
    ),
    "devices": scale_tables.ways("devices"),
    "encryption a parameter": encryption_tables.costs,
    "encryption bytes": encryption_tables.of_models("bytes"),
    "encryption conversions": encryption_tables.conversions,
    "encryption in training": encryption_tables.training,
    "encryption seconds": encryption_tables.of_models("encrypt_seconds"),
    "encryption sources": provenance.sources(
        "encryption/benchmark.json",
        "encryption/mnist_ten_party_compared.json",
        "encryption/mnist_ten_party_threshold.json",
        "encryption/mnist_cnn_encrypted.json",
    ),
    "engine memory": engine_tables.memory,
    "engine speed": engine_tables.speed,
    "inversion of each digit": inversion_tables.every_digit,
    "inversion of the 2nn": inversion_tables.of_2nn,
    "inversion of the cnn": inversion_tables.of_cnn,
    "inversion noise": inversion_tables.noise_multipliers,
    "membership": audit_tables.membership,
    "privacy accuracy": privacy_tables.accuracy,
    "privacy mechanisms": privacy_tables.mechanisms,
    "privacy overhead": privacy_tables.overhead,
    "privacy populations": privacy_tables.populations,
    "privacy sources": provenance.sources(
        "privacy/accuracy.json", "privacy/other_runs.json", "privacy/benchmark.json"
    ),
    "scale clients": scale_tables.by_clients,
    "scale cohorts": scale_tables.by_cohort,
    "scale ways": scale_tables.ways("scale"),
    "window tables": encryption_tables.window_tables,
}
"""Name -> the table, of the numbers in ``results/``."""


def draw(folder: Path) -> list[Path]:
    """Makes every picture and table anew in ``results/``, or in a folder of it.

    With ``results/`` as a whole, those of the README beside it too.

    Returns:
      The paths of the pictures, and of texts whose tables had other numbers.

    Raises:
      RunError: the folder is none of ``results/`` or has neither, or numbers are missing.
    """
    folder = folder.resolve()
    results = next(
        (parent for parent in (folder, *folder.parents) if parent.name == "results"), None
    )
    if results is None:
        raise RunError(f"{folder} is not in results/: expected that folder, or one in it")
    made = []
    for name, picture in _PICTURES.items():
        path = results / name
        if path.is_relative_to(folder) and path.parent.is_dir():
            save(picture(results), path)
            made.append(path)
    texts = sorted(folder.rglob("*.md"))
    if folder == results:
        texts += filter(Path.exists, [results.parent / "README.md"])
    for path in texts:
        text = path.read_text()
        if (filled := with_tables(text, results)) != text:
            write_atomically(path, filled)
            made.append(path)
    if not made:
        raise RunError(f"{folder} has no pictures to draw: expected one of {', '.join(_PICTURES)}")
    return made


def with_tables(text: str, results: Path) -> str:
    """A text with its tables made anew from the numbers in ``results/``.

    Raises:
      RunError: a table is not known, or its numbers are missing.
    """
    known = {name: functools.partial(make, results) for name, make in _TABLES.items()}
    return markdown.fill(text, known)
