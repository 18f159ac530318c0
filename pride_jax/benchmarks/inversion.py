"""What each role can reconstruct of a client's digit, from what it really holds.

Clients have one MNIST digit each and take part in one round: the 2NN, whose first dense layer is
inverted, and the CNN, whose gradient is matched. Every view is made by running the protocol or the
mechanism in question. Guessing the mean training image is what every attack is compared with.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from rich.console import Console
from rich.table import Table

from pride_jax.aggregation.lattice import bfv
from pride_jax.aggregation.masking import masking
from pride_jax.aggregation.paillier import paillier
from pride_jax.aggregation.plain import plain
from pride_jax.aggregation.secure_sum import SecureSum
from pride_jax.aggregation.threshold import threshold_paillier
from pride_jax.attacks import views
from pride_jax.attacks.inversion import (
    Matching,
    infer_label,
    invert_dense,
    invert_dense_by_all_units,
    invert_dense_by_each_unit,
    match_gradient,
    twice_differentiable_cnn,
)
from pride_jax.attacks.similarity import psnr, ssim
from pride_jax.benchmarks.lines import as_line
from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.data.federated import FederatedData, federate
from pride_jax.data.partition import Partition
from pride_jax.engine.client import LocalTraining, local_update
from pride_jax.errors import ConfigError
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import two_nn
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.types import Model, Params

_LEARNING_RATE, _NORM, _BITS, _DELTA = 0.1, 0.1, 16, 1e-3
_FEATURES, _CLASSES = (28, 28, 1), 10
_LOCAL_EPOCHS = 5
_EQUAL = 200.0
_MOST_TOGETHER = 10
"""Digits that are looked for at once; in larger sums, one, as if it were one client's update."""
_DEVICE, _OPENED, _MODELS = "aggregator, none", "who reads the opened sum", "who has the models"
_STRONGEST = "who has the models and knows all other updates"
_TRAINED = "clear update, trained model"


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


class Row(NamedTuple):
    """How well an attack did, over all digits attacked.

    Attributes:
      model: ``2nn`` or ``cnn``.
      view: what was held.
      holder: who holds it.
      attack: ``largest unit``, ``all units`` (least squares), ``best unit`` (an upper bound: it is
        told which unit's picture is the most like the digit), or ``matching``.
      digits: attacked.
      psnr_median: in dB, at most 200, which stands for equality in float32.
      ssim_median: see ``attacks.similarity``.
      identified: share of the digits whose reconstruction, is correlated with what they have
        beyond the mean image more than with any other client's; chance is 1/clients.
      psnr_of_mean_image: median PSNR of guessing the mean training image for the same digits.
      seconds: of the attack, compilation included.
      psnrs: of each digit.
      ssims: of each digit.
    """

    model: str
    view: str
    holder: str
    attack: str
    digits: int
    psnr_median: float
    ssim_median: float
    identified: float
    psnr_of_mean_image: float
    seconds: float
    psnrs: tuple[float, ...]
    ssims: tuple[float, ...]


class Picture(NamedTuple):
    """Reconstructions of one row."""

    model: str
    view: str
    images: Float[np.ndarray, "digits height width"]
    psnr_median: float


class Report(NamedTuple):
    """Everything that was measured.

    Attributes:
      rows: of all models, views and attacks.
      originals: the digits attacked.
      pictures: of the attack ``all units`` or ``matching``.
      noise_multipliers: ε -> that of the plan.
    """

    rows: list[Row]
    originals: Float[np.ndarray, "digits height width"]
    pictures: list[Picture]
    noise_multipliers: dict[float, float]


class _Scene(NamedTuple):
    """Clients, their digits, and what a guess without an update looks like."""

    setting: Setting
    dataset: Dataset
    data: FederatedData
    images: Float[Array, "clients height width channels"]
    labels: Int[Array, "clients"]
    mean_image: Float[Array, "height width channels"]


_Attack = Callable[[View, int], Float[Array, "digits height width channels"]]


