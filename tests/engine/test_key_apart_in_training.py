"""Training with keys apart gives the parameters that plain integers give, to the bit."""

import os
from collections.abc import Sequence

import jax
import numpy as np
import optax
from parties import CASES

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role, SecureSum
from pride_jax.aggregation.simulation import Network
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import iid
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.models.networks import mlp
from pride_jax.task import classification

CLIENTS = 6
DATA = federate(load_dataset("iris", test_examples=90), iid(np.random.default_rng(0), 60, CLIENTS))


def trained(protocol: SecureSum, network: Network) -> bytes:
    """The parameters after three rounds."""
    method = fedavg(classification(mlp((4,), 3, (40,)), 3), optax.sgd(0.3))
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    adder = simulated(SecureAggregation(protocol, keys, network=network))
    algorithm = federated(method, DATA, adder=adder)
    state = algorithm.init(jax.random.key(1))
    for _ in range(3):
        state, info = algorithm.round(state)
        assert int(info.unopened) == 0
    leaves = jax.tree.leaves(jax.device_get(algorithm.params(state)))
    return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)


def loses_one(messages: Sequence[bytes]) -> Sequence[bytes]:
    return messages[1:]


def test_the_parameters_are_those_of_plain() -> None:
    """With a client lost in every round, too; of other inner protocols see ``test_key_apart``."""
    expected = trained(plain(), loses_one)
    assert trained(CASES["lattice(two_servers)"].make(), loses_one) == expected
