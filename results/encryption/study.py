"""Encryption: what adding updates unseen costs."""

from results.encryption import choice, plots, tables
from results.provenance import sources

PICTURES = {"client_costs.png": plots.client_costs, "stages.png": plots.stage_costs}
TABLES = {
    "sources": sources(
        "encryption/benchmark.json",
        "encryption/ckks.json",
        "encryption/mnist_ten_party_compared.json",
        "encryption/mnist_ten_party_threshold.json",
        "encryption/mnist_cnn_encrypted.json",
    ),
    "setting": tables.setting,
    "a parameter": tables.costs,
    "beside Paillier": tables.beside_paillier,
    "window tables": tables.window_tables,
    "conversions": tables.conversions,
    "seconds": tables.of_models("encrypt_seconds"),
    "bytes": tables.of_models("bytes"),
    "in training": tables.training,
    "by trust": choice.by_trust,
    "without CKKS": choice.without_ckks,
}
