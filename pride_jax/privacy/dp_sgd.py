"""DP-SGD within a client: each example's gradient is clipped, and noise hides one example of many.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar & Zhang 2016, "Deep Learning with Differential
Privacy", as each client's part of FedAvg. What a client sends is private by itself, whoever adds it
up: nobody but the client must be trusted. It hides an example of a client, not the client.

The plan is a client's own, in which its examples are the clients of other plans: it draws each
local step's examples, clips their gradients, adds the noise, and is accounted by `example_epsilon`.
Batches of one shuffle are no Poisson sampling. So the engine hands all of a client's examples to
every step, which then draws its own. Clients with fewer examples than the longest are filled up
with empty ones, which may be drawn and add nothing.

Noise that anybody can draw again hides nothing. Here it comes, as do draws and shuffles, from the
key of the run's training, which every client's key is folded from; so that key must be secret, of
256 bits: ``algorithm.init(secret_key(), …)``. Real clients draw their own. Gradients and noise are
in floating point, for studies: no distance of the noise from what is accounted is stated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import Own, averaged, each_round
from pride_jax.methods.method import (
    WHOLE,
    ClientOptimizer,
    ClientRule,
    Local,
    LocalTraining,
    Method,
    Round,
    State,
    Update,
    Weighting,
    by_examples,
    no_state,
)
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.norms import clip_by_norm
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import check_secret
from pride_jax.privacy.sampling import Full, TruncatedPoisson
from pride_jax.privacy.values import Floats
from pride_jax.task import Task
from pride_jax.types import Key, Params


def dp_sgd(
    task: Task,
    plan: Plan,
    client_optimizer: ClientOptimizer | optax.GradientTransformation,
    server_optimizer: optax.GradientTransformation = optax.sgd(1.0),
    *,
    steps: int,
    weighting: Weighting = by_examples,
) -> Method:
    """Makes FedAvg whose clients take steps of DP-SGD.

    A step descends along (Σ clipped gradients of the examples drawn + noise) / (examples expected).

    Args:
      task: what is learned.
      plan: of one client's examples: ``num_clients`` is how many the longest client holds, a round
        is a local step, and ``rounds`` are those of the whole run, see `example_epsilon`.
      client_optimizer: of the clients, or the round -> their optimizer; made anew each round.
      server_optimizer: steps along the mean update.
      steps: that a client takes in a round.
      weighting: how much each client counts, by its number of examples, which is public.

    Raises:
      ConfigError: the plan is none of the kinds that a client can carry out; or, when traced, it is
        of another number of examples, or the key is not secret.
    """
    _check(plan, steps)
    optimizer = each_round(client_optimizer)
    rule = ClientRule(
        no_state, lambda round_, sent, _: _descend(task, plan, optimizer, round_, sent)
    )
    training = LocalTraining(steps, WHOLE)
    return averaged(task, rule, server_optimizer, weighting=weighting, training=training)


def example_epsilon(plan: Plan, steps: int, rounds: int) -> float:
    """ε at the plan's δ of one example of a client, against who sees all that the client sends.

    Its neighbour holds, in its place, an example whose gradient is zero: how many examples a client
    holds is public, and a step is divided by it. Nothing is said of the losses that a
    simulation reports. That a client is not called in every round counts by ``rounds`` alone.

    Args:
      plan: of one client's examples.
      steps: that the client takes in a round.
      rounds: in which it takes part.

    Raises:
      ConfigError: the plan is none of the kinds that a client can carry out.
    """
    _check(plan, steps)
    return epsilon(plan, steps * rounds)


def _check(plan: Plan, steps: int) -> None:
    """Refuses what a client's step does not carry out, or nothing accounts.

    Raises:
      ConfigError: as above.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps}: expected at least one local step a round")
    if not isinstance(plan.sampler, Full | TruncatedPoisson):
        raise ConfigError(
            f"sampler={plan.sampler} of examples: expected 'truncated_poisson' or 'full', the "
            "draws of a client's own step"
        )
    if not isinstance(plan.clipping, Flat):
        raise ConfigError(f"clipping={plan.clipping} of examples: expected one norm, Flat")
    mechanism = plan.mechanism
    if not isinstance(mechanism, Gaussian) or mechanism.values != Floats():
        raise ConfigError(
            f"mechanism={mechanism} of examples: expected Gaussian noise on Floats, for studies: "
            "a client's step adds gradients in floating point, and no later step takes noise back"
        )


class _Gradient(NamedTuple):
    """Of one example: the gradient, clipped, and the loss; zeros where it was not drawn."""

    slope: Params
    loss: Float[Array, ""]


def _descend(
    task: Task, plan: Plan, optimizer: ClientOptimizer, round_: Round, received: Params
) -> Local:
    """A client that starts from what it received and descends along noised sums of gradients."""
    transform = optimizer(round_.number)
    rate = plan.sampler.rate

    def gradient(params: Params, example: Batch, key: Key) -> _Gradient:
        def loss(params: Params) -> Float[Array, ""]:
            return task.loss(params, jax.tree.map(lambda leaf: leaf[None], example), key)[0]

        value, slope = jax.value_and_grad(loss)(params)
        clipped, info = clip_by_norm(slope, plan.clipping.norm)
        counts = example.mask & ~info.nonfinite
        return jax.tree.map(lambda leaf: jnp.where(counts, leaf, 0.0), _Gradient(clipped, value))

    def step(key: Key, carry: Own, batch: Batch) -> tuple[Own, Float[Array, ""]]:
        check_secret(key)
        _check_examples(plan, batch)
        draw_key, noise_key, loss_key = jax.random.split(key, 3)
        drawn = plan.sampler.draw(draw_key, 0)
        examples = jax.tree.map(lambda leaf: leaf[drawn.ids], batch)
        examples = examples._replace(mask=examples.mask & drawn.mask)
        keys = jax.random.split(loss_key, plan.sampler.slots)
        each = jax.vmap(gradient, in_axes=(None, 0, 0))(carry.params, examples, keys)
        total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), each)
        start = plan.init(noise_key, carry.params, jnp.int32(0))
        noised, _ = plan.release(noise_key, start, jnp.int32(0), total.slope, jnp.zeros(()))
        expected = rate * jnp.maximum(jnp.sum(batch.mask.astype(jnp.float32)), 1.0)
        slope = jax.tree.map(lambda leaf: leaf / expected, noised)
        change, opt_state = transform.update(slope, carry.opt_state, carry.params)
        return Own(optax.apply_updates(carry.params, change), opt_state), total.loss / rate

    def finish(carry: Own, steps: Int[Array, ""]) -> tuple[Update, State]:
        del steps
        return jax.tree.map(jnp.subtract, carry.params, received), ()

    return Local(Own(received, transform.init(received)), step, finish)


def _check_examples(plan: Plan, batch: Batch) -> None:
    if plan.sampler.num_clients != batch.mask.shape[0]:
        raise ConfigError(
            f"num_clients={plan.sampler.num_clients} in the plan of examples: expected "
            f"{batch.mask.shape[0]}, which the longest client holds"
        )
