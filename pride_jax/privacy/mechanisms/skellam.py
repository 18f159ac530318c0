"""The Skellam mechanism: each client adds a share of integer noise before its update is protected.

Agarwal, Kairouz & Liu 2021, The Skellam Mechanism for Differentially Private Federated Learning.
Sums of shares have the distribution of the shares. The noise is drawn by `skellam_noise`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.mechanisms import skellam_noise
from pride_jax.privacy.mechanisms.dominance import SMALLEST_VARIANCE, gaussian_variance
from pride_jax.privacy.mechanisms.share_mechanism import ShareMechanism, ShareNoise
from pride_jax.privacy.profile import Least, Profile, RenyiProfile
from pride_jax.privacy.sampling import Accounted


@dataclass(frozen=True)
class Skellam(ShareMechanism):
    """Skellam noise in shares, sized for a cohort less the missing and the colluding."""

    @property
    def noise(self) -> ShareNoise:
        """What shares are drawn from."""
        return ShareNoise(
            "Skellam", skellam_noise.skellam, skellam_noise.distance, skellam_noise.tail_bound
        )

    def gaussian_variance(self, sampler: Accounted) -> float:
        """Variance of Gaussian noise that costs no less, see `dominance`; 0 if none is known."""
        del sampler
        variance = self.noise_variance
        return 0.0 if variance < SMALLEST_VARIANCE else gaussian_variance(variance)

    def known_profile(self, sampler: Accounted, releases: int) -> Profile:
        """By Gaussian noise that costs no less, and by Rényi divergences, less for little noise."""
        renyi = RenyiProfile(tuple((releases * self.known_divergences(sampler)).tolist()))
        if not self.gaussian_variance(sampler):
            return renyi
        return Least((super().known_profile(sampler, releases), renyi))

    def known_divergences(self, sampler: Accounted) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of a round in which a client is known to take part."""
        squared = float(self.values.max_squared_norm)
        bounds = skellam_divergences(self.noise_variance, squared, self.values.max_l1_norm)
        return np.minimum(bounds, super().known_divergences(sampler))

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        if not self.gaussian_variance(sampler):
            return "Rényi divergences (Agarwal et al. 2021), without amplification"
        return super().accountant(sampler)


def skellam_divergences(
    variance: float, squared_norm: float, l1_norm: float
) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences of orders 2, 3, … 512, at most, of Skellam noise and itself moved.

    D_α <= α Δ₂² / (2μ) + min(((2α - 1) Δ₂² + 6 Δ₁) / (4μ²), 3 Δ₁ / (2μ)) for a move by an integer
    vector (Agarwal, Kairouz & Liu 2021, The Skellam Mechanism, section 3).

    Args:
      variance: μ of the noise of each coordinate: it is the difference of two Poisson numbers of
        mean μ/2.
      squared_norm: Δ₂², squared L2 norm of the vector, at most.
      l1_norm: Δ₁, its L1 norm, at most.
    """
    excess = np.minimum(
        ((2 * ORDERS - 1) * squared_norm + 6 * l1_norm) / (4 * variance**2),
        3 * l1_norm / (2 * variance),
    )
    return ORDERS * squared_norm / (2 * variance) + excess
