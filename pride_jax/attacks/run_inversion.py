"""What each role can reconstruct of a client's digit, from what it really holds.

Clients have one MNIST digit each and take part in one round: the 2NN, whose first dense layer is
inverted, and the CNN, whose gradient is matched. Every view is made by running the protocol or the
mechanism in question. Guessing the mean training image is what every attack is compared with.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.attacks.digits import (
    CLASSES,
    DEVICE,
    FEATURES,
    TRAINED,
    Scene,
    Setting,
    View,
    make_scene,
    other_clear_updates,
    plan_of_round,
    protections,
    skellam,
    train_on_others,
    updates_of,
    wires,
)
from pride_jax.attacks.inversion import (
    Matching,
    infer_label,
    invert_dense,
    invert_dense_by_all_units,
    invert_dense_by_each_unit,
    match_gradient,
)
from pride_jax.attacks.similarity import psnr, ssim
from pride_jax.models.networks import cnn, two_nn
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.values import Floats
from pride_jax.runs.lines import as_line
from pride_jax.types import Params

_EQUAL = 200.0
_MOST_TOGETHER = 10
"""Digits that are looked for at once; in larger sums, one, as if it were one client's update."""


TELLING = (
    "clear update",
    "sum over 2",
    "sum over 10",
    "two released models, with and without one of 100",
    "ε = 10000, others known",
    "ε = 8, others known",
    "ciphertext, Paillier 3072",
    "ciphertext, BFV",
    "masked integers",
)
"""Views that a picture shows, by what they give away; of most others the tables tell the same."""


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


_Attack = Callable[[View, int], Float[Array, "digits height width channels"]]


def measure(setting: Setting) -> Report:
    """Everything; the data set must be there, see `load_dataset`."""
    scene = make_scene(setting)
    # In floats: no integers have so little noise that their ε is large, and still a finite one.
    plans = {
        epsilon: plan_of_round(setting, lambda noise: Gaussian(noise, Floats()), epsilon)
        for epsilon in setting.epsilons
    }
    rows, pictures = _attack_2nn(scene, plans)
    if setting.matched:
        more, further = _attack_cnn(scene, plans)
        rows, pictures = rows + more, pictures + further
    originals = np.asarray(scene.images[: setting.digits, ..., 0])
    multipliers = {epsilon: plan.mechanism.noise_multiplier for epsilon, plan in plans.items()}
    return Report(rows, originals, pictures, multipliers)


def _attack_2nn(scene: Scene, plans: dict[float, Plan]) -> tuple[list[Row], list[Picture]]:
    setting, model = scene.setting, two_nn(FEATURES, CLASSES)
    params = model.init(jax.random.key(0))
    unflatten = ravel_pytree(params)[1]

    def first_layer(vector: Array) -> tuple[Array, Array]:
        layer = unflatten(vector)["layers"][0]
        return layer["kernel"], layer["bias"]

    def by(invert: Callable[[Array, Array], Array]) -> _Attack:
        @jax.jit
        def inputs(held: Array) -> Array:
            return jax.lax.map(lambda row: invert(*first_layer(row)), held)

        return lambda view, digits: inputs(view.held[:digits]).reshape(digits, *FEATURES)

    @jax.jit
    def told(held: Array, images: Array) -> Array:
        def one(pair: tuple[Array, Array]) -> Array:
            row, image = pair
            units = invert_dense_by_each_unit(*first_layer(row)).reshape(-1, *FEATURES)
            shown = jnp.clip(units, 0, 1)
            return units[jnp.argmax(psnr(shown, image[None]))]

        return jax.lax.map(one, (held, images))

    attacks: dict[str, _Attack] = {
        "all units": by(invert_dense_by_all_units),
        "largest unit": by(invert_dense),
        "best unit": lambda view, digits: told(view.held[:digits], scene.images[:digits]),
    }
    updates = updates_of(scene, model, params, setting.clients)
    trained = train_on_others(scene, model, params)
    few = setting.digits
    held = [
        View("clear update", DEVICE, updates),
        *other_clear_updates(scene, model, params, trained, few),
        *protections(setting, few, params, updates, plans),
        *wires(
            updates[:few],
            {
                "integers": plain(),
                f"ciphertext, Paillier {setting.key_bits}": paillier(setting.key_bits),
                f"ciphertext, threshold Paillier {setting.key_bits}": threshold_paillier(
                    setting.key_bits, holders=3, threshold=2
                ),
                "ciphertext, BFV": bfv(),
                "masked integers": masking(),
                "under a one-time key": lattice(two_servers()),
            },
        ),
        skellam(setting, model, updates),
    ]
    rows, pictures = [], []
    for view in held:
        for name, attack in attacks.items():
            row, picture = _judged(scene, "2nn", view, name, attack, setting.digits)
            rows.append(row)
            if name == "all units":
                pictures.append(picture)
    return rows, pictures


def _attack_cnn(scene: Scene, plans: dict[float, Plan]) -> tuple[list[Row], list[Picture]]:
    setting, model = scene.setting, cnn(FEATURES, CLASSES)
    params = model.init(jax.random.key(0))
    unflatten = ravel_pytree(params)[1]

    def by_matching(params: Params, restarts: int) -> _Attack:
        matching = Matching(setting.iterations, restarts)

        @jax.jit
        def match(key: Array, params: Params, vector: Array, labels: Array) -> Array:
            update = unflatten(vector)
            return match_gradient(key, model, params, update, labels, FEATURES, matching).images

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
    trained = train_on_others(scene, model, params)
    updates = updates_of(scene, model, params, setting.clients)
    others = [
        *other_clear_updates(scene, model, params, trained, few),
        *protections(
            setting, few, params, updates, {e: plans[e] for e in setting.matched_epsilons}
        ),
        *wires(
            updates[:few],
            {
                "integers": plain(),
                "ciphertext, BFV": bfv(),
                "masked integers": masking(),
                "under a one-time key": lattice(two_servers()),
            },
        ),
    ]
    clear = View("clear update", DEVICE, updates)
    attack = by_matching(params, setting.restarts)
    judged = [_judged(scene, "cnn", clear, "matching", attack, setting.digits)]
    attack, attack_trained = by_matching(params, 1), by_matching(trained, 1)
    for view in others:
        chosen = attack_trained if view.name == TRAINED else attack
        judged.append(_judged(scene, "cnn", view, "matching", chosen, few))
    return [row for row, _ in judged], [picture for _, picture in judged]


def _judged(
    scene: Scene, model: str, view: View, name: str, attack: _Attack, digits: int
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


def _identified(scene: Scene, found: Float[Array, "digits height width channels"]) -> float:
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
