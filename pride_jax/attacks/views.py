"""What each role holds of clients' updates, as vectors of an update's length, by running protocols.

Updates are flattened, one row a client. What is no float is read as numbers and put on the scale
of the fixed point, as an attacker who knows the public terms would.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32, Int64

from pride_jax.aggregation.fixed_point import dequantize, fit, quantize
from pride_jax.aggregation.messages import from_bytes
from pride_jax.aggregation.secure_sum import Message, Rng, Role, SecureSum
from pride_jax.aggregation.simulation import Aggregator, Network, perfect, simulate
from pride_jax.aggregation.terms import Terms
from pride_jax.engine.contribution import encoder
from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms.share_mechanism import ShareMechanism
from pride_jax.privacy.norms import clip_by_norm
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.rotation import rotate_back
from pride_jax.types import Key

_LONGEST_NUMBER = 8


class Seen(NamedTuple):
    """A secure sum, from outside the clients.

    Attributes:
      messages: each client's, as the aggregator receives it, read as numbers.
      mean: the opened sum, divided by the clients: what key holder or aggregator learn.
    """

    messages: Float32[np.ndarray, "clients length"]
    mean: Float32[np.ndarray, "length"]


def quantized(
    key: Key, updates: Float[Array, "clients length"], limit: float, bits: int
) -> Int32[np.ndarray, "clients length"]:
    """Integers as clients hand them to a secure sum: fitted into ±limit and rounded at random."""

    def one(client: Array, update: Array) -> Array:
        return quantize(jax.random.fold_in(key, client), fit(update, limit)[0], limit, bits)

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(len(updates)), updates))


def secure_sum(
    protocol: SecureSum,
    rows: Int32[np.ndarray, "clients length"],
    limit: float,
    bits: int,
    rng: Rng,
) -> Seen:
    """Runs a secure sum with every role in it and keeps what goes over the network.

    Args:
      protocol: e.g. ``paillier()``.
      rows: from `quantized`; at least two clients'.
      limit: as given to `quantized`.
      bits: as given to `quantized`.
      rng: of keys and clients; ``os.urandom``.
    """
    received: list[Message] = []

    def network(messages: Sequence[bytes]) -> Sequence[bytes]:
        received.extend(map(from_bytes, messages))
        return messages

    aggregator = _aggregator(protocol, rows, limit, bits, rng, network)
    added = aggregator.add(aggregator.announce(0, range(len(rows)), 2, b""), rows)
    mean = dequantize(added.total, limit, bits) / np.float32(len(rows))
    return Seen(_as_updates(received, rows.shape[1], limit, bits), mean)


def received_messages(
    protocol: SecureSum,
    rows: Int32[np.ndarray, "clients length"],
    limit: float,
    bits: int,
    rng: Rng,
) -> Float32[np.ndarray, "clients length"]:
    """The messages of a secure sum that is never opened, which can take minutes.

    Args:
      protocol, rows, limit, bits, rng: as for `secure_sum`.
    """
    aggregator = _aggregator(protocol, rows, limit, bits, rng)
    announced = aggregator.announce(0, range(len(rows)), 2, b"")
    messages = [
        protocol.protect(announced.directory, client.prepared, row)
        for client, row in zip(announced.clients, rows, strict=True)
    ]
    return _as_updates(messages, rows.shape[1], limit, bits)


def _aggregator(
    protocol: SecureSum,
    rows: Int32[np.ndarray, "clients length"],
    limit: float,
    bits: int,
    rng: Rng,
    network: Network = perfect,
) -> Aggregator:
    clients, length = rows.shape
    terms = Terms(length, bits, limit, smallest_cohort=2, largest_cohort=clients)
    return simulate(protocol, terms, protocol.keygen(rng, Role.KEY_HOLDER), rng, network)


def _as_updates(
    messages: Sequence[Message], length: int, limit: float, bits: int
) -> Float32[np.ndarray, "clients length"]:
    numbers = [read_numbers(message.body + message.enclosed, length) for message in messages]
    return np.stack([dequantize(each, limit, bits) for each in numbers])


def read_numbers(body: bytes, length: int) -> Int64[np.ndarray, "length"]:
    """A message's bytes as ``length`` signed little-endian integers of equal width, at most 8.

    Exactly the integers of ``plain``, and the residues of ``masking``. Ciphertexts are longer;
    what is left over at their end is not read.
    """
    width = min(len(body) // length, _LONGEST_NUMBER)
    numbers = np.zeros((length, 8), np.uint8)
    numbers[:, 8 - width :] = np.frombuffer(body, np.uint8)[: width * length].reshape(length, width)
    # The shift back spreads the sign.
    return numbers.view("<i8")[:, 0] >> (8 * (8 - width))


def clipped(updates: Float[Array, "clients length"], norm: float) -> Float[Array, "clients length"]:
    """Each update within the clipping norm."""
    return jax.vmap(lambda update: clip_by_norm(update, norm)[0])(updates)


def noised_mean(
    key: Key, updates: Float[Array, "clients length"], plan: Plan
) -> Float[Array, "length"]:
    """What a round of a ``gaussian`` plan with everyone in it releases: the noised mean.

    Args:
      key: of the noise.
      updates: of all the plan's clients.
      plan: calibrated.
    """
    return _release(key, updates, plan) / plan.sampler.expected_cohort


def noised_alone(key: Key, update: Float[Array, "length"], plan: Plan) -> Float[Array, "length"]:
    """What is left of the noised sum for who knows every other client's update: one and the noise.

    The strongest attacker that differential privacy is stated against.

    Args:
      key: of the noise.
      update: the client's that is not known.
      plan: calibrated, ``gaussian``.
    """
    return _release(key, update[None], plan)


def _release(
    key: Key, updates: Float[Array, "clients length"], plan: Plan
) -> Float[Array, "length"]:
    start, encode = jnp.zeros((), jnp.int32), encoder(plan.added)
    state = plan.init(key, updates[0], start)
    made, _ = jax.vmap(lambda update: encode(key, start, update, state.norm, jnp.ones(())))(updates)
    total, within = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), made)
    return plan.release(key, state, start, total, within)[0]


def noised_integers(
    key: Key, updates: Float[Array, "clients length"], plan: Plan, rng: Rng
) -> Float32[np.ndarray, "clients length"]:
    """What clients that add shares of noise hand to the secure sum: integers with their share.

    The whole sum has the plan's noise; a client's own part has 1/clients of its variance.

    Args:
      key: of the rounding.
      updates: of all the plan's clients.
      plan: of a mechanism whose noise clients add.
      rng: of the noise; ``os.urandom``.

    Raises:
      ConfigError: the plan's server adds the noise.
    """
    if not isinstance(plan.mechanism, ShareMechanism):
        raise ConfigError(f"mechanism={plan.mechanism}: expected one whose noise clients add")
    shares, limit = plan.shares(rng), plan.clipping.norm
    encode, norm = encoder(plan.added), jnp.float32(limit)
    start = jnp.zeros((), jnp.int32)

    def one(client: Array, update: Array) -> Array:
        client_key = jax.random.fold_in(key, client)
        return encode(client_key, start, update, norm, jnp.ones(()))[0].update

    rows = np.asarray(jax.jit(jax.vmap(one))(jnp.arange(len(updates)), updates))
    noised = shares.add(rows, shares.draw(len(rows), len(rows)))
    held = dequantize(noised, limit * plan.grid.span, plan.mechanism.values.bits)
    if not plan.grid.rotated:
        return held
    return np.asarray(jax.jit(jax.vmap(functools.partial(rotate_back, start)))(held))


def joined(
    before: Float[Array, "length"],
    released_with: Float[Array, "length"],
    released_without: Float[Array, "length"],
    clients: int,
) -> Float[Array, "length"]:
    """A client's update from two released models, with it and without it, all else the same.

    FedAvg without momentum moves a model by the mean update: the one sum less the other is what
    the client added.

    Args:
      before: parameters that both rounds began with.
      released_with: after a round of ``clients`` with equal weights.
      released_without: after the same round without the client.
      clients: in the round that it took part in.
    """
    others = clients - 1
    return (released_with - before) * clients - (released_without - before) * others
