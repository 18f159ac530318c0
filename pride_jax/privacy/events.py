"""A plan as an event of dp_accounting, for whatever accountant; and a plan from such an event."""

from typing import TYPE_CHECKING

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import profile
from pride_jax.privacy.clipping import Clipping
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.mechanism import Memoryless
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import Accounted, Full, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Values

if TYPE_CHECKING:
    from dp_accounting import DpEvent


def event_of(plan: Plan, releases: int) -> "DpEvent":
    """Releases as an event, for an accountant of the plan's adjacency.

    Of who sees the models; Skellam noise as Gaussian noise that costs no less. For cohorts of a
    fixed size the noise is over what replacing a client may change, twice the clipping norm.

    Args:
      plan: what is released.
      releases: how often, at least once.

    Raises:
      ConfigError: no event tells what the plan costs.
    """
    import dp_accounting

    setting, sampler, mechanism = plan.setting, plan.sampler, plan.mechanism
    if isinstance(sampler, Full) or _unamplified(plan, releases):
        each, times = (1, releases) if isinstance(mechanism, Memoryless) else (releases, 1)
        noise = 1 / mechanism.gaussian_move(setting, each)
        return dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(noise), times)
    if mechanism.dropouts:
        raise ConfigError(
            f"mechanism={mechanism}: expected no dropouts, since noise tells how many are missing "
            "and no event of dp_accounting does; use an ε from pride_jax.epsilon"
        )
    turns = sampler.turns(releases)
    shown = turns * sampler.shown(plan.smallest_cohort)
    if shown > _UNTOLD * plan.delta:
        raise ConfigError(
            f"smallest_cohort={plan.smallest_cohort} of {sampler}: no event of dp_accounting tells "
            f"that sums of fewer clients are not opened, which shows a call with {shown:.1e}; "
            "expected larger cohorts, or an ε from pride_jax.epsilon"
        )
    noise = 1 / mechanism.gaussian_move(setting, min(sampler.separation, plan.rounds))
    return dp_accounting.SelfComposedDpEvent(sampler.event(noise), turns)


_UNTOLD = 1e-3
"""Of δ that an event may leave out."""


def _unamplified(plan: Plan, releases: int) -> bool:
    return profile(plan, releases, "models") == profile(plan, releases, "cohorts")


def plan_of_event(
    event: "DpEvent",
    *,
    num_clients: int,
    clipping: Clipping,
    delta: float,
    values: Values = DeviceIntegers(),
) -> Plan:
    """The plan of independent Gaussian noise whose releases are an event of dp_accounting.

    An event tells rounds, draws and noise. It knows no groups that take turns, no correlated noise
    and no Skellam noise: of such plans' events another plan is made that costs as much, of the
    clients of one group, or of one release for all.

    Args:
      event: ``GaussianDpEvent``, alone or under ``PoissonSampledDpEvent`` or
        ``SampledWithoutReplacementDpEvent``, or ``TruncatedSubsampledGaussianDpEvent``; of several
        rounds in a ``SelfComposedDpEvent``. Probabilities are rounded down to multiples of 2^-32.
      num_clients: all clients.
      clipping: to which norm updates are scaled down.
      delta: of (ε, δ).
      values: what updates are added as.

    Raises:
      ConfigError: the event is none of these, or of another number of clients; or the plan is
        refused.
    """
    import dp_accounting

    rounds = 1
    while isinstance(event, dp_accounting.SelfComposedDpEvent):
        rounds, event = rounds * event.count, event.event
    sampler, noise = _drawn(event, num_clients)
    if sampler.num_clients != num_clients:
        raise ConfigError(
            f"num_clients={num_clients} with event={event}: expected {sampler.num_clients}"
        )
    mechanism = Gaussian(sampler.sensitivity * noise, values)
    return Plan(sampler=sampler, clipping=clipping, mechanism=mechanism, rounds=rounds, delta=delta)


def _drawn(event: "DpEvent", num_clients: int) -> tuple[Accounted, float]:
    """Who takes part in a round, and its noise over what a client may change."""
    import dp_accounting

    match event:
        case dp_accounting.GaussianDpEvent(noise):
            return full(num_clients), noise
        case dp_accounting.TruncatedSubsampledGaussianDpEvent(clients, rate, capacity, noise):
            return truncated_poisson(clients, rate, capacity), noise
        case dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise)):
            return truncated_poisson(num_clients, rate, num_clients), noise
        case dp_accounting.SampledWithoutReplacementDpEvent(
            clients, size, dp_accounting.GaussianDpEvent(noise)
        ):
            return fixed_size(clients, size), noise
    raise ConfigError(
        f"event={event}: expected Gaussian noise, of everyone, of a Poisson sample (truncated or "
        "not) or of a sample without replacement, in a SelfComposedDpEvent of equal rounds"
    )
