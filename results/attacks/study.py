"""Attacks: digits from updates, membership, and audits of ε."""

from pride_jax.files import read_json
from pride_jax.reporting import audit_plots
from results.attacks import inversion, kit, released
from results.provenance import sources

PICTURES = {
    "audit.png": lambda results: audit_plots.audits(
        read_json(results / "attacks" / "audit.json")["audits"]
    ),
    "membership.png": lambda results: audit_plots.roc_curves(
        read_json(results / "attacks" / "membership.json")
    ),
}
TABLES = {
    "sources": sources(
        "attacks/inversion.json",
        "attacks/membership.json",
        "attacks/audit.json",
        "attacks/kit.json",
    ),
    "inversion setting": inversion.setting,
    "inversion of the 2NN": inversion.of_2nn,
    "inversion of the CNN": inversion.of_cnn,
    "inversion of each digit": inversion.every_digit,
    "inversion noise": inversion.noise_multipliers,
    "membership setting": released.membership_setting,
    "membership": released.membership,
    "audit setting": released.audit_setting,
    "audits": released.audits,
    "kit setting": kit.setting,
    "kit": kit.findings,
}