def measure(setting: Setting) -> Report:
    """Everything; the data set must be there, see `load_dataset`."""
    scene = _scene(setting)
    plans = {epsilon: calibrate(_plan(setting), epsilon) for epsilon in setting.epsilons}
    rows, pictures = _attack_2nn(scene, plans)
    if setting.matched:
        more, further = _attack_cnn(scene, plans)
        rows, pictures = rows + more, pictures + further
    originals = np.asarray(scene.images[: setting.digits, ..., 0])
    multipliers = {epsilon: plan.known_noise_multiplier for epsilon, plan in plans.items()}
    return Report(rows, originals, pictures, multipliers)


def _scene(setting: Setting) -> _Scene:
    dataset = load_dataset("mnist")
    clients = setting.clients
    # A client for each of the first digits, and one more that stands for all training before.
    sizes = np.array([1] * clients + [setting.pretraining])
    data = federate(dataset, Partition(np.arange(sizes.sum()), sizes))
    images = jnp.asarray(dataset.train_inputs[:clients], jnp.float32) / 255
    mean_image = jnp.asarray(dataset.train_inputs.mean(axis=0) / 255, jnp.float32)
    return _Scene(setting, dataset, data, images, data.targets[:clients], mean_image)


def _plan(setting: Setting) -> PrivacyPlan:
    return PrivacyPlan(
        num_clients=setting.clients,
        rounds=1,
        delta=_DELTA,
        sampling="full",
        clipping_norm=_NORM,
    )


def _trained(scene: _Scene, model: Model, params: Params) -> Params:
    training = LocalTraining(batch_size=32)
    size = jnp.int32(scene.setting.pretraining)
    train = local_update(
        model, lambda _: optax.sgd(_LEARNING_RATE), training, int(size), vmapped=False
    )
    start, client = jnp.int32(0), jnp.int32(scene.setting.clients)
    batches = (size + 31) // 32
    key = jax.random.key(5)
    update, _ = jax.jit(train)(key, start, params, scene.data, client, size, batches)
    return jax.tree.map(jnp.add, params, update)


def _updates(
    scene: _Scene, model: Model, params: Params, clients: int, epochs: int = 1
) -> Float[Array, "clients length"]:
    """Of the first clients, each with one digit."""
    training = LocalTraining(epochs=epochs, batch_size=1)
    train = local_update(model, lambda _: optax.sgd(_LEARNING_RATE), training, 1, vmapped=False)
    start, one = jnp.int32(0), jnp.int32(1)

    def update(client: Array) -> Array:
        key = jax.random.key(0)
        return ravel_pytree(train(key, start, params, scene.data, client, one, one)[0])[0]

    return jax.jit(lambda ids: jax.lax.map(update, ids))(jnp.arange(clients))


