"""Clients with a digit each, and what every role holds of their updates."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from pride_jax.aggregation.secure_sum import SecureSum
from pride_jax.attacks import views
from pride_jax.attacks.own_update import OwnUpdate, own_update
from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.data.federated import FederatedData, federate
from pride_jax.data.partition import Partition
from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining
from pride_jax.models.modules import num_parameters
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Mechanism, Plan
from pride_jax.privacy.sampling import full
from pride_jax.privacy.values import Integers
from pride_jax.task import classification
from pride_jax.types import Model, Params

FEATURES, CLASSES = (28, 28, 1), 10
DEVICE = "aggregator, none"
"""Who holds clear updates."""
TRAINED = "clear update, trained model"
_OPENED, _MODELS = "who reads the opened sum", "who has the models"
_LEARNING_RATE, _NORM, _BITS, _DELTA = 0.1, 0.1, 16, 1e-3
_LOCAL_EPOCHS = 5


@dataclass(frozen=True)
class Setting:
    """What is attacked.

    Attributes:
      digits: clients whose digit is reconstructed.
      clients: in the round; each has one digit.
      cohorts: sizes of the sums that are opened.
      epsilons: of a round of all clients, at δ = 1e-3.
      pretraining: digits of others that the "trained" models have seen, once.
      key_bits: of Paillier.
      matched: digits whose CNN gradient is matched in views other than the clear update; none
        leaves the CNN out.
      matched_epsilons: of those above, in these views.
      iterations: of gradient matching.
      restarts: of gradient matching, for the clear update; other views have one.
    """

    digits: int = 20
    clients: int = 100
    cohorts: tuple[int, ...] = (2, 10, 100)
    epsilons: tuple[float, ...] = (1, 3, 8, 100, 1e3, 1e4, 1e5)
    pretraining: int = 6000
    key_bits: int = 3072
    matched: int = 3
    matched_epsilons: tuple[float, ...] = (1, 3, 8, 1e4)
    iterations: int = 150
    restarts: int = 2

    def __post_init__(self) -> None:
        """Refuses what cannot be cut into sums.

        Raises:
          ConfigError: fewer than two clients' digits, or a cohort that does not divide the clients.
        """
        if (
            not 2 <= self.digits <= self.clients
            or not 0 <= self.matched <= self.digits
            or self.matched == 1
        ):
            raise ConfigError(
                f"digits={self.digits}, matched={self.matched}, clients={self.clients}: expected "
                "2 <= digits <= clients, and matched 0 or 2 <= matched <= digits"
            )
        for size in self.cohorts:
            if size < 2 or self.clients % size:
                raise ConfigError(
                    f"cohorts={self.cohorts}: expected divisors of clients={self.clients}, above 1"
                )


class View(NamedTuple):
    """What somebody holds in the place of each client's update.

    Attributes:
      name: of the row and the picture.
      holder: who holds it.
      held: a row for each client attacked.
      mixed: clients whose updates are in a row.
    """

    name: str
    holder: str
    held: Float[Array, "clients length"]
    mixed: int = 1


class Scene(NamedTuple):
    """Clients, their digits, and what a guess without an update looks like."""

    setting: Setting
    dataset: Dataset
    data: FederatedData
    images: Float[Array, "clients height width channels"]
    labels: Int[Array, "clients"]
    mean_image: Float[Array, "height width channels"]


def make_scene(setting: Setting) -> Scene:
    """A client for each of MNIST's first digits; the data set must be there, see `load_dataset`."""
    dataset = load_dataset("mnist")
    clients = setting.clients
    # One more client stands for all training before.
    sizes = np.array([1] * clients + [setting.pretraining])
    data = federate(dataset, Partition(np.arange(sizes.sum()), sizes))
    images = jnp.asarray(dataset.train_inputs[:clients], jnp.float32) / 255
    mean_image = jnp.asarray(dataset.train_inputs.mean(axis=0) / 255, jnp.float32)
    return Scene(setting, dataset, data, images, data.targets[:clients], mean_image)


def plan_of_round(
    setting: Setting, make_mechanism: Callable[[float], Mechanism], epsilon: float
) -> Plan:
    """One round of all clients, with the noise of a mechanism for a target ε."""
    return calibrate(
        make_mechanism,
        epsilon,
        sampler=full(setting.clients),
        clipping=Flat(_NORM),
        rounds=1,
        delta=_DELTA,
    )


