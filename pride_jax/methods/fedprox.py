"""FedProx: FedAvg whose clients are held near the model that they were given.

Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith 2020, Federated Optimization in Heterogeneous Networks:
a client's objective has the term μ/2 · ‖w − w_received‖² besides its loss (equation 2).

What is sent, kept and may be encrypted, and the sensitivity, are FedAvg's.
"""

import jax
import optax
from jaxtyping import Array, Float

from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import averaged, descend, each_round
from pride_jax.methods.method import (
    ClientOptimizer,
    ClientRule,
    LocalTraining,
    Method,
    Weighting,
    by_examples,
    no_state,
)
from pride_jax.task import Task
from pride_jax.types import Params


def fedprox(
    task: Task,
    client_optimizer: ClientOptimizer | optax.GradientTransformation,
    server_optimizer: optax.GradientTransformation = optax.sgd(1.0),
    *,
    proximal: float | Float[Array, ""],
    weighting: Weighting = by_examples,
    training: LocalTraining = LocalTraining(),
) -> Method:
    """Makes FedProx.

    Args:
      task, client_optimizer, server_optimizer, weighting, training: as for `fedavg`.
      proximal: μ; at 0 this is FedAvg.

    Raises:
      ConfigError: μ is negative, or an argument is of another kind.
    """
    if isinstance(proximal, int | float) and not proximal >= 0:
        raise ConfigError(f"proximal={proximal}: expected at least 0; 0 is FedAvg")
    optimizer = each_round(client_optimizer)

    def correct(gradient: Params, params: Params, received: Params) -> Params:
        return jax.tree.map(lambda g, w, w0: g + proximal * (w - w0), gradient, params, received)

    rule = ClientRule(
        no_state, lambda round_, sent, _: descend(task, optimizer, round_, sent, correct)
    )
    return averaged(task, rule, server_optimizer, weighting=weighting, training=training)
