"""Attacks: T1 to T13, digits from updates, membership, and audits of ε."""

from pride_jax.files import read_json
from pride_jax.reporting import audit_plots
from results.attacks import inversion, kit, released, threats
from results.provenance import sources
from results.redo import steps_table

PICTURES = {
    "audit.png": lambda results: audit_plots.audits(
        read_json(results / "attacks" / "audit.json")["audits"]
    ),
    "membership.png": lambda results: audit_plots.roc_curves(
        read_json(results / "attacks" / "membership.json")
    ),
}
TABLES = {
    "before and after": threats.before_and_after,
    "steps": steps_table("attacks"),
    "sources": sources(
        "attacks/threats.json",
        "attacks/inversion.json",
        "attacks/membership.json",
        "attacks/audit.json",
        "attacks/kit.json",
    ),
    "inversion setting": inversion.setting,
    "digits": inversion.digits,
    "inversion noise": inversion.noise_multipliers,
    "membership setting": released.membership_setting,
    "membership": released.membership,
    "audit setting": released.audit_setting,
    "audits": released.audits,
    "kit setting": kit.setting,
    "kit": kit.findings,
}
