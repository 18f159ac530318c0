"""The distributed discrete Gaussian mechanism: each client adds a share of discrete Gaussian noise.

Kairouz, Liu & Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated Learning with
Secure Aggregation. A sum of shares is almost, but not quite, discrete Gaussian itself: it is
accounted by Gaussian noise that costs no less, see `discrete_dominance`, and not by how far it is
from a discrete Gaussian, which would grow with the number of parameters.
"""

from dataclasses import dataclass

from pride_jax.privacy.mechanisms import discrete_gaussian_noise
from pride_jax.privacy.mechanisms.discrete_dominance import gaussian_variance
from pride_jax.privacy.mechanisms.integer_shares import ShareNoise, Shares
from pride_jax.privacy.mechanisms.thresholds import discrete_gaussian_distance
from pride_jax.privacy.sampling import Accounted


@dataclass(frozen=True)
class DiscreteGaussian(Shares):
    """Discrete Gaussian noise in shares, sized for a cohort less the missing and the colluding."""

    @property
    def noise(self) -> ShareNoise:
        """What shares are drawn from."""
        return ShareNoise(
            "discrete Gaussian",
            discrete_gaussian_noise.discrete_gaussian,
            discrete_gaussian_distance,
            discrete_gaussian_noise.tail_bound,
        )

    def gaussian_variance(self, sampler: Accounted) -> float:
        """Variance of Gaussian noise that costs no less, see `discrete_dominance`; 0 if unknown."""
        clients = sampler.slots
        share = self.total_variance(sampler) / clients
        return gaussian_variance(self.noise_variance, share, clients)

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        if not self.gaussian_variance(sampler):
            return "nothing, since none is known for shares of so little noise"
        return super().accountant(sampler)
