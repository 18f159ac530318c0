"""Who can see what in a run, and what it guarantees, in words a reviewer can check."""

from typing import Any

from pride_jax.aggregation.secure_sum import Sight
from pride_jax.engine.secure import SecureAggregation
from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort, tuning_epsilon
from pride_jax.privacy.plan import PrivacyPlan
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
    plan: PrivacyPlan | None,
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
    secret = plan is not None and plan.sampling != "full"
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


def _guarantee(config: Experiment, plan: PrivacyPlan, releases: int) -> list[str]:
    """Adjacency, unit, (ε, δ), sampler, mechanism, accountant, against whom, cost of tuning."""
    sentences = [
        f"Client-level differential privacy: ε = {epsilon(plan, releases):.4g} at "
        f"δ = {plan.delta:g} for all {releases} released models together, where "
        f"{_NEIGHBOUR[plan.relation]}, and the number of clients, {plan.num_clients}, is public.",
        f"{_sampling(plan)} Each update is clipped to an L2 norm of {_norm(plan)}; "
        f"{_mechanism(plan)} The sum is divided by the weight expected of a cohort.",
        f"Accounted by {_accountant(plan)}.",
        f"{_against(plan)} Against who also knows each round's cohort: "
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
            f"{'Cohorts' if plan.mechanism == 'skellam' else 'Noise and cohorts'} were drawn from "
            f"the seed {config.privacy.seed}, which is public: there is no such guarantee against "
            "anyone who knows it."
        )
    return sentences


_NEIGHBOUR = {
    "zero_out": "one client's whole data becomes nothing",
    "replace_one": "one client's whole data becomes any other",
}


def _sampling(plan: PrivacyPlan) -> str:
    match plan.sampling:
        case "full":
            return "Every client takes part in every round."
        case "fixed_size":
            return f"{plan.slots} clients a round, uniformly without replacement."
        case "truncated_poisson":
            return (
                f"Each client takes part in a round with probability {plan.rate:g}, apart from the "
                f"others; of more than {plan.slots}, as many are chosen at random."
            )
        case "cyclic_poisson":
            return (
                f"{plan.groups} groups of clients take turns; in its turn a client takes part with "
                f"probability {plan.turn_rate:g}, apart from the others; of more than "
                f"{plan.slots}, as many are chosen at random."
            )


def _norm(plan: PrivacyPlan) -> str:
    if plan.clipping == "flat":
        return f"{plan.clipping_norm:g}"
    return (
        f"at first {plan.clipping_norm:g}, which follows a private estimate of the "
        f"{plan.quantile:g} quantile of the norms, whose noise is part of ε"
    )


def _mechanism(plan: PrivacyPlan) -> str:
    match plan.mechanism:
        case "gaussian":
            return (
                f"the server adds Gaussian noise of standard deviation {plan.noise_multiplier:.4g} "
                "clipping norms to the sum, in floating point."
            )
        case "banded":
            return (
                "the server adds Gaussian noise in floating point, correlated over "
                f"{plan.band} rounds, noise multiplier {plan.noise_multiplier:.4g}."
            )
        case "skellam":
            return (
                f"it is rounded to integers of squared norm at most {plan.max_squared_norm}, and "
                "each client adds a share of Skellam noise before protection, so that the sum of "
                f"those not missing (up to {plan.dropouts}) nor telling their shares (up to "
                f"{plan.colluders}) holds a variance of at least {plan.noise_variance:.6g}; with "
                "more missing nothing is opened."
            )


def _accountant(plan: PrivacyPlan) -> str:
    if plan.mechanism == "skellam":
        return (
            "Rényi divergences (Agarwal et al. 2021), subsampled where clients are, with the "
            "rounds in which a cohort may be too large or too small at their full cost"
        )
    if plan.sampling == "full":
        return "the Gaussian mechanism's exact curve (Balle & Wang 2018)"
    if plan.sampling == "fixed_size":
        return "Rényi divergences under sampling without replacement, twice the clipping norm"
    return "privacy loss distributions (PLD), the truncation of cohorts included"


def _against(plan: PrivacyPlan) -> str:
    if plan.mechanism == "skellam":
        return (
            "It holds against who sees the released models; aggregator, key holder and clients, "
            "who see sums with the noise in them, know the cohorts besides."
        )
    return (
        "It holds against who sees the released models, not against aggregator or key holder, who "
        "see the sum before the noise."
    )


def _caveats(config: Experiment, plan: PrivacyPlan) -> list[str]:
    caveats = []
    if config.privacy.seed is None and (plan.mechanism != "skellam" or plan.sampling != "full"):
        caveats.append(_KEYS)
    caveats.append(_RESIDUES if plan.mechanism == "skellam" else _FLOATS)
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
_RESIDUES = (
    "Noised integers are sent as residues with room for the whole sum: the probability that any "
    "value of the run leaves it and is opened wrong is at most 2^-40, which costs the released "
    "models no privacy, and who opens the sums (1 + e^ε)·2^-40 of δ. "
    "Probabilities of the noise are right to 1 part in 10^10 where they exceed 1e-8, else to 1e-18."
)
_FLOATS = (
    "Sums in floating point round, which one client's data may change a little for others', and "
    "noise in floating point has gaps that a reader of the last bits could use: good for studies "
    "noise in floating point has gaps that a reader of the last bits could use: good for studies "
    "of utility; for a release, privacy.mechanism=skellam has none."
)


def _exponent_statement(name: str) -> list[str]:
    if not name.startswith(("paillier", "threshold")):
        return []
    return [
        "Obfuscators have short exponents, four times the security level, which assumes that such "
        "powers look random; aggregation.exponent=strict does not."
    ]
