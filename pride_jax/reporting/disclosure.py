"""Who can see what in a run, and what it guarantees, in words a reviewer can check."""

import math
from typing import Any

from pride_jax.aggregation.sights import (
    AGGREGATOR,
    CLIENTS,
    OF_CLEAR_SCORES,
    OF_SCORES,
    OTHER_CLIENTS,
    OTHER_PARTY,
    Sight,
    both,
)
from pride_jax.engine.secure import SecureAggregation
from pride_jax.privacy.accounting import epsilon, epsilons
from pride_jax.privacy.charge import charge
from pride_jax.privacy.groups import group_epsilon
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.values import Floats
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.own import is_own

_NO_PROTOCOL = (
    *both(
        f"{AGGREGATOR}, which is the simulating device",
        "every client's update, as floats",
        "tests/attacks/test_run_inversion.py::test_what_is_clear_gives_the_digit_back",
    ),
    *OTHER_CLIENTS,
)
_MODELS = "Whoever has the released models learns what models tell of their training data."
_SIZES = "Clients' numbers of examples are public."
_MESSAGES = "Sizes of messages are public."
_ROSTER = "The roster of each round is public."
_SECRET_ROSTER = (
    "Aggregator, key holders and the clients called know a round's cohort. How many it has stands "
    "in nothing that this run lets everybody read. How long a run takes cannot be hidden: who "
    "watches it, its network, or when its files change, can guess how many were called, and counts "
    "as a reader who knows."
)
_MEASURED = (
    "computed from clients' data: training loss; numbers of clients, of clipped, fitted or zeroed "
    "updates and of sums not opened; bytes and seconds; scores over clients, of the central model "
    "and of clients alone; the picture of clients' labels"
)
_HIDDEN = f"Outside of any ε, and for the run's owner alone, in private/, is what is {_MEASURED}."
_OUTSIDE = f"Outside of any ε, and written down for everybody, is what is {_MEASURED}."
_NO_DP = "No differential privacy: nothing bounds what the released models tell of one client."
_SIMULATED = (
    "Every role ran in one process, each function given only what its role may see; signing keys, "
    "and key holders' memory of what they opened, were new in every round. Nothing is "
    "constant-time."
)
_REAL = (
    "Every role ran in processes of its own. What a client sends is its signed message and, where "
    "clients open the sums, its keys, letters and shares; {}nothing else that depends on its data, "
    "but that it answered, and when. Who can start runs at the SuperLink chooses the code that the "
    "nodes run. Nothing is constant-time."
)
_SCORED = "if the server has no test set, sums of its held-out examples' scores; "
_SCORES = (
    "If the server has no test set, the protocol adds up the scores of the examples that clients "
    "hold out, once an evaluation, of all clients or of none: where one does not answer, there is "
    "no evaluation. The aggregator writes these sums down, by which one of two clients knows the "
    "other's. A server that cheats chooses the models that are scored."
)


def disclosure(
    config: Experiment,
    secure: SecureAggregation | None,
    plan: Plan | NoPlan,
    releases: int | None,
    clients: int,
    holders: int = 1,
    real: bool = False,
) -> dict[str, Any]:
    """What a run must say of itself.

    Args:
      config: the run's settings.
      secure: how it added updates.
      plan: what is private, or that nothing is.
      releases: made by it, those that had to be done again included; the plan's if None.
      clients: how many there are.
      holders: the most clients that hold one same example.
      real: whether every role ran in processes of its own.

    Returns:
      ``protocol``, ``sights`` (who sees what, from the protocol's own description), ``guarantee``
      (one paragraph), ``epsilon_against`` (of readers who know more and more; null without any) and
      ``statements``, as JSON has them.
    """
    scored = real and config.partition.held_out > 0 and not config.privacy.is_private
    sights = (*_sights(secure, plan, clients), *(_sights_of_scores(secure) if scored else ()))
    secret = isinstance(plan, Plan) and plan.sampler.amplifies and config.privacy.hides
    sizes = real or config.weighting == "examples"
    statements = [*([_SIZES] if sizes else []), _MESSAGES, _SECRET_ROSTER if secret else _ROSTER]
    statements += [_REAL.format(_SCORED if scored else "")] if real else [_SIMULATED]
    statements += [_SCORES] if scored else []
    if config.privacy.hides or not real:
        statements.append(_HIDDEN if config.privacy.hides else _OUTSIDE)
    against = None
    if isinstance(plan, NoPlan):
        guarantee = _NO_DP
        statements.append(_MODELS)
    else:
        against = _epsilons(plan, releases or plan.rounds)
        guarantee = " ".join(_guarantee(config, plan, releases or plan.rounds, against))
        statements += _caveats(config, plan) + _distance(plan, releases or plan.rounds)
        statements += _of_examples(plan, releases or plan.rounds, holders, real)
    if secure is not None and config.aggregation.exponent == "default":
        statements += _exponent_statement(secure.protocol.name)
    if secure is not None and secure.protocol.name.startswith("lattice("):
        statements.append(_KEYS_APART)
    return {
        "protocol": "none" if secure is None else secure.protocol.name,
        "sights": [sight._asdict() for sight in sights],
        "guarantee": guarantee,
        "epsilon_against": against,
        "statements": statements,
    }


