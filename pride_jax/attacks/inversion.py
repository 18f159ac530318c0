"""Inputs back from updates: exactly through a dense layer, else by matching gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.types import Key, Model, Params, Update


def invert_dense(
    kernel: Float[Array, "inputs units"], bias: Float[Array, "units"]
) -> Float[Array, "inputs"]:
    """The one input behind the update of a first dense layer ``y = xW + b``.

    The gradient of W is x ⊗ ∂L/∂y and that of b is ∂L/∂y, so that a unit's share of the one
    divided by its share of the other is x (Geiping et al. 2020, Inverting Gradients, proposition
    3.1). As the input is the same in every step, this holds for a client with one example after any
    number of steps of gradient descent. The unit with the largest bias update is used.

    Args:
      kernel: update of W, of any scale.
      bias: update of b, of the same scale.

    Returns:
      The input; of several examples, their mean, weighted by what the unit had to learn of each.
      Not finite where no bias changed.
    """
    unit = jnp.argmax(jnp.abs(bias))
    return kernel[:, unit] / bias[unit]


def invert_dense_by_all_units(
    kernel: Float[Array, "inputs units"], bias: Float[Array, "units"]
) -> Float[Array, "inputs"]:
    """As `invert_dense`, by least squares over all units: better where the update is noisy."""
    return kernel @ bias / jnp.sum(bias**2)


def invert_dense_by_each_unit(
    kernel: Float[Array, "inputs units"], bias: Float[Array, "units"]
) -> Float[Array, "units inputs"]:
    """As `invert_dense`, each unit's answer; zeros of units whose bias did not change.

    Of several examples, each unit mixes them in another way, and one that only a single example
    switches on shows that example alone.
    """
    changed = bias != 0
    ratios = kernel / jnp.where(changed, bias, 1.0)[None, :]
    return jnp.where(changed[:, None], ratios.T, 0.0)


def infer_label(bias: Float[Array, "classes"]) -> Int[Array, ""]:
    """The label of the one example behind an update of the last layer's bias.

    Cross entropy lowers every logit but the label's, so that only its bias is raised (Zhao, Mopuri
    & Bilen 2020, iDLG).
    """
    return jnp.argmax(bias)


class Matching(NamedTuple):
    """How gradients are matched.

    Attributes:
      iterations: steps of Adam on the signs of the objective's gradient.
      restarts: random images to start from, all at once.
      learning_rate: at first; a tenth of it after 3/8, 5/8 and 7/8 of the iterations each.
      total_variation: weight of the mean difference of neighbouring pixels.
    """

    iterations: int = 150
    restarts: int = 2
    learning_rate: float = 0.1
    total_variation: float = 1e-3


class Reconstruction(NamedTuple):
    """What gradient matching found.

    Attributes:
      images: of the restart with the smallest distance, in 0 … 1.
      distance: its ``1 − cos`` between the update it would cause and the one observed.
    """

    images: Float[Array, "batch height width channels"]
    distance: Float[Array, ""]


def match_gradient(
    key: Key,
    model: Model,
    params: Params,
    update: Update,
    labels: Int[Array, "batch"],
    features: tuple[int, int, int],
    matching: Matching,
) -> Reconstruction:
    """Images whose gradient at the received parameters points as the observed update does.

    Geiping, Bauermeister, Dröge & Moeller 2020, "Inverting Gradients – How easy is it to break
    privacy in federated learning?", eq. 4: ``1 − cos`` plus total variation, by Adam on signed
    gradients within the box 0 … 1. Cosine distance does not see the update's scale, so that neither
    learning rate nor clipping norm has to be known. Of one step over a batch, and roughly of
    several.

    Args:
      key: of the restarts.
      model: it must be differentiable twice.
      params: that the client received.
      update: that it sent, or what an attacker holds in its place.
      labels: of the examples, in the order in which the images come back.
      features: shape of an image.
      matching: how.
    """
    observed = jax.tree.map(jnp.negative, update)
    # Adam takes steps of the learning rate, whatever the scale of the gradient.
    drops = {int(matching.iterations * share): 0.1 for share in (3 / 8, 5 / 8, 7 / 8)}
    optimizer = optax.adam(optax.piecewise_constant_schedule(matching.learning_rate, drops))

    def loss(params: Params, images: Array) -> Array:
        logits = model.apply(params, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def distance(images: Array) -> Array:
        gradient = jax.grad(loss)(params, images)
        lengths = optax.tree.norm(gradient) * optax.tree.norm(observed)
        cosine = optax.tree.vdot(gradient, observed) / jnp.maximum(lengths, 1e-30)
        return jnp.asarray(1 - cosine)

    def objective(images: Array) -> Array:
        return distance(images) + matching.total_variation * total_variation(images)

    def attempt(key: Key) -> Reconstruction:
        start = jax.random.uniform(key, (*labels.shape, *features))

        def step(
            _: Int[Array, ""], carry: tuple[Array, optax.OptState]
        ) -> tuple[Array, optax.OptState]:
            images, state = carry
            signs = jnp.sign(jax.grad(objective)(images))
            # Adam in Optax raises a float to an integer power.
            with jax.numpy_dtype_promotion("standard"):
                change, state = optimizer.update(signs, state)
            return jnp.clip(jax.tree.map(jnp.add, images, change), 0.0, 1.0), state

        images, _ = jax.lax.fori_loop(0, matching.iterations, step, (start, optimizer.init(start)))
        return Reconstruction(images, distance(images))

    attempts = jax.vmap(attempt)(jax.random.split(key, matching.restarts))
    best = jnp.argmin(attempts.distance)
    return jax.tree.map(lambda leaf: leaf[best], attempts)


def total_variation(images: Float[Array, "batch height width channels"]) -> Float[Array, ""]:
    """Mean difference of neighbours, down and across (Rudin, Osher & Fatemi 1992, anisotropic)."""
    down = jnp.mean(jnp.abs(images[:, 1:] - images[:, :-1]))
    across = jnp.mean(jnp.abs(images[:, :, 1:] - images[:, :, :-1]))
    return down + across
