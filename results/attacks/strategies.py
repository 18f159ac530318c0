"""DP-FedAvg in plain NumPy for the kit: a right round, and others with one fault each."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from pride_jax.attacks.audit_probes import Client

CLIENTS, RATE, NORM, NOISE = 100, 0.1, 1.0, 1.0
"""What each of them claims: clients, sampling rate, clipping norm, noise multiplier."""


class Right:
    """A round that does as it says; the others say the same and replace one method."""

    def __init__(self, seed: int) -> None:
        # A seed makes a study repeatable; a deployment takes the operating system's randomness.
        self.rng = np.random.default_rng(seed)

    def __call__(
        self, params: Float[np.ndarray, "size"], clients: Sequence[Client]
    ) -> Float[np.ndarray, "size"]:
        """The parameters after a round."""
        called = np.flatnonzero(self.cohort(len(clients))).tolist()
        updates = np.array([clients[each].update for each in called]).reshape(-1, len(params))
        total = np.sum(self.clipped(updates), axis=0) / self.denominator(len(called))
        return params + total + self.noise(len(params)) / (RATE * CLIENTS)

    def cohort(self, clients: int) -> Bool[np.ndarray, "clients"]:
        """Who is called: each with the sampling rate."""
        return self.rng.random(clients) < RATE

    def clipped(
        self, updates: Float[np.ndarray, "called size"]
    ) -> Float[np.ndarray, "called size"]:
        """Each update, no longer than the clipping norm."""
        norms = np.linalg.norm(updates, axis=1, keepdims=True)
        return updates * np.minimum(1.0, NORM / norms)

    def denominator(self, called: int) -> float:
        """What the sum is divided by: the expected number of clients."""
        del called
        return RATE * CLIENTS

    def noise(self, size: int) -> Float[np.ndarray, "size"]:
        """Of the sum."""
        return NOISE * NORM * self.rng.normal(size=size)


class Unclipped(Right):
    """Forgets to clip."""

    def clipped(
        self, updates: Float[np.ndarray, "called size"]
    ) -> Float[np.ndarray, "called size"]:
        """Each update as it is."""
        return updates


class Oversampled(Right):
    """Calls clients half as often again as it says."""

    def cohort(self, clients: int) -> Bool[np.ndarray, "clients"]:
        """Who is called: too many."""
        return self.rng.random(clients) < 1.5 * RATE


class ReusedNoise(Right):
    """Seeds its noise anew in every round."""

    def noise(self, size: int) -> Float[np.ndarray, "size"]:
        """The same in every round."""
        return NOISE * NORM * np.random.default_rng(0).normal(size=size)


class RealisedWeight(Right):
    """Divides by the number of clients that were called."""

    def denominator(self, called: int) -> float:
        """That number, or 1 if there were none."""
        return max(1, called)


class QuietNoise(Right):
    """Has four fifths of the noise that it says."""

    def noise(self, size: int) -> Float[np.ndarray, "size"]:
        """Too little."""
        return 0.8 * super().noise(size)


FAULTS: dict[type[Right], str] = {
    Unclipped: "clipping",
    Oversampled: "sampling rate",
    ReusedNoise: "fresh noise",
    RealisedWeight: "denominator",
    QuietNoise: "noise",
}
"""What the kit must find at each."""