def _attack_2nn(scene: _Scene, plans: dict[float, PrivacyPlan]) -> tuple[list[Row], list[Picture]]:
    setting, model = scene.setting, two_nn(_FEATURES, _CLASSES)
    params = model.init(jax.random.key(0))
    unflatten = ravel_pytree(params)[1]

    def first_layer(vector: Array) -> tuple[Array, Array]:
        layer = unflatten(vector)["layers"][0]
        return layer["kernel"], layer["bias"]

    def by(invert: Callable[[Array, Array], Array]) -> _Attack:
        @jax.jit
        def inputs(held: Array) -> Array:
            return jax.lax.map(lambda row: invert(*first_layer(row)), held)

        return lambda view, digits: inputs(view.held[:digits]).reshape(digits, *_FEATURES)

    @jax.jit
    def told(held: Array, images: Array) -> Array:
        def one(pair: tuple[Array, Array]) -> Array:
            row, image = pair
            units = invert_dense_by_each_unit(*first_layer(row)).reshape(-1, *_FEATURES)
            shown = jnp.clip(units, 0, 1)
            return units[jnp.argmax(psnr(shown, image[None]))]

        return jax.lax.map(one, (held, images))

    attacks: dict[str, _Attack] = {
        "all units": by(invert_dense_by_all_units),
        "largest unit": by(invert_dense),
        "best unit": lambda view, digits: told(view.held[:digits], scene.images[:digits]),
    }
    updates = _updates(scene, model, params, setting.clients)
    trained = _trained(scene, model, params)
    few = setting.digits
    held = [
        View("clear update", _DEVICE, updates),
        *_other_clear_updates(scene, model, params, trained, few),
        *_protections(setting, few, params, updates, plans),
        *_wires(
            updates[:few],
            {
                "integers": plain(),
                f"ciphertext, Paillier {setting.key_bits}": paillier(setting.key_bits),
                f"ciphertext, threshold Paillier {setting.key_bits}": threshold_paillier(
                    setting.key_bits, holders=3, threshold=2
                ),
                "ciphertext, BFV": bfv(),
                "masked integers": masking(),
            },
        ),
        _skellam(setting, model, updates),
    ]
    rows, pictures = [], []
    for view in held:
        for name, attack in attacks.items():
            row, picture = _judged(scene, "2nn", view, name, attack, setting.digits)
            rows.append(row)
            if name == "all units":
                pictures.append(picture)
    return rows, pictures


def _other_clear_updates(
    scene: _Scene, model: Model, params: Params, trained: Params, digits: int
) -> list[View]:
    return [
        View(
            f"clear update, {_LOCAL_EPOCHS} local steps",
            _DEVICE,
            _updates(scene, model, params, digits, _LOCAL_EPOCHS),
        ),
        View(_TRAINED, _DEVICE, _updates(scene, model, trained, digits)),
    ]


def _protections(
    setting: Setting,
    digits: int,
    params: Params,
    updates: Float[Array, "clients length"],
    plans: dict[float, PrivacyPlan],
) -> list[View]:
    """What is held where floats are added: clipped updates, sums, released models, noise."""
    clients, attacked = len(updates), updates[:digits]
    made = [View(f"clipped to {_NORM:g}", _DEVICE, views.clipped(attacked, _NORM))]
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


def _wires(updates: Float[Array, "clients length"], protocols: dict[str, SecureSum]) -> list[View]:
    """What an aggregator receives of each client."""
    limit = float(jnp.max(jnp.abs(updates)))
    rows = views.quantized(jax.random.key(7), updates, limit, _BITS)
    made = []
    for name, protocol in protocols.items():
        held = views.received_messages(protocol, rows, limit, _BITS, os.urandom)
        made.append(View(name, f"aggregator, {protocol.name}", jnp.asarray(held)))
    return made


def _skellam(setting: Setting, model: Model, updates: Float[Array, "clients length"]) -> View:
    plan = calibrate(
        PrivacyPlan(
            **asdict(_plan(setting))
            | {"mechanism": "skellam", "dimension": num_parameters(model), "bits": _BITS}
        ),
        8.0,
    )
    held = views.noised_integers(jax.random.key(8), updates, plan, os.urandom)
    name = "integers with own share of noise, ε = 8"
    return View(name, "aggregator, plain, skellam", jnp.asarray(held[: setting.digits]))


