"""Did this client take part? Scores from the released models, and what they can be worth."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from pride_jax.attacks.own_update import own_update
from pride_jax.data.federated import FederatedData
from pride_jax.errors import ConfigError
from pride_jax.methods.method import Method
from pride_jax.privacy.norms import clip_by_norm
from pride_jax.types import Key, Params


class Roc(NamedTuple):
    """True against false positive rates of all thresholds, from (0, 0) to (1, 1)."""

    fpr: Float[np.ndarray, "thresholds"]
    tpr: Float[np.ndarray, "thresholds"]


def roc(present: Float[np.ndarray, "some"], absent: Float[np.ndarray, "others"]) -> Roc:
    """The rates of every threshold on scores, which are large where a client seems present.

    Raises:
      ConfigError: there are no scores of one kind.
    """
    if not len(present) or not len(absent):
        raise ConfigError(
            f"{len(present)} scores of present and {len(absent)} of absent clients: expected at "
            "least one of either"
        )
    scores = np.concatenate([present, absent])
    positive = np.arange(len(scores)) < len(present)
    order = np.argsort(-scores, kind="stable")
    # Equal scores pass a threshold together.
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, alarms = (np.cumsum(kind[order])[last] for kind in (positive, ~positive))
    rates = (np.append(0.0, count / count[-1]) for count in (alarms, hits))
    return Roc(*rates)


def auc(curve: Roc) -> float:
    """Area under a ROC curve: how often a present client outscores an absent one, ties half."""
    return float(np.trapezoid(curve.tpr, curve.fpr))


def tpr_at(curve: Roc, fpr: float) -> float:
    """The largest true positive rate of a threshold whose false positive rate is at most ``fpr``.

    At small ``fpr``, such as 1%, it says what a confident attacker has (Carlini et al. 2022).
    """
    return float(np.max(curve.tpr[curve.fpr <= fpr]))


def gaussian_dp(epsilon: float, delta: float) -> float:
    """μ of the Gaussian mechanism that is (ε, δ)-DP and no better (Dong, Roth & Su 2022).

    Raises:
      ConfigError: ε or δ is impossible.
    """
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        raise ConfigError(f"epsilon={epsilon}, delta={delta}: expected ε > 0 and δ between 0 and 1")
    from dp_accounting.gaussian_mechanism import get_sigma_gaussian

    return 1 / float(get_sigma_gaussian(epsilon, delta))


def ceiling(mu: float, fpr: Float[np.ndarray, "thresholds"]) -> Float[np.ndarray, "thresholds"]:
    """The most true positives of any test under μ-Gaussian DP: Φ(Φ⁻¹(FPR) + μ)."""
    from scipy.stats import norm

    return norm.cdf(norm.ppf(fpr) + mu)


def auc_ceiling(mu: float) -> float:
    """The largest AUC of any test under μ-Gaussian DP: Φ(μ/√2); .575 at ε = 1, δ = 1e-5."""
    from scipy.stats import norm

    return float(norm.cdf(mu / math.sqrt(2)))


def alignment(
    method: Method,
    data: FederatedData,
    max_norm: float,
) -> Callable[[Key, PyTree[Array]], Float[Array, "clients"]]:
    """Makes the function that asks of each released step how far it went a client's own way.

    The attacker has the client's examples. It trains on them from every released model, as the
    client would, clips, and adds up over rounds the inner products with the steps that the model
    took: for Gaussian noise on the sum, the logarithm of the likelihood ratio but for terms that do
    not depend on the noise. Local shuffles are the attacker's own.

    Args:
      method: what clients do; of those that send parameters and updates of them.
      data: the clients', all there.
      max_norm: that updates are clipped to.

    Returns:
      A function of the attacker's key and the released models, stacked along rounds, the initial
      one first.
    """
    update = own_update(method, data)
    clients = jnp.arange(data.num_clients)

    def scores(key: Key, released: PyTree[Array]) -> Float[Array, "clients"]:
        def one_round(
            total: Float[Array, "clients"], each: tuple[Int[Array, ""], Params, Params]
        ) -> tuple[Float[Array, "clients"], None]:
            round_, before, after = each
            step, _ = ravel_pytree(jax.tree.map(jnp.subtract, after, before))

            def one_client(client: Int[Array, ""]) -> Float[Array, ""]:
                own_key = jax.random.fold_in(jax.random.fold_in(key, round_), client)
                own = update(own_key, round_, before, client)
                return jnp.vdot(step, ravel_pytree(clip_by_norm(own, max_norm)[0])[0])

            return total + jax.vmap(one_client)(clients), None

        befores = jax.tree.map(lambda leaf: leaf[:-1], released)
        afters = jax.tree.map(lambda leaf: leaf[1:], released)
        rounds = jnp.arange(len(jax.tree.leaves(befores)[0]))
        return jax.lax.scan(one_round, jnp.zeros(len(clients)), (rounds, befores, afters))[0]

    return scores


def likelihood_ratio(
    shadow_scores: Float[np.ndarray, "shadows clients"],
    shadow_present: Bool[np.ndarray, "shadows clients"],
    scores: Float[np.ndarray, "runs clients"],
) -> Float[np.ndarray, "runs clients"]:
    """How much likelier a score is with the client than without it, by shadow runs (LiRA).

    Each client has its own two normal distributions, of one variance that all clients and both
    share (Carlini et al. 2022, Membership Inference Attacks From First Principles, section VI,
    with their fixed variance for few shadow runs).

    Args:
      shadow_scores: of runs whose clients the attacker tossed itself.
      shadow_present: who was there; everyone in at least one of them, and not in all.
      scores: of the runs attacked.

    Raises:
      ConfigError: a client was in all shadow runs, or in none.
    """
    there = shadow_present.sum(axis=0)
    if not np.all((there > 0) & (there < len(shadow_present))):
        raise ConfigError(
            f"{len(shadow_present)} shadow runs: expected every client in some and not in all; "
            "use more"
        )
    with_client = np.sum(shadow_scores * shadow_present, axis=0) / there
    absent = ~shadow_present
    without = np.sum(shadow_scores * absent, axis=0) / absent.sum(axis=0)
    residuals = shadow_scores - np.where(shadow_present, with_client[None, :], without[None, :])
    variance = np.mean(residuals**2)
    far, near = scores - without[None, :], scores - with_client[None, :]
    return (far**2 - near**2) / (2 * variance)
