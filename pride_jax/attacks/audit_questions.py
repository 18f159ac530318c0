"""What is asked of a round, and how what its probes made it release answers.

An answer is a harm: the factor by which a claim is exceeded, 1 where the round does as it says.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pride_jax.attacks.audit_intervals import Interval, Mean, largest, mean_of
from pride_jax.attacks.audit_probes import HEAVY, LONG, Noise, Probe, Seen
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import FixedSize, TruncatedPoisson

Within = Callable[[float], Interval]
"""How many standard errors a mean may be off -> where a figure then lies."""

_ONE = Interval(1.0, 1.0)
_LEAST_NOISE = 1e-2
"""A noise multiplier below it has an ε in the thousands, which no accountant need tell."""


class Part(NamedTuple):
    """A way to tell.

    Attributes:
      harm: by which factor the claim is exceeded.
      says: how many standard errors a mean may be off -> what was seen, in words.
      cost: a harm -> ε of all rounds, at least.
    """

    harm: Within
    says: Callable[[float], str]
    cost: Callable[[float], float]


class Question(NamedTuple):
    """Something that may be wrong.

    Attributes:
      what: is asked for.
      main: the way to tell that a pass rests on.
      others: further ways, which see gross faults only.
    """

    what: str
    main: Part
    others: tuple[Part, ...] = ()


def questions(plan: Plan, seen: Seen) -> list[Question]:
    """All questions that the plan gives rise to."""
    asked = [
        _clipping(plan, seen),
        _noise(plan, seen),
        _fresh_noise(plan, seen.noise),
        _weights(plan, seen),
    ]
    if plan.sampler.rate == 1:
        return asked
    asked.append(_rate(plan, seen))
    if plan.rounds > 1:
        asked.append(_cohorts(plan, seen))
    if isinstance(plan.sampler, TruncatedPoisson):
        asked.append(_denominator(plan, seen))
    return asked


def num_intervals(plan: Plan, size: int) -> int:
    """Figures that are measured, each of which may be far off by chance."""
    means = 20
    return means + plan.sampler.num_clients + size + size // 2


def _clipping(plan: Plan, seen: Seen) -> Question:
    clients = plan.sampler.num_clients
    short = _influence(seen.together, clients)
    long = [_influence(seen.long, clients), _influence(seen.some_long, seen.few)]

    def harm(errors: float) -> Interval:
        return largest([each(errors) / short(errors) for each in long])

    def says(errors: float) -> str:
        return (
            f"an update of {LONG:g} clipping norms moves the model {_range(harm(errors))} times as "
            "far as one of 1"
        )

    return Question("clipping", Part(harm, says, _with_less_noise(plan)))


def _noise(plan: Plan, seen: Seen) -> Question:
    claimed, rate = plan.mechanism.noise_multiplier, plan.sampler.rate
    measured, step = _measured_rate(plan, seen), _step(seen)
    along, power = mean_of(seen.together.along), mean_of(seen.against.beside)
    influence = _influence(seen.together, plan.sampler.num_clients)

    def harm(errors: float) -> Interval:
        seen_rate = measured(errors)
        if seen_rate.low <= rate <= seen_rate.high:
            return influence(errors) * (claimed / rate)
        # One client's move, whatever the rate: a count's variance over its mean.
        alone = step.within(errors) / along.within(errors)
        return alone / power.within(errors).root() * claimed

    def says(errors: float) -> str:
        noise = _range(Interval(claimed, claimed) / harm(errors))
        return f"noise of {noise} clipping norms, {claimed:g} claimed"

    powers = seen.noise.powers
    quiet = int(np.argmin(powers))

    def of_one_value(errors: float) -> Interval:
        doubt = math.exp(errors * math.sqrt(2 / seen.noise.counts[quiet]))
        least = Interval(float(powers[quiet]) / doubt, float(powers[quiet]) * doubt)
        return (seen.noise.power.within(errors) / least).root()

    def says_of_one_value(errors: float) -> str:
        share = _range(_ONE / of_one_value(errors))
        return f"value {quiet} has {share} times the noise of the others"

    cost = _with_less_noise(plan)
    return Question("noise", Part(harm, says, cost), (Part(of_one_value, says_of_one_value, cost),))


def _fresh_noise(plan: Plan, noise: Noise) -> Question:
    shift = 1 + int(np.argmax(noise.shifted))
    # Products of independent values have the error of their squares over √2.
    chance = noise.power.value / math.sqrt(float(np.sum(noise.counts)))
    products = {
        f"{distance} round{'s' if distance > 1 else ''} later": mean
        for distance, mean in enumerate(noise.later, start=1)
    }
    products["in the next run"] = noise.runs
    products[f"{shift} value{'s' if shift > 1 else ''} on"] = Mean(
        float(noise.shifted[shift - 1]), chance
    )
    where = max(products, key=lambda name: products[name].value)

    def shared(errors: float) -> Interval:
        power = noise.power.within(errors)
        return largest([product.within(errors) / power for product in products.values()])

    def harm(errors: float) -> Interval:
        # What two releases have in common is gone from their difference.
        common = shared(errors)
        left = Interval(max(0.0, 1 - common.high), max(0.0, 1 - common.low))
        return _ONE / left.root()

    def says(errors: float) -> str:
        return f"noise has {_range(shared(errors))} in common with that {where}"

    return Question("fresh noise", Part(harm, says, _with_less_noise(plan)))


def _weights(plan: Plan, seen: Seen) -> Question:
    light = _influence(seen.together, plan.sampler.num_clients)
    heavy = _influence(seen.heavy, seen.few)

    def harm(errors: float) -> Interval:
        return heavy(errors) / light(errors)

    def says(errors: float) -> str:
        return (
            f"a client of {HEAVY} examples among clients of 1 moves the model "
            f"{_range(harm(errors))} times as far as among its like"
        )

    return Question("weights", Part(harm, says, _with_less_noise(plan)))


def _rate(plan: Plan, seen: Seen) -> Question:
    claimed, clients = plan.sampler.rate, plan.sampler.num_clients
    measured, along = _measured_rate(plan, seen), mean_of(seen.together.along)

    def harm(errors: float) -> Interval:
        return measured(errors) / claimed

    def says(errors: float) -> str:
        return f"a client is called with {_range(measured(errors))}, {claimed:g} claimed"

    # The move times a client's own coin averages to that client's part in it.
    moves = np.mean(seen.against.along, axis=1)
    parts = seen.signs.T @ moves / len(moves)
    often = int(np.argmax(parts))
    part = Mean(float(parts[often]), float(np.std(moves, ddof=1) / math.sqrt(len(moves))))

    def of_one_client(errors: float) -> Interval:
        return part.within(errors) / along.within(errors) * clients

    def says_of_one_client(errors: float) -> str:
        return f"client {often} is called {_range(of_one_client(errors))} times as often as others"

    cost = _with_higher_rate(plan)
    return Question(
        "sampling rate", Part(harm, says, cost), (Part(of_one_client, says_of_one_client, cost),)
    )


def _cohorts(plan: Plan, seen: Seen) -> Question:
    claimed, along = plan.sampler.rate, seen.against.along
    # Clients called in both of two rounds, each by the square of its move.
    twice, step = mean_of(along[:, 1:] * along[:, :-1] - seen.against.again), _step(seen)

    def again(errors: float) -> Interval:
        return twice.within(errors) / step.within(errors)

    def always(errors: float) -> Interval:
        """2 where the same are called in every round."""
        share = again(errors)
        ends = ((1 + end - 2 * claimed) / (1 - claimed) for end in (share.low, share.high))
        return Interval(*(max(0.0, end) for end in ends))

    def never(errors: float) -> Interval:
        """2 where nobody is called in two rounds on end."""
        share = again(errors)
        return Interval(*(max(0.0, 2 - end / claimed) for end in (share.high, share.low)))

    def says(errors: float) -> str:
        share = again(errors)
        shown = _range(Interval(share.low, min(1.0, share.high)))
        return f"who was called is called in the next round with {shown}, {claimed:g} claimed"

    return Question(
        "fresh cohorts",
        Part(always, says, _unaccounted),
        (Part(never, says, _unaccounted),),
    )


def _denominator(plan: Plan, seen: Seen) -> Question:
    along = seen.together.along
    mean, step = mean_of(along), _step(seen)
    spread = mean_of((along - np.mean(along)) ** 2 - seen.together.beside)

    def harm(errors: float) -> Interval:
        moved = mean.within(errors)
        poisson = step.within(errors) - moved * moved / plan.sampler.num_clients
        return poisson / spread.within(errors)

    def says(errors: float) -> str:
        share = _range(_ONE / harm(errors))
        return (
            f"the sum has {share} of the variance of a Poisson number of clients; none if it is "
            "divided by that number, or the number is fixed"
        )

    return Question("denominator", Part(harm, says, _unaccounted))


def _influence(probe: Probe, movers: int) -> Within:
    """By how many standard deviations of the noise a mover moves the model, on average."""
    along, power = mean_of(probe.along), mean_of(probe.beside)
    return lambda errors: along.within(errors) / power.within(errors).root() / movers


def _step(seen: Seen) -> Mean:
    """The square of one client's move, times the clients called.

    Of clients that move either way by a coin each, all but their own squares averages out, however
    they are called.
    """
    return mean_of(seen.against.along**2 - seen.against.beside)


def _measured_rate(plan: Plan, seen: Seen) -> Within:
    along, step = mean_of(seen.together.along), _step(seen)

    def rate(errors: float) -> Interval:
        moved = along.within(errors)
        return moved * moved / step.within(errors) / plan.sampler.num_clients

    return rate


def _with_less_noise(plan: Plan) -> Callable[[float], float]:
    """A factor -> ε of the plan with the noise divided by it."""

    def cost(factor: float) -> float:
        least = max(_LEAST_NOISE, plan.mechanism.noise_multiplier / factor)
        mechanism = plan.mechanism.with_noise(least)
        # As the mechanism is meant: what its arithmetic costs besides is no adversary's success.
        return mechanism.profile(plan.setting, plan.rounds, plan.reader).epsilon(plan.delta)

    return cost


def _with_higher_rate(plan: Plan) -> Callable[[float], float]:
    """A factor -> ε of the plan with the sampling rate multiplied by it."""

    def cost(factor: float) -> float:
        sampler = plan.sampler
        if isinstance(sampler, FixedSize):
            size = min(sampler.num_clients, math.floor(sampler.size * factor))
            sampler = replace(sampler, size=size)
        elif isinstance(sampler, TruncatedPoisson):
            rate = min(1.0, sampler.rate * factor)
            sampler = replace(sampler, rate=rate, capacity=sampler.num_clients)
        setting = plan.setting._replace(sampler=sampler)
        return plan.mechanism.profile(setting, plan.rounds, plan.reader).epsilon(plan.delta)

    return cost


def _unaccounted(factor: float) -> float:
    """No accountant knows such sampling."""
    del factor
    return math.inf


def _range(figure: Interval) -> str:
    if figure.high == math.inf:
        return f"at least {figure.low:.3g}"
    if figure.low == 0:
        return f"at most {figure.high:.3g}"
    return f"{figure.low:.3g} to {figure.high:.3g}"
