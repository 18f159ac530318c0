"""What a method of federated learning is: what clients do, what the server does, what is learned.

A method knows nothing of how its round is carried out: the engine loops over batches, masks what is
padding, runs clients side by side, keeps their states, and adds up what they send.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from pride_jax.data.augment import Augment, unchanged
from pride_jax.data.federated import Batch
from pride_jax.task import Check, anything
from pride_jax.types import Key, Params

Sent = PyTree[Array]
"""What the server sends to every client of a round."""
State = PyTree[Array]
"""What a client keeps from one of its rounds to the next; ``()`` for nothing."""
Carry = PyTree[Array]
"""What a client carries from batch to batch."""
Own = PyTree[Array]
"""What the server keeps: parameters, its optimizer's state, variates."""
Update = PyTree[Float[Array, "..."]]
"""What a client sends back; the fields of a NamedTuple are its parts."""
Hyper = dict[str, Float[Array, ""]]
"""Numbers that a compiled program takes as arguments, by name."""

ClientOptimizer = Callable[[Int[Array, ""]], optax.GradientTransformation]
"""The round -> the optimizer of its clients, so that a learning rate may follow the rounds."""

Rate = float | Callable[[Int[Array, ""]], Float[Array, ""]]
"""A learning rate, or the round -> it."""

Weighting = Callable[[Int[Array, "..."], Int[Array, ""]], Float[Array, "..."]]
"""Clients' numbers of examples, the largest of all clients' -> their weights, at most 1."""


def by_examples(sizes: Int[Array, "..."], largest: Int[Array, ""]) -> Float[Array, "..."]:
    """A client counts by its share of the largest client's examples, which is public."""
    return sizes.astype(jnp.float32) / largest.astype(jnp.float32)


def uniform(sizes: Int[Array, "..."], largest: Int[Array, ""]) -> Float[Array, "..."]:
    """All clients count the same, those without examples included."""
    del largest
    return jnp.ones(sizes.shape, jnp.float32)


WHOLE = 2**31 - 1
"""A batch size that no client reaches: all of its examples in one step."""


class LocalTraining(NamedTuple):
    """How a client goes through its examples.

    Attributes:
      epochs: passes over its examples.
      batch_size: examples a step; `WHOLE` is all of them.
      augment: what becomes of the examples on the way.
    """

    epochs: int = 1
    batch_size: int = 10
    augment: Augment = unchanged()


class Round(NamedTuple):
    """A round, as every client and the server know it.

    Attributes:
      number: from 0.
      steps: the most steps that any client can take in it; public, and the same in all rounds.
    """

    number: Int[Array, ""]
    steps: int


class Local(NamedTuple):
    """One client in one round; the engine loops over its batches, and masks those it has not.

    Attributes:
      carry: before the first batch.
      step: ``(key, carry, batch)`` -> the carry after a batch, and the sum of its examples' losses.
      finish: ``(carry, steps taken)`` -> what the client sends, and what it keeps.
    """

    carry: Carry
    step: Callable[[Key, Carry, Batch], tuple[Carry, Float[Array, ""]]]
    finish: Callable[[Carry, Int[Array, ""]], tuple[Update, State]]


class ClientRule(NamedTuple):
    """What a client does.

    Attributes:
      state: what the server sends at first -> what a client keeps before its first round.
      start: the round, what was sent, what the client kept -> its part of the round.
    """

    state: Callable[[Sent], State]
    start: Callable[[Round, Sent, State], Local]


class Method(NamedTuple):
    """A method of federated learning.

    Attributes:
      client: what clients do.
      init: key -> what the server keeps before the first round.
      send: that -> what it sends.
      apply: ``(round, own, mean, share)`` -> what it keeps after a round: ``mean`` is the weighted
        mean of what clients sent, ``share`` the share of all clients that it is of, or that is
        expected under a privacy plan.
      params: what the server keeps -> the parameters that are evaluated, saved and attacked.
      personal: ``(sent, a client's state)`` -> the client's own parameters; those that were sent
        if the method has none.
      weighting: how much each client counts.
      training: how a client goes through its examples.
      check: the task's: refuses examples that cannot be learned from, before anything is compiled.
    """

    client: ClientRule
    init: Callable[[Key], Own]
    send: Callable[[Own], Sent]
    apply: Callable[[Round, Own, Update, Float[Array, ""]], Own]
    params: Callable[[Own], Params]
    personal: Callable[[Sent, State], Params]
    weighting: Weighting
    training: LocalTraining
    check: Check = anything


MethodOf = Callable[[Hyper], Method]
"""Numbers that a compiled program takes as arguments -> the method with them."""


def parts(update: Update) -> dict[str, PyTree[Array]]:
    """The named parts of what a client sends: the fields of a NamedTuple, or ``update`` alone."""
    fields = getattr(update, "_fields", None)
    return {"update": update} if fields is None else dict(zip(fields, update, strict=True))


def no_state(sent: Sent) -> State:
    """What a client of most methods keeps: nothing."""
    del sent
    return ()
