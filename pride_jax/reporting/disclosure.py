"""Who can see what in a run, and what it guarantees, in words a reviewer can check."""

from typing import Any

from pride_jax.aggregation.secure_sum import Sight
from pride_jax.engine.secure import SecureAggregation
from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort, tuning_epsilon
from pride_jax.privacy.plan import Plan
from pride_jax.settings.experiment import Experiment

_NO_PROTOCOL = (
    Sight("aggregator, which is the simulating device", "every client's update, as floats"),
)
_EVERYONE = Sight("whoever has the released models", "what models tell of their training data")
_PUBLIC = "Clients' numbers of examples and sizes of messages are public."
_ROSTER = "The roster of each round is public."
_SECRET_ROSTER = (
    "Cohorts are known to aggregator, key holders and the clients called; ε against who sees the "
    "models holds only as long as nobody else learns them."
)
_OUTSIDE = (
    "Outside of any ε, computed from clients' data and written down as they are: training loss; "
    "numbers of clients, of clipped, fitted or zeroed updates and of sums not opened; accuracies "
    "over clients, of the central model and of clients alone; the picture of clients' labels; that "
    "a run stopped because it diverged."
)
_NO_DP = "No differential privacy: nothing bounds what the released models tell of one client."
_SIMULATED = (
    "Every role ran in one process, each function given only what its role may see; signing keys, "
    "and key holders' memory of what they opened, were new in every round. Nothing is "
    "constant-time."
)
_REAL = (
    "Every role ran in processes of its own. What a client sends is its signed message and, where "
    "clients open the sums, its keys, letters and shares; nothing else that depends on its data, "
    "but that it answered, and when. Who can start runs at the SuperLink chooses the code that the "
    "nodes run. Nothing is constant-time."
)


def disclosure(
    config: Experiment,
    secure: SecureAggregation | None,
    plan: Plan | None,
    releases: int | None,
    real: bool = False,
) -> dict[str, Any]:
    """What a run must say of itself.

    Args:
      config: the run's settings.
      secure: how it added updates.
      plan: what is private, if anything.
      releases: made by it, those that had to be done again included; the plan's if None.
      real: whether every role ran in processes of its own.

    Returns:
      ``protocol``, ``sights`` (who sees what, from the protocol's own description), ``guarantee``
      (one paragraph) and ``statements``, as JSON has them.
    """
    sights = _NO_PROTOCOL if secure is None else secure.protocol.sights
    secret = plan is not None and plan.sampler.amplifies
    statements = [_PUBLIC, _SECRET_ROSTER if secret else _ROSTER]
    statements += [_REAL] if real else [_OUTSIDE, _SIMULATED]
    if plan is None:
        guarantee = _NO_DP
        sights += (_EVERYONE,)
    else:
        guarantee = " ".join(_guarantee(config, plan, releases or plan.rounds))
        sights += (Sight(_EVERYONE.who, "models with noise, see the guarantee"),)
        statements += _caveats(config, plan)
    if secure is not None and config.aggregation.exponent == "default":
        statements += _exponent_statement(secure.protocol.name)
    return {
        "protocol": "none" if secure is None else secure.protocol.name,
        "sights": [sight._asdict() for sight in sights],
        "guarantee": guarantee,
        "statements": statements,
    }


def _guarantee(config: Experiment, plan: Plan, releases: int) -> list[str]:
    """Adjacency, unit, (ε, δ), sampler, mechanism, accountant, against whom, cost of tuning."""
    sampler, mechanism = plan.sampler, plan.mechanism
    sentences = [
        f"Client-level differential privacy: ε = {epsilon(plan, releases):.4g} at "
        f"δ = {plan.delta:g} for all {releases} released models together, where "
        f"{_NEIGHBOUR[sampler.adjacency]}, and the number of clients, {sampler.num_clients}, is "
        "public.",
        f"{sampler.describe()} Each update is clipped to an L2 norm of {plan.clipping.describe()}; "
        f"{mechanism.describe()} The sum is divided by the weight expected of a cohort.",
        f"Accounted by {mechanism.accountant(sampler)}.",
        f"{mechanism.against()} Against who also knows each round's cohort: "
        f"ε = {epsilon_known_cohort(plan, releases):.4g}.",
    ]
    if config.privacy.tuning_runs > 1:
        runs = config.privacy.tuning_runs
        sentences.append(
            f"Settings were chosen with {runs} runs on these clients. If their number was drawn "
            "in secret, geometric with that mean, if only the best run was released and if it was "
            "chosen by public data, all together cost "
            f"ε = {tuning_epsilon(plan, runs, releases):.4g}."
        )
    if config.privacy.seed is not None:
        sentences.append(
            f"{'Noise and cohorts' if mechanism.draws_from_key else 'Cohorts'} were drawn from "
            f"the seed {config.privacy.seed}, which is public: there is no such guarantee against "
            "anyone who knows it."
        )
    return sentences


_NEIGHBOUR = {
    "zero_out": "one client's whole data becomes nothing",
    "replace_one": "one client's whole data becomes any other",
}


def _caveats(config: Experiment, plan: Plan) -> list[str]:
    caveats = []
    if config.privacy.seed is None and (plan.mechanism.draws_from_key or plan.sampler.amplifies):
        caveats.append(_KEYS)
    caveats.append(plan.mechanism.caveat())
    if config.cohort.weighting == "examples":
        caveats.append(
            "Clients are weighted by their numbers of examples, which are taken to be public: "
            "ε does not cover them."
        )
    if config.partition.copies > 1:
        caveats.append(
            f"Every example is held by {config.partition.copies} clients: ε covers a client, not "
            "an example."
        )
    return caveats


_KEYS = (
    "What JAX draws, cohorts and noise in floating point, comes from 64 bits of the system's "
    "entropy, which JAX's generator stretches; it is not a cryptographic one."
)


def _exponent_statement(name: str) -> list[str]:
    if not name.startswith(("paillier", "threshold")):
        return []
    return [
        "Obfuscators have short exponents, four times the security level, which assumes that such "
        "powers look random; aggregation.exponent=strict does not."
    ]
