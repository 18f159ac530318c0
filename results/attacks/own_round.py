"""pride_jax's own round, from cohort to denominator, as a round for the conformance kit."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import pride_jax as pride
from pride_jax.attacks.audit_probes import Client
from pride_jax.data.federated import FederatedData
from pride_jax.methods.method import Method
from pride_jax.task import Scores, Task


def own_round(
    plan: pride.Plan, size: int
) -> tuple[Callable[[Any, Sequence[Client]], Any], Callable[[int], Any], Callable[[Any], Any]]:
    """One round, its start, and its parameters, as `pride_jax.audit_round` takes them.

    A client's loss is a plane, whose slope is the update that it is to send.

    Args:
      plan: of the rounds.
      size: of the model.
    """
    clients = plan.sampler.num_clients
    numbers = jnp.arange(clients, dtype=jnp.int32)
    data = FederatedData(
        inputs=jnp.zeros((clients, 1)),
        targets=numbers,
        shift=jnp.zeros(()),
        scale=jnp.ones(()),
        index=numbers,
        offsets=numbers,
        sizes=jnp.ones(clients, jnp.int32),
    )

    def method(given: dict[str, Any]) -> Method:
        task = Task(
            init=lambda key: jnp.zeros(size),
            loss=lambda params, batch, key: -given["updates"][batch.targets] @ params,
            score=lambda params, batch: Scores(jnp.ones(len(batch.mask)), {}, ()),
        )
        return pride.fedavg(task, optax.sgd(1.0), weighting=pride.uniform)

    idle = {"updates": jnp.zeros((clients, size))}
    algorithm = pride.federated(method, data, plan, hyper=idle)
    step = jax.jit(lambda state: algorithm.round(state)[0])

    def one_round(state: Any, asked: Sequence[Client]) -> Any:
        updates = np.array([client.update for client in asked], np.float32)
        return step(state._replace(hyper={"updates": updates}))

    def start(size: int) -> Any:
        del size
        return algorithm.init(jax.random.key(0), pride.secret_key())

    return one_round, start, algorithm.params