def train_on_others(scene: Scene, model: Model, params: Params) -> Params:
    """Parameters after an epoch on digits that no client has."""
    train = jax.jit(_client(scene.data, model, LocalTraining(batch_size=32)))
    others = jnp.int32(scene.setting.clients)
    update = train(jax.random.key(5), jnp.int32(0), params, others)
    return jax.tree.map(jnp.add, params, update)


def _client(data: FederatedData, model: Model, training: LocalTraining) -> OwnUpdate:
    task = classification(model, CLASSES)
    return own_update(fedavg(task, optax.sgd(_LEARNING_RATE), training=training), data)


def updates_of(
    scene: Scene, model: Model, params: Params, clients: int, epochs: int = 1
) -> Float[Array, "clients length"]:
    """Updates of the first clients, each with one digit."""
    # The others' many digits would only make every client's loop longer.
    data = scene.data._replace(sizes=jnp.minimum(scene.data.sizes, 1))
    train = _client(data, model, LocalTraining(epochs=epochs, batch_size=1))

    def update(client: Array) -> Array:
        return ravel_pytree(train(jax.random.key(0), jnp.int32(0), params, client))[0]

    return jax.jit(lambda ids: jax.lax.map(update, ids))(jnp.arange(clients))


def other_clear_updates(
    scene: Scene, model: Model, params: Params, trained: Params, digits: int
) -> list[View]:
    """Clear updates of several local steps, and of a model that is already trained."""
    return [
        View(
            f"clear update, {_LOCAL_EPOCHS} local steps",
            DEVICE,
            updates_of(scene, model, params, digits, _LOCAL_EPOCHS),
        ),
        View(TRAINED, DEVICE, updates_of(scene, model, trained, digits)),
    ]


def protections(
    setting: Setting,
    digits: int,
    params: Params,
    updates: Float[Array, "clients length"],
    plans: dict[float, Plan],
) -> list[View]:
    """What is held where floats are added: clipped updates, sums, released models, noise."""
    clients, attacked = len(updates), updates[:digits]
    made = [View(f"clipped to {_NORM:g}", DEVICE, views.clipped(attacked, _NORM))]
    for size in setting.cohorts:
        groups = updates[: -(-digits // size) * size].reshape(-1, size, updates.shape[1])
        held = jnp.repeat(jnp.mean(groups, axis=1), size, axis=0)[:digits]
        made.append(View(f"sum over {size}", _OPENED, held, mixed=size))
    before, total = ravel_pytree(params)[0], jnp.sum(updates, axis=0)

    def leave(update: Array) -> Array:
        released = before + (total - update) / (clients - 1)
        return views.joined(before, before + total / clients, released, clients)

    models = f"two released models, with and without one of {clients}"
    made.append(View(models, _MODELS, jax.lax.map(leave, attacked)))
    for number, (epsilon, plan) in enumerate(plans.items()):
        keys = jax.random.split(jax.random.key(100 + number), digits)
        held = [
            views.noised_alone(key, update, plan)
            for key, update in zip(keys, attacked, strict=True)
        ]
        made.append(
            View(f"ε = {epsilon:g}, others known", "who knows all other updates", jnp.stack(held))
        )
        mean = views.noised_mean(keys[0], updates, plan)
        held = jnp.broadcast_to(mean[None], attacked.shape)
        made.append(View(f"ε = {epsilon:g}, mean of {clients}", _MODELS, held, mixed=clients))
    return made


def wires(updates: Float[Array, "clients length"], protocols: dict[str, SecureSum]) -> list[View]:
    """What an aggregator receives of each client."""
    limit = float(jnp.max(jnp.abs(updates)))
    rows = views.quantized(jax.random.key(7), updates, limit, _BITS)
    made = []
    for name, protocol in protocols.items():
        held = views.received_messages(protocol, rows, limit, _BITS, os.urandom)
        made.append(View(name, f"aggregator, {protocol.name}", jnp.asarray(held)))
    return made


def skellam(setting: Setting, model: Model, updates: Float[Array, "clients length"]) -> View:
    """A client's integers with its own share of noise."""
    values = Integers(num_parameters(model), _BITS)
    plan = plan_of_round(setting, lambda noise: Skellam(noise, values), 8.0)
    held = views.noised_integers(jax.random.key(8), updates, plan, os.urandom)
    name = "integers with own share of noise, ε = 8"
    return View(name, "aggregator, plain, skellam", jnp.asarray(held[: setting.digits]))
