"""What is carried from round to round, what a round tells, and rounds as functions."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pride_jax.aggregation.simulation import Transport
from pride_jax.data.federated import FederatedData
from pride_jax.engine.cohort import CohortResult
from pride_jax.engine.states import Kept, States
from pride_jax.errors import ConfigError
from pride_jax.methods.method import Hyper, Own
from pride_jax.privacy.mechanisms.mechanism import PrivacyState
from pride_jax.types import Cohort, Hidden, Key, Params
from pride_jax.validated import expect, expect_whole


class Keys(NamedTuple):
    """Where a run's random draws come from; round ``r`` uses ``fold_in(key, r)``.

    Attributes:
      training: shuffles and rounding, folded further by client id; hidden, since it is a secret
        where clients draw noise from it, see `privacy.dp_sgd`.
      sampling: cohorts; with a privacy plan, a secret, and so hidden.
      noise: on sums; a secret, and so hidden.
    """

    training: Hidden[Key]
    sampling: Hidden[Key]
    noise: Hidden[Key]


class ServerState(NamedTuple):
    """What is carried from round to round.

    Attributes:
      round: the next one.
      own: what the method's server keeps.
      keys: where random draws come from.
      privacy: the clipping norm, and past noise where it is correlated.
      clients: what clients keep; under a privacy plan or a protocol, theirs alone.
      hyper: numbers that a compiled program takes as arguments.
    """

    round: Int[Array, ""]
    own: Own
    keys: Keys
    privacy: PrivacyState
    clients: Kept
    hyper: Hyper


class RoundInfo(NamedTuple):
    """Diagnostics of a round, or of several added up; computed from clients' data, outside any ε.

    Under a plan it is for the run's owner alone: who knows how many clients were called has a
    larger ε, see `epsilon_known_cohort`. Real clients keep what is computed from their data to
    themselves: then it is None.

    Attributes:
      clients: that took part, those without examples included.
      empty: of these, how many held no example and so contributed exact zeros.
      examples: trained on, epochs counted.
      loss: sum of their losses as they were met.
      nonfinite: updates that held NaN or infinity, or could not be rounded within their norm, and
        were replaced by zeros.
      clipped: updates scaled down to the clipping norm.
      fitted: updates scaled down to the range of the integers.
      fitted_parts: of the parts that an update has, how often each exceeded that range.
      unopened: sums that were not opened because too few clients were announced or left, or
        because they were refused.
      refused: sums that were refused, for a message that spoils them.
      transport: what a secure sum cost; None where the device adds floats.
      train_seconds: until a cohort's integers were on the host, its clients' preparation for the
        secure sum meanwhile; None where the device adds floats.
    """

    clients: Int[Array, ""]
    empty: Int[Array, ""]
    examples: Float[Array, ""] | None
    loss: Float[Array, ""] | None
    nonfinite: Int[Array, ""] | None
    clipped: Int[Array, ""] | None
    fitted: Int[Array, ""] | None
    fitted_parts: Int[Array, "parts"] | None
    unopened: Int[Array, ""]
    refused: Int[Array, ""]
    transport: Transport | None
    train_seconds: float | None


OneRound = Callable[[ServerState], tuple[ServerState, RoundInfo]]
ManyRounds = Callable[[ServerState, int], tuple[ServerState, RoundInfo]]
RoundsOn = Callable[[FederatedData, ServerState, Int[Array, ""]], tuple[ServerState, RoundInfo]]


class Algorithm(NamedTuple):
    """Federated training as functions.

    Attributes:
      init: ``(key, private=None, round=0, hyper={})`` -> the state before a round, with the
        parameters that it starts from. Cohorts and noise are drawn from ``private``, which with a
        plan must be given: to be kept secret, and to come from the operating system, see
        `secret_key`.
      round: state -> the state after one more round, and its info.
      rounds: ``(state, until)`` -> the state after round ``until − 1``, and the infos added up.
      rounds_on: ``(data, state, until)``: ``rounds`` on other examples of as many clients, as a
        pure function to be transformed.
      params: state -> the parameters that are evaluated and saved.
      states: how clients' states are kept, saved and loaded.

    Raises (``rounds_on``):
      ConfigError: sums are made on the host.
    """

    init: Callable[..., ServerState]
    round: OneRound
    rounds: ManyRounds
    rounds_on: RoundsOn
    params: Callable[[ServerState], Params]
    states: States


def checked(algorithm: Algorithm) -> Algorithm:
    """The same rounds, which refuse states and numbers of rounds of another kind.

    Raises (``round``, ``rounds``):
      ConfigError: as above.
    """

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        expect("state", state, ServerState, "a state, such as algorithm.init(jax.random.key(0))")
        return algorithm.round(state)

    def many_rounds(state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
        expect("state", state, ServerState, "a state, such as algorithm.init(jax.random.key(0))")
        expect_whole("until", until, least=0)
        return algorithm.rounds(state, until)

    return algorithm._replace(round=one_round, rounds=many_rounds)


def repeated(one_round: OneRound) -> ManyRounds:
    """Rounds one after another on the host; at least one."""

    def many_rounds(state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
        state, total = one_round(state)
        while int(state.round) < until:
            state, info = one_round(state)
            total = add_infos(total, info)
        return state, total

    return many_rounds


def no_program(
    data: FederatedData, state: ServerState, until: Int[Array, ""]
) -> tuple[ServerState, RoundInfo]:
    """Refuses to be the pure function of rounds that the host takes part in.

    Raises:
      ConfigError: always.
    """
    del data, state, until
    raise ConfigError(
        "rounds_on where the host takes part in every round: expected rounds that are one program, "
        "as on_device makes them with states of clients that fit on the devices"
    )


@jax.jit
def round_info(data: FederatedData, cohort: Cohort, result: CohortResult) -> RoundInfo:
    """The info of a trained cohort."""
    return RoundInfo(
        clients=jnp.sum(cohort.mask.astype(jnp.int32)),
        empty=jnp.sum((cohort.mask & (data.sizes[cohort.ids] == 0)).astype(jnp.int32)),
        examples=result.clients.examples,
        loss=result.clients.loss,
        nonfinite=result.reports.nonfinite,
        clipped=result.reports.clipped,
        fitted=result.reports.fitted,
        fitted_parts=result.reports.parts,
        unopened=jnp.zeros((), jnp.int32),
        refused=jnp.zeros((), jnp.int32),
        transport=None,
        train_seconds=None,
    )


def add_infos(total: RoundInfo, info: RoundInfo) -> RoundInfo:
    """Infos of several rounds, added up."""
    return jax.tree.map(operator.add, total, info)


def nothing_like(shapes: Any) -> Any:
    """Zeros of such shapes: the sum of no infos."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