def _attack_cnn(scene: _Scene, plans: dict[float, PrivacyPlan]) -> tuple[list[Row], list[Picture]]:
    setting, model = scene.setting, twice_differentiable_cnn(_FEATURES, _CLASSES)
    params = model.init(jax.random.key(0))
    unflatten = ravel_pytree(params)[1]

    def by_matching(params: Params, restarts: int) -> _Attack:
        matching = Matching(setting.iterations, restarts)

        @jax.jit
        def match(key: Array, params: Params, vector: Array, labels: Array) -> Array:
            update = unflatten(vector)
            return match_gradient(key, model, params, update, labels, _FEATURES, matching).images

        def attack(view: View, digits: int) -> Array:
            found = []
            for first in range(0, digits, view.mixed):
                vector, key = view.held[first], jax.random.key(first)
                if 1 < view.mixed <= _MOST_TOGETHER:
                    found.append(match(key, params, vector, scene.labels[first:][: view.mixed]))
                else:
                    label = infer_label(unflatten(vector)["logits"]["bias"])
                    images = match(key, params, vector, label[None])
                    found.append(jnp.repeat(images, view.mixed, axis=0))
            return jnp.concatenate(found)[:digits]

        return attack

    few = setting.matched
    trained = _trained(scene, model, params)
    updates = _updates(scene, model, params, setting.clients)
    others = [
        *_other_clear_updates(scene, model, params, trained, few),
        *_protections(
            setting, few, params, updates, {e: plans[e] for e in setting.matched_epsilons}
        ),
        *_wires(
            updates[:few],
            {"integers": plain(), "ciphertext, BFV": bfv(), "masked integers": masking()},
        ),
    ]
    clear = View("clear update", _DEVICE, updates)
    attack = by_matching(params, setting.restarts)
    judged = [_judged(scene, "cnn", clear, "matching", attack, setting.digits)]
    attack, attack_trained = by_matching(params, 1), by_matching(trained, 1)
    for view in others:
        chosen = attack_trained if view.name == _TRAINED else attack
        judged.append(_judged(scene, "cnn", view, "matching", chosen, few))
    return [row for row, _ in judged], [picture for _, picture in judged]


def _judged(
    scene: _Scene, model: str, view: View, name: str, attack: _Attack, digits: int
) -> tuple[Row, Picture]:
    """An attack on the first clients' rows of a view, against their digits."""
    start = time.perf_counter()
    found = jax.block_until_ready(jnp.nan_to_num(attack(view, digits)))
    seconds = time.perf_counter() - start
    shown, originals = jnp.clip(found, 0, 1), scene.images[:digits]
    decibels = np.minimum(jax.jit(psnr)(shown, originals), _EQUAL)
    similarities = np.asarray(jax.jit(ssim)(shown, originals))
    guess = jnp.broadcast_to(scene.mean_image[None], originals.shape)
    row = Row(
        model,
        view.name,
        view.holder,
        name,
        digits,
        float(np.median(decibels)),
        float(np.median(similarities)),
        _identified(scene, found),
        float(jnp.median(psnr(guess, originals))),
        seconds,
        tuple(decibels.tolist()),
        tuple(similarities.tolist()),
    )
    return row, Picture(model, view.name, np.asarray(shown[..., 0]), row.psnr_median)


def _identified(scene: _Scene, found: Float[Array, "digits height width channels"]) -> float:
    """The share of reconstructions that point to their own digit among all clients'."""

    def directions(images: Array) -> Array:
        flat = images.reshape(len(images), -1)
        centred = flat - jnp.mean(flat, axis=1, keepdims=True)
        return centred / jnp.maximum(jnp.linalg.norm(centred, axis=1, keepdims=True), 1e-30)

    # The mean image is left out of one side only: of a blank reconstruction it would be the rest.
    likeness = directions(found) @ directions(scene.images - scene.mean_image[None]).T
    return float(jnp.mean(jnp.argmax(likeness, axis=1) == jnp.arange(len(found))))


def as_json(setting: Setting, report: Report) -> str:
    """The rows, the setting and what it ran on, in one line; the pictures are left out."""
    return as_line({"rows": report.rows, "noise_multipliers": report.noise_multipliers}, setting)


def show(report: Report) -> None:
    """The rows as a table, without each digit's values, who holds the view, and times."""
    columns = ["model", "view", "attack", "digits", "psnr_median", "ssim_median", "identified"]
    columns.append("psnr_of_mean_image")
    table = Table(*(name.replace("_", " ") for name in columns), title="Digits from updates")
    for row in report.rows:
        values = (getattr(row, name) for name in columns)
        table.add_row(*(f"{x:.3g}" if isinstance(x, float) else str(x) for x in values))
    Console().print(table)
