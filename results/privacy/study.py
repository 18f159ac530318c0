"""Privacy: what client-level differential privacy costs in accuracy and time."""

from results.privacy import plots, tables
from results.provenance import sources

PICTURES = {"accuracy_against_epsilon.png": plots.accuracy_against_epsilon}
TABLES = {
    "sources": sources(
        "privacy/accuracy.json",
        "privacy/tuned.json",
        "privacy/other_runs.json",
        "privacy/rounding.json",
        "privacy/few_bits.json",
        "privacy/benchmark.json",
    ),
    "setting": tables.setting,
    "accuracy": tables.accuracy,
    "tuned": tables.tuned,
    "examples": tables.examples,
    "encrypted setting": tables.encrypted_setting,
    "mechanisms": tables.mechanisms,
    "rounding": tables.rounding,
    "few bits": tables.few_bits,
    "populations": tables.populations,
    "overhead setting": tables.overhead_setting,
    "overhead": tables.overhead,
    "accounting": tables.accounting,
}
