"""Federated training: a method, clients' data, who takes part, and how their updates are added."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from pride_jax.data.augment import Augment
from pride_jax.data.federated import FederatedData, normalize
from pride_jax.engine.cohort import Clients
from pride_jax.engine.federation import Adder, Federation
from pride_jax.engine.local import extent_of
from pride_jax.engine.on_device import on_device
from pride_jax.engine.rounds import Algorithm, checked
from pride_jax.engine.server import Server, keeps_state, server_part
from pride_jax.errors import ConfigError
from pride_jax.methods.method import Hyper, LocalTraining, Method, MethodOf, uniform
from pride_jax.privacy.client_state import check_client_state
from pride_jax.privacy.clipping import Adaptive, Clipping, Flat, Unclipped
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampler import Sampler
from pride_jax.privacy.sampling import full
from pride_jax.validated import expect, expect_whole


def federated(
    method: Method | MethodOf,
    data: FederatedData,
    sampler: Sampler | Plan | NoPlan | None = None,
    adder: Adder | None = None,
    *,
    clipping: Clipping | Unclipped = Unclipped(),
    hyper: Hyper | None = None,
) -> Algorithm:
    """Makes federated training as functions over one state.

    With a privacy plan, this is DP-FedAvg (McMahan et al. 2018) for any method: the plan draws the
    cohorts, clips and adds noise, and the sum is divided by the weight expected of a cohort,
    whoever came.

    Args:
      method: what is learned, e.g. ``fedavg(task, optax.sgd(0.1))``; or a function of numbers that
        a compiled program is to take as arguments, see ``hyper``.
      data: the clients' examples.
      sampler: who takes part, or the privacy plan that says so; everybody if not given.
      adder: how updates are added: `on_device` if not given.
      clipping: to which norm updates are scaled down; a plan, and a `NoPlan`, have their own.
      hyper: examples of the numbers that ``method`` is a function of.

    Raises:
      ConfigError: the arguments contradict one another.
    """
    expect("data", data, FederatedData, "FederatedData, such as federate(dataset, partition)")
    if adder is not None and not callable(adder):
        raise ConfigError(
            f"adder is of type {type(adder).__name__}: expected on_device(), or "
            "simulated(SecureAggregation(protocol, keys)) for a protocol"
        )
    sizes = np.asarray(data.sizes)
    server, clients = halves_of(method, sizes, sampler, clipping=clipping, hyper=hyper)
    one = clients.method(server.hyper)
    shapes = jax.eval_shape(normalize, data.inputs, data.shift, data.scale)
    one.check(shapes, np.asarray(data.targets))
    return checked((adder or on_device())(Federation(server, clients, data)))


def halves_of(
    method: Method | MethodOf,
    sizes: Int[np.ndarray, "clients"],
    sampler: Sampler | Plan | NoPlan | None = None,
    *,
    clipping: Clipping | Unclipped = Unclipped(),
    hyper: Hyper | None = None,
) -> tuple[Server, Clients]:
    """The server's part of a round and a client's, which know of each other by what is sent.

    Args:
      method, sampler, clipping, hyper: as for `federated`.
      sizes: each client's number of examples.

    Raises:
      ConfigError: the arguments contradict one another.
    """
    if not isinstance(method, Method) and (isinstance(method, tuple) or not callable(method)):
        raise ConfigError(
            f"method is of type {type(method).__name__}: expected a Method, such as "
            "fedavg(task, optax.sgd(0.1))"
        )
    of_numbers: MethodOf = (lambda _: method) if isinstance(method, Method) else method
    numbers = {name: jnp.asarray(value, jnp.float32) for name, value in (hyper or {}).items()}
    training = of_numbers(numbers).training
    _check_training(training, of_numbers(numbers).weighting)
    plan = _plan_of(sampler, clipping, len(sizes))
    if isinstance(plan, Plan):
        check_client_state(plan, keeps_state(of_numbers(numbers)))
        _check_weighting(plan, of_numbers(numbers))
    extent = extent_of(sizes, training.batch_size)
    clients = Clients(of_numbers, training.epochs, extent, plan.public_sizes)
    return server_part(of_numbers, numbers, clients, plan), clients


def _check_training(training: LocalTraining, weighting: object) -> None:
    """Refuses training of no steps, and weights by a name.

    Raises:
      ConfigError: as above.
    """
    expect("training", training, LocalTraining, "LocalTraining(epochs, batch_size)")
    expect_whole("training.epochs", training.epochs)
    if training.batch_size is None:
        raise ConfigError("training.batch_size=None: expected WHOLE for all of a client's examples")
    expect_whole("training.batch_size", training.batch_size)
    expect("training.augment", training.augment, Augment, "an Augment, such as flips_and_crops()")
    if not callable(weighting):
        raise ConfigError(f"weighting={weighting!r}: expected by_examples or uniform, the function")


def _plan_of(
    sampler: Sampler | Plan | NoPlan | None, clipping: Clipping | Unclipped, num_clients: int
) -> Plan | NoPlan:
    """The one source of who is drawn, how they are clipped and what is private.

    Raises:
      ConfigError: there are two, or it is of other clients.
    """
    if not isinstance(clipping, Flat | Adaptive | Unclipped):
        raise ConfigError(f"clipping={clipping!r}: expected Flat(norm), Adaptive(norm) or none")
    if sampler is not None and not (hasattr(sampler, "draw") or isinstance(sampler, Plan | NoPlan)):
        raise ConfigError(
            f"sampler is of type {type(sampler).__name__}: expected a sampler, such as "
            "fixed_size(clients, size), or a Plan"
        )
    given = isinstance(sampler, Plan | NoPlan)
    plan = sampler if given else NoPlan(sampler or full(num_clients), clipping)
    if given and clipping != Unclipped():
        raise ConfigError(
            f"clipping={clipping} beside a privacy plan: expected none, since the plan clips"
        )
    if plan.sampler.num_clients != num_clients:
        raise ConfigError(
            f"The sampler's num_clients={plan.sampler.num_clients}, but the data have "
            f"{num_clients}: they must be the same, or shares and accounting are wrong"
        )
    return plan


def _check_weighting(plan: Plan, method: Method) -> None:
    """Refuses weights that tell numbers of examples, where these are not public.

    Raises:
      ConfigError: as above.
    """
    if method.weighting is not uniform and not plan.public_sizes:
        raise ConfigError(
            f"weighting={getattr(method.weighting, '__name__', method.weighting)} with a privacy "
            "plan: expected uniform, since ε does not cover clients' numbers of examples; or a "
            "plan with public_sizes=True, if these are public"
        )
