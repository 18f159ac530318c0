"""A client's part of a round: train on its own examples, send the difference."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.data.federated import Batch, FederatedData, take
from pride_jax.types import Key, Model, Params, Update, matters

Precision = Literal["float32", "tf32", "bfloat16"]
"""In which a client multiplies; parameters, optimizer and updates are float32 in any case."""


class LocalTraining(NamedTuple):
    """What a client does with the model it is given.

    Attributes:
      epochs: passes over its examples.
      batch_size: examples a step, or None for all of them in one step.
      proximal: μ of FedProx's ``μ/2·‖w − w_received‖²`` (Li et al. 2020); 0 is FedAvg.
      label_smoothing: share of each label that is spread evenly over all classes.
      borrowed_scatter: how far each example moves along one of the `residuals` of its client,
        drawn anew each epoch; 0 leaves the examples alone.
      precision: ``tf32`` rounds what is multiplied to 10 bits of mantissa where the device can, as
        GPUs do by default elsewhere; ``bfloat16`` computes the whole network, its gradient
        included, in bfloat16.
    """

    epochs: int = 1
    batch_size: int | None = 10
    proximal: float = 0.0
    label_smoothing: float = 0.0
    borrowed_scatter: float = 0.0
    precision: Precision = "float32"


class ClientInfo(NamedTuple):
    """What a client saw while it trained: computed from its data, outside any ε.

    Attributes:
      loss: sum of the losses of the examples it trained on, as it met them.
      examples: how many those were, epochs counted.
    """

    loss: Float[Array, ""]
    examples: Float[Array, ""]


LocalUpdate = Callable[
    [Key, Int[Array, ""], Params, FederatedData, Int[Array, ""], Int[Array, ""], Int[Array, ""]],
    tuple[Update, ClientInfo],
]
"""``(key, round, params, data, client, size, batches) -> (update, info)``, see `local_update`."""


_PRODUCTS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
"""As JAX calls the precision of products of float32 arrays; on a CPU they are exact float32."""


def num_batches(size: Int[Array, "..."], batch_size: int) -> Int[Array, "..."]:
    """Steps an epoch over ``size`` examples, the last one possibly short."""
    return (size + batch_size - 1) // batch_size


def local_update(
    model: Model,
    optimizer: Callable[[Int[Array, ""]], optax.GradientTransformation],
    training: LocalTraining,
    longest: int,
    *,
    vmapped: bool,
) -> LocalUpdate:
    """Makes the function that trains one client (ClientUpdate of McMahan et al. 2016).

    Args:
      model: what is trained.
      optimizer: the round -> the optimizer of its clients; made anew each round.
      training: epochs, batch size, proximal term.
      longest: the most examples that any client holds.
      vmapped: several clients run together over the same number of batches, so that steps beyond a
        client's own are masked.

    Returns:
      A function of the client's key, the round, the server's parameters, the data, the client's id,
      its number of examples (zero leaves the parameters exactly as they are) and the number of
      batches an epoch to loop over: at least the client's own, and under vmap the same for all.
    """
    batch_size = training.batch_size or longest
    padded = -(-longest // batch_size) * batch_size

    def logits_of(
        params: Params, inputs: Float[Array, "batch ..."]
    ) -> Float[Array, "batch classes"]:
        if training.precision == "bfloat16":
            params, inputs = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (params, inputs))
        return model.apply(params, inputs).astype(jnp.float32)

    def loss(params: Params, received: Params, batch: Batch) -> tuple[Array, Array]:
        logits = logits_of(params, batch.inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.targets)
        if matters(smoothing := training.label_smoothing):
            spread = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
            losses = (1 - smoothing) * losses + smoothing * spread
        total = jnp.sum(jnp.where(batch.mask, losses, 0.0))
        objective = total / jnp.maximum(jnp.sum(batch.mask), 1).astype(total.dtype)
        if matters(training.proximal):
            drift = jax.tree.map(jnp.subtract, params, received)
            objective += 0.5 * training.proximal * optax.tree.norm(drift, squared=True)
        return objective, total

    def update(
        key: Key,
        round_: Int[Array, ""],
        received: Params,
        data: FederatedData,
        client: Int[Array, ""],
        size: Int[Array, ""],
        batches: Int[Array, ""],
    ) -> tuple[Update, ClientInfo]:
        transform = optimizer(round_)
        offset = data.offsets[client]
        places = jnp.arange(batch_size)
        scatter = training.borrowed_scatter
        if matters(scatter):
            own = jnp.arange(padded)
            strayed = scatter * residuals(take(data, offset + own, own < size))

        def epoch(number: Int[Array, ""], carry: tuple) -> tuple:
            epoch_key = jax.random.fold_in(key, number)
            order = shuffle(epoch_key, size, padded)
            if matters(scatter):
                lenders = shuffle(jax.random.fold_in(epoch_key, 0), size, padded)

            def step(number: Int[Array, ""], carry: tuple) -> tuple:
                params, opt_state, loss_sum = carry
                begin = number * batch_size
                entries = offset + jax.lax.dynamic_slice(order, (begin,), (batch_size,))
                batch = take(data, entries, begin + places < size)
                if matters(scatter):
                    lent = jax.lax.dynamic_slice(lenders, (begin,), (batch_size,))
                    batch = batch._replace(inputs=batch.inputs + strayed[lent])
                with jax.default_matmul_precision(_PRODUCTS[training.precision]):
                    (_, total), gradient = jax.value_and_grad(loss, has_aux=True)(
                        params, received, batch
                    )
                change, new_state = transform.update(gradient, opt_state, params)
                stepped = optax.apply_updates(params, change), new_state
                if vmapped:
                    active = begin < size
                    stepped = jax.tree.map(
                        lambda new, old: jnp.where(active, new, old), stepped, (params, opt_state)
                    )
                return *stepped, loss_sum + total

            return jax.lax.fori_loop(0, batches, step, carry)

        carry = received, transform.init(received), jnp.zeros(())
        params, _, loss_sum = jax.lax.fori_loop(0, training.epochs, epoch, carry)
        seen = (training.epochs * size).astype(jnp.float32)
        return jax.tree.map(jnp.subtract, params, received), ClientInfo(loss_sum, seen)

    return update


def residuals(examples: Batch) -> Float[Array, "batch ..."]:
    """How far each example lies from the mean of its class; zero in padding.

    An example that moves by another's residual stays a plausible one of its class if classes
    scatter alike, the assumption of Fisher's discriminant analysis (1936): few examples a class
    then tell more of each. Nothing but the client's own examples is used.
    """
    # What padding holds may be another client's, and not finite.
    mask = examples.mask[:, None]
    inputs = jnp.where(mask, examples.inputs.reshape(len(mask), -1), 0.0)
    alike = (examples.targets[:, None] == examples.targets[None]) & examples.mask[None]
    alike = alike.astype(inputs.dtype)
    sums = jnp.matmul(alike, inputs, precision="float32")
    means = sums / jnp.maximum(jnp.sum(alike, axis=1, keepdims=True), 1.0)
    return jnp.where(mask, inputs - means, 0.0).reshape(examples.inputs.shape)


def shuffle(key: Key, size: Int[Array, ""], padded: int) -> Int[Array, "padded"]:
    """A random order of ``0 … size − 1``, then the other places up to ``padded``.

    The random bits of a place depend on the key and the place alone, so that the order is the same
    for every ``padded``.
    """
    places = jnp.arange(padded)
    bits = jax.random.bits(key, (padded,))
    ranks = jnp.where(places < size, bits, jnp.array(jnp.iinfo(bits.dtype).max, bits.dtype))
    return jnp.argsort(ranks, stable=True).astype(jnp.int32)
