"""The server's part of a round, which needs no examples, as pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pride_jax.engine.cohort import Broadcast, Clients
from pride_jax.engine.contribution import Contribution
from pride_jax.engine.local import Extent
from pride_jax.engine.rounds import Keys, ServerState
from pride_jax.methods.method import Hyper, Method, MethodOf, Sent, Update, Weighting, parts
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.types import Cohort, Hidden, Key, Params


class Server(NamedTuple):
    """What the server does in a round.

    Attributes:
      init: ``(key, private, round, hyper)`` -> the state before a round, without clients' states.
      draw: state -> the round's cohort.
      tell: state -> what every client of the round is told.
      finish: ``(clients' numbers of examples, state, those in the sum, the sum)`` -> the state
        after the round; the sum is of contributions, in the shapes of an update.
      params: state -> the parameters that are evaluated and saved.
      sent: -> shapes of what is sent to a client.
      update: -> shapes of what a client sends.
      weighting: how much each client counts.
      plan: what is private, or that nothing is.
      hyper: numbers of the shapes that the method's numbers have.
    """

    init: Callable[[Key, Key | None, int, Hyper], ServerState]
    draw: Callable[[ServerState], Cohort]
    tell: Callable[[ServerState], Broadcast]
    finish: Callable[[Int[Array, "clients"], ServerState, Cohort, Contribution], ServerState]
    params: Callable[[ServerState], Params]
    sent: Sent
    update: Update
    weighting: Weighting
    plan: Plan | NoPlan
    hyper: Hyper

    @property
    def length(self) -> int:
        """How many numbers a client sends."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.update))


def server_part(
    method: MethodOf,
    hyper: Hyper,
    clients: Clients,
    plan: Plan | NoPlan,
) -> Server:
    """Makes the server's part of a round.

    Args:
      method: what is learned.
      hyper: numbers of the shapes that its numbers have.
      clients: what clients do.
      plan: who takes part, and what is private, or that nothing is.
    """
    one = method(hyper)
    sent, update = shapes_of(one, clients)

    def init(key: Key, private: Key | None, round_: int, hyper: Hyper) -> ServerState:
        model_key, training_key, public_key = public_keys(key)
        sampling_key, noise_key = plan.keys(private, public_key)
        start = jnp.asarray(round_, jnp.int32)
        like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), update)
        privacy = plan.init(noise_key, like, start)
        own = method(hyper).init(model_key)
        keys = Keys(
            Hidden(training_key, "training key"),
            Hidden(sampling_key, "cohort key"),
            Hidden(noise_key, "noise key"),
        )
        return ServerState(start, own, keys, privacy, (), hyper)

    def draw(state: ServerState) -> Cohort:
        key = jax.random.fold_in(state.keys.sampling.value, state.round)
        return plan.sampler.draw(key, state.round)

    def tell(state: ServerState) -> Broadcast:
        key = jax.random.fold_in(state.keys.training.value, state.round)
        sent = method(state.hyper).send(state.own)
        return Broadcast(key, state.round, sent, state.privacy.norm, state.hyper)

    def finish(
        sizes: Int[Array, "clients"], state: ServerState, cohort: Cohort, sums: Contribution
    ) -> ServerState:
        total, privacy = plan.release(
            state.keys.noise.value, state.privacy, state.round, sums.update, sums.within
        )
        weight, taking_part = plan.divisors(one.weighting(sizes, jnp.max(sizes)), cohort)
        own = method(state.hyper).apply(
            clients.round(state.round),
            state.own,
            mean_update(total, weight),
            taking_part / plan.sampler.num_clients,
        )
        return ServerState(state.round + 1, own, state.keys, privacy, state.clients, state.hyper)

    return Server(
        init=init,
        draw=draw,
        tell=tell,
        finish=finish,
        params=lambda state: method(state.hyper).params(state.own),
        sent=sent,
        update=update,
        weighting=one.weighting,
        plan=plan,
        hyper=hyper,
    )


def shapes_of(method: Method, clients: Clients) -> tuple[Sent, Update]:
    """The shapes of what a client receives and of what it sends, without making any."""

    def exchange(key: Key) -> Any:
        sent = method.send(method.init(key))
        rule = method.client
        local = rule.start(clients.round(jnp.int32(0)), sent, rule.state(sent))
        return sent, local.finish(local.carry, jnp.int32(0))[0]

    return jax.eval_shape(exchange, jax.random.key(0))


def keeps_state(method: Method) -> bool:
    """Whether a client of a method keeps anything from one of its rounds to the next."""
    sent = jax.eval_shape(lambda key: method.send(method.init(key)), jax.random.key(0))
    return bool(jax.tree.leaves(jax.eval_shape(method.client.state, sent)))


def sent_numbers(method: Method) -> int:
    """How many numbers a client of a method sends."""
    return sum(leaf.size for leaf in jax.tree.leaves(_update_of(method)))


def sent_parts(method: Method) -> tuple[str, ...]:
    """The names of the parts of what a client of a method sends."""
    return tuple(parts(_update_of(method)))


def _update_of(method: Method) -> Update:
    # No shape depends on how many examples clients hold.
    clients = Clients(lambda _: method, method.training.epochs, Extent(1, 1, 1, True))
    return shapes_of(method, clients)[1]


def public_keys(key: Key) -> Key:
    """Of a run's public seed: the keys of the model, of training and, without a plan, sampling."""
    return jax.random.split(key, 3)


def client_weights(
    sizes: Int[Array, "clients"], cohort: Cohort, weighting: Weighting
) -> Float[Array, "slots"]:
    """Public weights of at most 1; 0 in empty slots."""
    weights = weighting(sizes[cohort.ids], jnp.max(sizes))
    return jnp.where(cohort.mask, weights, 0.0)


def mean_update(total: Update, weight: Float[Array, ""]) -> Update:
    """A weighted sum over a cohort, divided by its weight; zeros if nobody weighs anything."""
    divisor = jnp.where(weight > 0, weight, 1.0)
    return jax.tree.map(lambda leaf: leaf / divisor, total)
