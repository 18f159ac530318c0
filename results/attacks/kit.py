"""The conformance kit at work: ``python -m results.attacks.kit [FILE]`` writes ``kit.json``."""

import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pride_jax as pride
from pride_jax.files import read_json, write_json
from pride_jax.reporting.markdown import table
from pride_jax.runs.environment import environment
from results.attacks.strategies import CLIENTS, FAULTS, NOISE, NORM, RATE, Right

PARAMETERS = 50

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


def _in_numpy(kind: type[Right], seed: int) -> pride.AuditReport:
    return pride.audit_round(kind(seed), POISSON, PARAMETERS, seed=seed)


def _of_flower(by_examples: bool, seed: int) -> pride.AuditReport:
    from results.attacks.flower_round import flower_round, start, values

    one_round = flower_round(seed, by_examples)
    return pride.audit_round(
        one_round, FIXED, PARAMETERS, start=start, parameters=values, seed=seed
    )


def _own(seed: int) -> pride.AuditReport:
    from results.attacks.own_round import own_round

    one_round, start, values = own_round(POISSON, PARAMETERS)
    return pride.audit_round(
        one_round, POISSON, PARAMETERS, start=start, parameters=values, seed=seed
    )


class Case(NamedTuple):
    """A round, what is wrong with it, if anything, and how often it is audited."""

    name: str
    fault: str
    audit: Auditor
    repetitions: int


CASES = (
    Case("right, NumPy", "", partial(_in_numpy, Right), 100),
    *(
        Case(f"{kind.__name__}, NumPy", fault, partial(_in_numpy, kind), 5)
        for kind, fault in FAULTS.items()
    ),
    Case("Flower's DP wrapper, weighted mean", "weights", partial(_of_flower, True), 1),
    Case("Flower's DP wrapper, all weights 1", "", partial(_of_flower, False), 1),
    Case("pride_jax's own", "", _own, 1),
)


def _timed(job: tuple[int, int]) -> tuple[pride.AuditReport, float]:
    """A case and a seed -> the kit's report, and the seconds of a core that it took."""
    begun = time.process_time()
    report = CASES[job[0]].audit(job[1])
    return report, time.process_time() - begun


def rows() -> Iterator[dict[str, Any]]:
    """Every case, on two cores."""
    jobs = [(number, seed) for number, case in enumerate(CASES) for seed in range(case.repetitions)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        done = dict(zip(jobs, pool.map(_timed, jobs), strict=True))
    for number, case in enumerate(CASES):
        reports, seconds = zip(
            *(done[number, seed] for seed in range(case.repetitions)), strict=True
        )
        yield _row(case, reports, seconds)


def _row(
    case: Case, reports: Sequence[pride.AuditReport], seconds: Sequence[float]
) -> dict[str, Any]:
    findings = [each for report in reports for each in report.findings]
    told = [each for each in findings if each.what == (case.fault or "noise")]
    return {
        "round": case.name,
        "fault": case.fault,
        "repetitions": case.repetitions,
        "verdicts": Counter(report.verdict for report in reports),
        "found": Counter(each.what for each in findings if each.verdict == "FAULT"),
        "evidence": told[0].evidence,
        "p_value": max(each.p_value for each in told),
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
