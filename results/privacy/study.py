"""Privacy: what client-level differential privacy costs in accuracy and time."""

from results.privacy import plots, tables
from results.provenance import sources

PICTURES = {"accuracy_against_epsilon.png": plots.accuracy_against_epsilon}
TABLES = {
    "sources": sources(
        "privacy/accuracy.json", "privacy/other_runs.json", "privacy/benchmark.json"
    ),
    "accuracy": tables.accuracy,
    "mechanisms": tables.mechanisms,
    "populations": tables.populations,
    "overhead": tables.overhead,
    "accounting": tables.accounting,
}
