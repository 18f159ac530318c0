"""Tables of membership attacks beside their ceilings, and of audits beside their claims."""

import statistics
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table


def membership(results: Path) -> str:
    """The attack without privacy and at each ε, with what no attack exceeds there."""
    lines = [
        [
            "no DP" if row["epsilon"] is None else f"{row['epsilon']:g}",
            rounded(row["noise_multiplier"], 3),
            f"{row['test_accuracy']:.3f}",
            *(
                "–" if row[field] is None else f"{row[field]:.3f}"
                for field in ("auc", "auc_ceiling", "tpr_at_1_percent", "tpr_at_1_percent_ceiling")
            ),
            f"{row['seconds']:.0f}",
        ]
        for row in read_json(results / "attacks" / "membership.json")["rows"]
    ]
    header = ["ε", "noise multiplier", "test accuracy", "AUC", "AUC at most", "TPR at 1% FPR"]
    return table([*header, "TPR at most", "seconds"], lines)


def membership_setting(results: Path) -> str:
    """The sentence on the clients, the runs and the trials."""
    report = read_json(results / "attacks" / "membership.json")
    asked, error = report["setting"], report["rows"][-1]["auc_error"]
    return (
        f"{asked['clients']} clients of {asked['examples']} examples, {asked['rounds']} rounds, "
        f"δ = {asked['delta']:g}, {asked['runs']} runs, of which half are attacked: "
        f"{asked['runs'] // 2 * asked['clients']:,} trials. Were they independent, the AUC's "
        f"standard error would be {error:.3f}.\n"
    )


def audit_setting(results: Path) -> str:
    """The sentence on canaries and confidence."""
    reports = read_json(results / "attacks" / "audit.json")["audits"]
    (asked,) = {tuple(report["setting"].items()) for report in reports}
    setting = dict(asked)
    return (
        f"At most {setting['canaries']:,} canaries beside the config's own clients, "
        f"{setting['confidence']:.0%} confidence; {setting['repetitions']} audits in one program.\n"
    )


def audits(results: Path) -> str:
    """Guesses, bounds and estimates of every claim: lowest, median and highest of its audits."""
    lines = [
        [
            report["config"],
            report["privacy"]["mechanism"],
            f"{report['delta']:g}",
            f"{report['claimed']:.3f}",
            f"{report['canaries']:,}",
            f"{_range(report['rows'], 'correct', 0)} of {report['rows'][0]['guesses']}",
            _range(report["rows"], "bound", 2),
            f"{report['largest']:.2f}",
            _range(report["rows"], "estimate", 2),
            f"{report['violations']} ({report['allowed']})",
            report["verdict"],
            f"{report['seconds']:.0f}",
        ]
        for report in read_json(results / "attacks" / "audit.json")["audits"]
    ]
    header = ["config", "mechanism", "δ", "claimed ε", "canaries", "right guesses"]
    header += ["lower bound on ε", "of perfect guesses", "estimate of ε", "violations (allowed)"]
    return table([*header, "verdict", "seconds of all"], lines)


def _range(rows: list[dict[str, float]], field: str, digits: int) -> str:
    values = [row[field] for row in rows]
    three = min(values), statistics.median(values), max(values)
    return " / ".join(f"{value:.{digits}f}" for value in three)
