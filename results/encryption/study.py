"""Encryption: what adding updates unseen costs."""

from results.encryption import choice, lattice_tables, plots, rounds, tables, threats
from results.provenance import made_by, sources
from results.redo import steps_table

PICTURES = {"client_costs.png": plots.client_costs, "stages.png": plots.stage_costs}
TABLES = {
    "sources": sources(
        "encryption/benchmark.json",
        "encryption/beside.json",
        "encryption/masking.json",
        "encryption/corruption.json",
        "encryption/ckks.json",
        "encryption/key_apart.json",
        "encryption/lattice.json",
        "encryption/lattice_sums.json",
    ),
    "made by": made_by("encryption"),
    "steps": steps_table("encryption"),
    "setting": tables.setting,
    "a parameter": tables.costs,
    "beside Paillier": tables.beside_paillier,
    "window tables": tables.window_tables,
    "conversions": tables.conversions,
    "seconds": tables.of_models("encrypt_seconds"),
    "bytes": tables.of_models("bytes"),
    "in training": tables.training,
    "published": tables.published,
    "steps under keys of one message": lattice_tables.steps,
    "rounds with keys apart": lattice_tables.rounds,
    "masks": lattice_tables.masks,
    "rings": lattice_tables.rings,
    "schedule of a GPU": lattice_tables.schedule,
    "beside": rounds.beside,
    "proofs": rounds.proofs,
    "masked rounds": rounds.masked_rounds,
    "pieces of masking": rounds.pieces,
    "one client of many": rounds.one_client,
    "damaged": rounds.damaged,
    "threats": threats.threats,
    "by trust": choice.by_trust,
    "without CKKS": choice.without_ckks,
}
