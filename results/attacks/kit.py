"""The conformance kit at work: ``python -m results.attacks.kit [FILE]`` writes ``kit.json``.

A right round is audited a hundred times, each wrong one ten times, Flower's and our own once.
"""

import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pride_jax as pride
from pride_jax.files import read_json, write_json
from pride_jax.reporting.markdown import table
from pride_jax.runs.environment import environment
from results.attacks.strategies import CLIENTS, FAULTS, NOISE, NORM, RATE, Right

PARAMETERS = 50
_RIGHT, _WRONG = 100, 10

Auditor = Callable[[int], pride.AuditReport]
"""A seed -> what the kit says."""


def plan_of(sampler: Any) -> pride.Plan:
    """What every round claims."""
    return pride.Plan(
        sampler=sampler,
        clipping=pride.Flat(NORM),
        mechanism=pride.Gaussian(NOISE),
        rounds=20,
        delta=1e-5,
    )


POISSON = plan_of(pride.truncated_poisson(CLIENTS, RATE))
FIXED = plan_of(pride.fixed_size(CLIENTS, round(RATE * CLIENTS)))


def in_numpy(kind: type[Right]) -> Auditor:
    """Of a round in plain NumPy."""
    return lambda seed: pride.audit_round(kind(seed), POISSON, PARAMETERS, seed=seed)


def of_flower(by_examples: bool) -> Auditor:
    """Of Flower's wrapper, which weighs clients by their examples or does not."""

    def audit(seed: int) -> pride.AuditReport:
        from results.attacks.flower_round import flower_round, start, values

        one_round = flower_round(seed, by_examples)
        return pride.audit_round(
            one_round, FIXED, PARAMETERS, start=start, parameters=values, seed=seed
        )

    return audit


def of_own(seed: int) -> pride.AuditReport:
    """Of our own round."""
    from results.attacks.own_round import own_round

    one_round, start, values = own_round(POISSON, PARAMETERS)
    return pride.audit_round(
        one_round, POISSON, PARAMETERS, start=start, parameters=values, seed=seed
    )


def rows() -> Iterator[dict[str, Any]]:
    """Every round, audited as often as it is."""
    yield _row("right, NumPy", "", in_numpy(Right), _RIGHT)
    for kind, fault in FAULTS.items():
        yield _row(f"{kind.__name__}, NumPy", fault, in_numpy(kind), _WRONG)
    yield _row("Flower's DP wrapper, weighted mean", "weights", of_flower(True), 1)
    yield _row("Flower's DP wrapper, all weights 1", "", of_flower(False), 1)
    yield _row("pride_jax's own", "", of_own, 1)


def _row(name: str, fault: str, audit: Auditor, repetitions: int) -> dict[str, Any]:
    reports, seconds = [], []
    for seed in range(repetitions):
        begun = time.process_time()
        reports.append(audit(seed))
        seconds.append(time.process_time() - begun)
    found = Counter(
        each.what for report in reports for each in report.findings if each.verdict == "FAULT"
    )
    of_fault = [
        each for report in reports for each in report.findings if each.what == (fault or "noise")
    ]
    print(name, Counter(report.verdict for report in reports), dict(found), flush=True)
    return {
        "round": name,
        "fault": fault,
        "repetitions": repetitions,
        "verdicts": Counter(report.verdict for report in reports),
        "found": found,
        "evidence": of_fault[0].evidence,
        "p_value": max(each.p_value for each in of_fault),
        "rounds": reports[0].rounds,
        "cpu_seconds": statistics.median(seconds),
    }


def findings(results: Path) -> str:
    """What the kit said of each round, how often, and how long it took."""
    lines = [
        [
            row["round"],
            row["fault"] or "none",
            f"{row['found'].get(row['fault'], 0)} of {row['repetitions']}" if row["fault"] else "–",
            f"{row['verdicts'].get('pass', 0)} of {row['repetitions']}",
            row["evidence"],
            f"{row['p_value']:.0e}" if row["fault"] else "–",
            f"{row['cpu_seconds']:.1f}",
        ]
        for row in read_json(results / "attacks" / "kit.json")["rows"]
    ]
    header = ["round", "its fault", "fault found", "passes", "evidence, of the first audit"]
    return table([*header, "largest p", "seconds of a core"], lines)


def setting(results: Path) -> str:
    """The sentence on what is claimed, and how often a round was run."""
    saved = read_json(results / "attacks" / "kit.json")
    asked = saved["setting"]
    return (
        f"Claimed of each: {asked['clients']} clients, {asked['rate']:g} of them a round (by "
        f"Poisson sampling; Flower: a fixed number), clipping norm {asked['norm']:g}, noise "
        f"multiplier {asked['noise']:g}. {asked['parameters']} parameters; an audit runs "
        f"{asked['rounds']:,} rounds.\n"
    )


def main() -> None:
    """Writes the JSON."""
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "kit.json"
    measured = list(rows())
    asked = {
        "clients": CLIENTS,
        "rate": RATE,
        "norm": NORM,
        "noise": NOISE,
        "parameters": PARAMETERS,
        "rounds": measured[0]["rounds"],
    }
    ran_on = environment() | {"cores": os.cpu_count()}
    write_json(path, {"rows": measured, "setting": asked, "environment": ran_on})


if __name__ == "__main__":
    main()
