"""The distributed discrete Gaussian mechanism: each client adds a share of discrete Gaussian noise.

Kairouz, Liu & Steinke 2021, The Distributed Discrete Gaussian Mechanism for Federated Learning with
Secure Aggregation. A sum of shares is almost, but not quite, discrete Gaussian itself: it is
accounted by Gaussian noise that costs no less, see `discrete_dominance`, and not by how far it is
from a discrete Gaussian, which would grow with the number of parameters.

But where it is secret how many were called, a client's coming changes of how many shares the noise
is a sum. The noise that is accounted there is a discrete Gaussian, the same for all cohorts, and
how far sums of shares are from it is part of their `distance`.
"""

import math
from dataclasses import dataclass

from pride_jax.privacy.mechanisms import discrete_gaussian_noise
from pride_jax.privacy.mechanisms.discrete_dominance import gaussian_variance, variation_of
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.mechanisms.share_mechanism import ShareMechanism, ShareNoise
from pride_jax.privacy.mechanisms.thresholds import discrete_gaussian_distance
from pride_jax.privacy.sampling import Accounted, Full


@dataclass(frozen=True)
class DiscreteGaussian(ShareMechanism):
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
        return gaussian_variance(self.noise_variance, self._smallest_share(sampler), clients)

    def _smallest_share(self, sampler: Accounted) -> float:
        return self.total_variance(sampler) / sampler.slots

    def distance(self, setting: Setting) -> float:
        """The most by which a release's noise differs from the accounted.

        That of all shares as drawn; and where cohorts are secret that of a sum of shares, whose
        probabilities are within e^±τ of a discrete Gaussian's, so in all (e^τ − 1)/2 at most.
        """
        drawn, sampler = super().distance(setting), setting.sampler
        if isinstance(sampler, Full) or self.noise_multiplier == 0:
            return drawn
        variation = variation_of(self._smallest_share(sampler), sampler.slots)
        # The whole distance there is, far below: no ε is stated for so narrow shares.
        return drawn + self.values.dimension * math.expm1(min(variation, 1.0)) / 2

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        if not self.gaussian_variance(sampler):
            return "nothing, since none is known for shares of so little noise"
        return super().accountant(sampler)
