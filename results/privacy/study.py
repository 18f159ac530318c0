"""Privacy: what client-level differential privacy costs in accuracy and time."""

from results.privacy import plots, tables
from results.provenance import made_by, sources
from results.redo import steps_table

PICTURES = {"accuracy_against_epsilon.png": plots.accuracy_against_epsilon}
TABLES = {
    "sources": sources("privacy/rounding.json", "privacy/benchmark.json"),
    "made by": made_by("privacy"),
    "steps": steps_table("privacy"),
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
