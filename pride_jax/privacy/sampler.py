"""What a sampler is: a frozen value that draws cohorts, and tells an accountant what that hides."""

from typing import TYPE_CHECKING, Protocol

from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Int

    from pride_jax.types import Cohort, Key


RANK_BITS = 96
"""Of a client's random rank in a Poisson cohort; the lowest are called."""


class Sampler(Protocol):
    """What a federation asks of a sampler."""

    @property
    def num_clients(self) -> int:
        """All clients, N; public."""
        ...

    @property
    def slots(self) -> int:
        """The static size of a cohort."""
        ...

    @property
    def expected_cohort(self) -> float:
        """Clients expected in a round, m."""
        ...

    @property
    def rate(self) -> float:
        """Share of all clients expected in a round, q."""
        ...

    def draw(self, key: "Key", round_: "int | Int[Array, '']") -> "Cohort":
        """The cohort of a round.

        Args:
          key: of this round's draw, used for nothing else.
          round_: the round.
        """
        ...


class SamplerBase(Validated):
    """What the samplers have in common."""

    num_clients: int

    def _section(self) -> str:
        return ""

    @property
    def distance(self) -> float:
        """The most by which drawn cohorts are from those accounted for, in total variation."""
        return 0.0

    @property
    def group_size(self) -> int:
        """Clients that can be drawn in a round."""
        return self.num_clients

    @property
    def separation(self) -> int:
        """Rounds from one turn of a client to its next."""
        return 1

    def turns(self, rounds: int) -> int:
        """The most of ``rounds`` rounds in which a client can be drawn."""
        return -(-rounds // self.separation)
