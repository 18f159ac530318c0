"""The conformance kit: whether anybody's round of federated learning does what its plan claims.

A round is a black box, of any framework. Crafted clients go in, and what comes out is compared with
the claim: the noise, what one client can add to it, who is called, and what the sum is divided by.
Besides, rounds with a client and without it prove an ε whatever the noise is.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from pride_jax.attacks.audit import Counts, clopper_pearson_bound, many_run_bound
from pride_jax.attacks.audit_intervals import Interval
from pride_jax.attacks.audit_probes import Client, Federation, Seen, State, few_clients, probe_all
from pride_jax.attacks.audit_questions import Part, Question, num_intervals, questions
from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import CyclicPoisson
from pride_jax.validated import expect, expect_whole

_ALARMS = 1e-4
"""Share of right rounds that are called faulty, by any finding, where means are normal."""
_TOLERATED = 1.01
"""A harm that rounding and margins of a right round may look like."""
_TELLING = 2.0
"""A finding passes where it refutes a fault of this factor."""
_FEWEST, _MOST = 3000, 20_000
_SMALLEST = 4
"""Parameters: a direction, a place for idle clients, and two beside."""

Verdict = Literal["pass", "FAULT", "no power"]


class Finding(NamedTuple):
    """One thing that was looked for.

    Attributes:
      what: is looked for.
      verdict: ``FAULT``: the claim is refuted. ``pass``: not the claim, but a fault of a factor
        of 2 is. ``no power``: neither is, so that nothing is said.
      harm: where the factor lies by which the claim is exceeded; 1 as claimed, more where less is
        protected.
      evidence: what was seen, in words.
      p_value: of the claim, corrected for everything that was looked for; 1 without a fault.
      proved: the smallest ε of all rounds that the fault is consistent with; 0 without a fault,
        infinite where no accountant knows what was found.
    """

    what: str
    verdict: Verdict
    harm: Interval
    evidence: str
    p_value: float
    proved: float


class AuditReport(NamedTuple):
    """What the kit found.

    Attributes:
      verdict: ``FAULT`` if any finding is one; else ``no power`` if one of those that were compared
        with the claim has none; else ``pass``.
      findings: those that were compared with the claim, and last what one round proves on its own,
        which can refute the claim but not confirm it.
      claimed: ε of the plan.
      delta: of the plan.
      alarms: the probability that a right round is called faulty, at most, as far as means of
        thousands of rounds are normal.
      rounds: that were run.
      seconds: that it took.
    """

    verdict: Verdict
    findings: list[Finding]
    claimed: float
    delta: float
    alarms: float
    rounds: int
    seconds: float

    def __str__(self) -> str:
        """A line for each finding, and the verdict."""
        lines = [
            f"{each.verdict:<9} {each.what:<14} {each.evidence}{_faulty(each)}"
            for each in self.findings
        ]
        lines.append(
            f"{self.verdict}: ε = {self.claimed:.3g} at δ = {self.delta:g} is claimed; "
            f"{self.rounds:,} rounds in {self.seconds:.0f} s. Of right rounds, at most "
            f"{self.alarms:.2%} are called faulty."
        )
        return "\n".join(lines)


def _faulty(finding: Finding) -> str:
    if finding.verdict != "FAULT":
        return ""
    known = f"ε at least {finding.proved:.3g}"
    return (
        f"; p < {finding.p_value:.0e}, {known if math.isfinite(finding.proved) else 'no ε known'}"
    )


def audit_round(
    one_round: Callable[[State, Sequence[Client]], State],
    plan: Plan,
    num_parameters: int,
    *,
    start: Callable[[int], State] = np.zeros,
    parameters: Callable[[State], Float[np.ndarray, "parameters"]] = np.asarray,
    samples: int | None = None,
    seed: int = 0,
) -> AuditReport:
    """Whether a round function, of any framework, does what a plan claims of it.

    Faults of 1% are tolerated, as rounding and margins may look like them. The model needs no data:
    the clients' updates are given, and the round may not change them in place.

    Args:
      one_round: a state and all of the plan's clients -> the next state. It draws the cohort,
        clips, adds, noises and divides as it always does. The server's step must be plain, without
        momentum: what was released is how far the parameters moved.
      plan: the claim; of flat clipping, and rounds whose noise is independent.
      num_parameters: of the model; a small one will do.
      start: the number of parameters -> a state to begin a run with, its randomness new each time.
      parameters: a state -> its released parameters, as a vector.
      samples: rounds of each of eight probes; `needed_samples` of the plan if not given.
      seed: of what the clients do.

    Raises:
      ConfigError: the plan is none that the kit knows, the model is too small, or what is released
        is not so many finite numbers.
    """
    if not callable(one_round):
        raise ConfigError(
            f"one_round is of type {type(one_round).__name__}: expected a function of a state and "
            "the clients, which gives the next state"
        )
    _check(plan, num_parameters)
    begun = time.perf_counter()
    wanted = needed_samples(plan) if samples is None else samples
    seen = probe_all(Federation(one_round, start, parameters, num_parameters), plan, wanted, seed)
    intervals = num_intervals(plan, num_parameters)
    asked = questions(plan, seen)
    compared = [_finding(question, intervals) for question in asked]
    alone = _one_round(plan, seen, intervals)
    return AuditReport(
        verdict=_verdict(compared, alone),
        findings=[*compared, alone],
        claimed=epsilon(plan),
        delta=plan.delta,
        alarms=_ALARMS,
        rounds=8 * seen.present.along.size,
        seconds=time.perf_counter() - begun,
    )


def needed_samples(plan: Plan) -> int:
    """Rounds of each probe with which a right round passes; 20,000 if those are not enough."""
    sampler, noise = plan.sampler, plan.mechanism.noise_multiplier
    called = few_clients(plan) * sampler.rate
    enough = [float(_FEWEST), 90 * (called + noise**2) / called**2]
    if sampler.amplifies and sampler.rate < 1:
        # The variance of how many are called must stand out of the noise's.
        spread = sampler.expected_cohort * (1 - sampler.rate)
        enough.append(1200 * (1 + noise**2 / spread) ** 2)
    return math.ceil(min(_MOST, max(enough)))


def _check(plan: Plan, num_parameters: int) -> None:
    expect("plan", plan, Plan, "the Plan that the rounds are to keep")
    expect_whole("num_parameters", num_parameters)
    if not isinstance(plan.clipping, Flat):
        raise ConfigError(
            f"clipping={plan.clipping}: expected Flat, whose norm is known beforehand"
        )
    if isinstance(plan.mechanism, Banded) or isinstance(plan.sampler, CyclicPoisson):
        raise ConfigError(
            f"mechanism={plan.mechanism}, sampler={plan.sampler}: expected rounds that do not "
            "depend on one another, as with Gaussian or Skellam noise and any other sampler"
        )
    if plan.mechanism.noise_multiplier == 0:
        raise ConfigError("noise_multiplier=0: expected noise, without which no ε is claimed")
    if num_parameters < _SMALLEST or plan.sampler.num_clients < 2:
        raise ConfigError(
            f"num_parameters={num_parameters}, num_clients={plan.sampler.num_clients}: expected at "
            f"least {_SMALLEST} parameters and 2 clients"
        )


def _finding(question: Question, intervals: int) -> Finding:
    errors = _errors(intervals)
    worst = max((question.main, *question.others), key=lambda part: part.harm(errors).low)
    harm = worst.harm(errors)
    if harm.low > _TOLERATED:
        p_value, proved = _p_value(worst, intervals), worst.cost(harm.low)
        return Finding(question.what, "FAULT", harm, worst.says(errors), p_value, proved)
    harm = question.main.harm(errors)
    verdict: Verdict = "pass" if harm.high < _TELLING else "no power"
    return Finding(question.what, verdict, harm, question.main.says(errors), 1.0, 0.0)


def _errors(intervals: int) -> float:
    """Standard errors by which none of the figures is off, but for the alarms."""
    from scipy.stats import norm

    return float(norm.isf(_ALARMS / 2 / (intervals + 1)))


def _p_value(part: Part, intervals: int) -> float:
    """The least probability of an alarm at which the claim is still refuted."""
    from scipy.stats import norm

    low, high = 0.0, 37.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if part.harm(middle).low > _TOLERATED else (low, middle)
    return 2 * (intervals + 1) * float(norm.sf(low))


def _one_round(plan: Plan, seen: Seen, intervals: int) -> Finding:
    """What rounds with a client and without it prove of the ε of one, whatever the noise."""
    from scipy.stats import binom

    claimed, confidence = epsilon(plan, 1), 1 - _ALARMS / (intervals + 1)
    present, absent = seen.present.along.ravel(), seen.absent.along.ravel()
    proved = many_run_bound(present, absent, plan.delta, confidence)
    tried = len(present) - len(present) // 2
    # Who always tells when the canary was called, which is as often as chance may have it.
    called = int(binom.ppf(confidence, tried, plan.sampler.rate))
    perfect = Counts(called, tried, 0, tried)
    largest = clopper_pearson_bound(perfect, plan.delta, confidence)
    verdict: Verdict = "pass" if largest > claimed else "no power"
    if proved > claimed:
        verdict = "FAULT"
    return Finding(
        "one round",
        verdict,
        Interval(proved / claimed, math.inf),
        f"proves ε of at least {proved:.3g}, {claimed:.3g} claimed; perfect guesses would prove "
        f"{largest:.3g}",
        _ALARMS if verdict == "FAULT" else 1.0,
        proved if verdict == "FAULT" else 0.0,
    )


def _verdict(compared: list[Finding], alone: Finding) -> Verdict:
    if "FAULT" in {each.verdict for each in [*compared, alone]}:
        return "FAULT"
    return "no power" if "no power" in {each.verdict for each in compared} else "pass"