def _sights(
    secure: SecureAggregation | None, plan: Plan | NoPlan, clients: int
) -> tuple[Sight, ...]:
    """The protocol's own; where two parties share a model without noise, that each has both."""
    sights = _NO_PROTOCOL if secure is None else secure.protocol.sights
    if clients != 2 or isinstance(plan, Plan):
        return sights
    others = [sight for sight in sights if sight.who != CLIENTS]
    return *others, OTHER_PARTY, OTHER_PARTY._replace(adversary="active")


def _sights_of_scores(secure: SecureAggregation | None) -> tuple[Sight, ...]:
    """Of scores of what real parties hold out."""
    clear = secure is None or secure.protocol.name == "plain"
    return OF_CLEAR_SCORES if clear else OF_SCORES


def _epsilons(plan: Plan, releases: int) -> dict[str, float | None]:
    """ε against every reader of the released models; null where there is none."""
    found = epsilons(plan, releases)
    return {who: value if math.isfinite(value) else None for who, value in found.items()}


def _guarantee(
    config: Experiment, plan: Plan, releases: int, against: dict[str, float | None]
) -> list[str]:
    """Adjacency, unit, (ε, δ), sampler, mechanism, accountant, against whom."""
    sampler, mechanism = plan.sampler, plan.mechanism
    sentences = [
        f"Client-level differential privacy: ε = {epsilon(plan, releases):.4g} at "
        f"δ = {plan.delta:g} for all {releases} released models together, where "
        f"{NEIGHBOUR[sampler.adjacency]}, and the number of clients, {sampler.num_clients}, is "
        "public.",
        f"{sampler.describe()} Each update is clipped to an L2 norm of {plan.clipping.describe()}; "
        f"{mechanism.describe()} The sum is divided by the weight expected of a cohort.",
        f"Accounted by {mechanism.accountant(sampler)}.",
        f"{mechanism.against()} Against readers of the released models alone: "
        f"{_shown(against['models'])}; against readers who also know how many clients were called "
        f"in each round: {_shown(against['cohort_sizes'])}; against who also knows who they were: "
        f"{_shown(against['cohorts'])}.",
    ]
    if config.privacy.seed is not None:
        sentences.append(
            f"{'Noise and cohorts' if mechanism.draws_from_key else 'Cohorts'} were drawn from "
            f"the seed {config.privacy.seed}, which is public: there is no such guarantee against "
            "anyone who knows it."
        )
    return sentences


def _shown(epsilon: float | None) -> str:
    return "no ε" if epsilon is None else f"ε = {epsilon:.4g}"


NEIGHBOUR = {
    "zero_out": "one client's whole data becomes nothing",
    "replace_one": "one client's whole data becomes any other",
}
"""What a sampler's neighbouring populations differ in."""


def _caveats(config: Experiment, plan: Plan) -> list[str]:
    caveats = []
    if config.privacy.seed is None and (plan.mechanism.draws_from_key or plan.sampler.amplifies):
        caveats.append(_KEYS)
    caveats += [plan.mechanism.caveat(), _TUNING]
    if config.weighting == "examples":
        caveats.append(
            "Clients are weighted by their numbers of examples: ε does not cover these numbers."
        )
    if is_own(config.data.name):
        caveats.append(
            f"What {config.data.name} shifts and scales examples by is taken to be a public "
            "constant: ε does not cover what is computed from clients' examples beforehand."
        )
    return caveats


def _of_examples(plan: Plan, releases: int, holders: int, real: bool) -> list[str]:
    """What is promised for an example that several clients hold."""
    if real:
        return ["Nobody compares parties' examples: ε covers each party that holds one alone."]
    if holders == 1:
        return []
    together = group_epsilon(plan, holders, releases)
    promised = "nothing is promised: ε covers a client, not an example."
    if math.isfinite(together):
        promised = f"ε = {together:.4g} at δ = {plan.delta:g}, by group privacy."
    return [
        f"One same example is held by up to {holders} clients. For all of them together, and so "
        f"for the example, {promised}"
    ]


_KEYS = (
    "Cohorts, and noise that the server adds, are drawn by ChaCha20 under a key of 256 bits of the "
    "system's entropy."
)


_TUNING = (
    "ε is that of this run alone. Settings chosen on these clients' data, by other runs, are not "
    "covered: choose them on public data, or with `sweep.py --private`, which accounts for all."
)


def _distance(plan: Plan, releases: int) -> list[str]:
    """How far what is drawn is from what is accounted for, and what that costs."""
    values = plan.mechanism.values
    if isinstance(values, Floats) or not plan.mechanism.states_distance:
        return []
    distance = plan.distance(releases)
    return [
        f"Noise of {values.dimension} values and cohorts, in {releases} releases, "
        f"are together within {distance:.1e} in total variation of what is accounted for, of which "
        f"(1 + e^ε) times as much is charged to δ: {charge(epsilon(plan, releases), distance):.1e}."
    ]


_KEYS_APART = (
    "Updates travel under keys for one message, and the protocol adds the keys. That updates are "
    "hidden assumes ring learning with errors, too, at an estimated 128 bits of security."
)


def _exponent_statement(name: str) -> list[str]:
    if not name.removeprefix("lattice(").startswith(("paillier", "threshold")):
        return []
    return [
        "Obfuscators have short exponents, four times the security level, which assumes that such "
        "powers look random; aggregation.exponent=strict does not."
    ]
