"""Clients prepare for a secure sum while the device trains, and not after it."""

import os
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import CLASSES, FEATURES, small_data

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.models.networks import logistic
from pride_jax.task import classification

SECONDS = 5.0


@pytest.mark.parametrize("round_", [0, 1])
def test_training_waits_for_clients_that_prepare_and_sees_them_do_so(round_):
    """A step cannot end before a client has prepared: waited for first, the device would not."""
    prepared, seen = threading.Event(), []

    def wait(losses):
        seen.append(prepared.wait(SECONDS))
        return losses

    task = classification(logistic((FEATURES,), CLASSES), CLASSES)

    def loss(params, batch, key):
        losses = task.loss(params, batch, key)
        told = jax.ShapeDtypeStruct(losses.shape, losses.dtype)
        waited = jax.pure_callback(
            wait, told, jax.lax.stop_gradient(losses), vmap_method="sequential"
        )
        return losses + waited - jax.lax.stop_gradient(losses)

    protocol = plain()

    def prepare(*arguments):
        prepared.set()
        return protocol.prepare(*arguments)

    watched = protocol._replace(prepare=prepare)
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    adder = simulated(SecureAggregation(watched, keys), clients_mesh(jax.devices()[:1]), 1)
    method = fedavg(task._replace(loss=loss), optax.sgd(0.1))
    algorithm = federated(method, small_data(), None, adder)
    state = algorithm.init(jax.random.key(0))
    for _ in range(round_ + 1):
        prepared.clear()
        seen.clear()
        state, info = algorithm.round(state)
    assert seen and all(seen)
    assert np.isfinite(float(info.loss)) and float(jnp.abs(state.round - round_ - 1)) == 0
