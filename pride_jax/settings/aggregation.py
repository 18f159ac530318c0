"""How updates are added up: frozen, validated settings."""

from dataclasses import dataclass
from typing import Literal

from pride_jax.validated import Validated


@dataclass(frozen=True)
class Aggregation(Validated):
    """How updates are added up."""

    protocol: Literal["none", "plain", "two_servers", "paillier", "threshold", "masking", "bfv"] = (
        "none"
    )
    """`none`: floats on the device; `plain`: integers in the clear; `bfv`: for honest clients."""
    key_apart: Literal["where_cheaper", "always", "never"] = "where_cheaper"
    """Whether updates travel under one-time keys, and only the keys through `two_servers`,
    `paillier`, `threshold` or `masking`: `where_cheaper`, with `paillier` and `threshold` where
    updates are longer than keys. Sums are the same."""
    bits: int = 16
    """Bits of a quantised value."""
    limit: float | None = None
    """Largest value in an update; a client's update with a larger one is scaled down as a whole.
    1 if not given, or the clipping norm where there is noise, which an update cannot exceed."""
    key_bits: int = 3072
    """Of the Paillier modulus; 3072 is 128-bit security, 4096 is 152-bit, 2048 is 112-bit."""
    exponent: Literal["default", "strict"] = "default"
    """Length of the obfuscators' exponents; `strict` needs no assumption beyond Paillier's."""
    holders: int = 4
    """Key holders of `threshold`."""
    threshold: int = 3
    """How many of them open a sum: more than half. With 3 of 4 one may be corrupted, one absent."""
    server: Literal["curious", "active"] = "active"
    """Whom `masking` protects against: a server that follows the protocol, or one that does not."""
    corrupted: float = 1 / 3
    """With `masking`, the largest share of a round's clients that colludes with the server."""
    silent: float = 1 / 10
    """With `masking`, the largest share of a round's clients that falls silent."""
    smallest_cohort: int | None = None
    """Fewest clients with examples whose sum is opened; half of those expected if not given."""
    most_refused: int = 10
    """Sums that may be refused, each for a message that spoils it, before the run stops."""
    workers: int | None = None
    """Processes that encrypt and decrypt; one a core if not given."""

    def _check(self) -> None:
        self._above_zero("limit")
        self._at_least(1, "workers", "most_refused")
        self._at_least(2, "threshold", "smallest_cohort")
        if self.protocol == "none" and self.smallest_cohort is not None:
            self._refuse("smallest_cohort", "None with protocol='none', which hides no update")
        if self.key_apart == "always" and self.protocol in ("none", "plain", "bfv"):
            self._refuse(
                "key_apart",
                f"'where_cheaper' or 'never' with protocol={self.protocol!r}, through which no key "
                "can be sent: two_servers, paillier, threshold and masking hide keys",
            )
        if self.protocol == "threshold" and not self.holders / 2 < self.threshold <= self.holders:
            self._refuse("threshold", f"more than half of holders={self.holders}, and at most all")
        self._below_one("corrupted", "silent")
        each = 2 if self.server == "active" else 1
        if self.corrupted + each * self.silent >= 1:
            self._refuse(
                "silent",
                f"less than {(1 - self.corrupted) / each:.3g}, with corrupted={self.corrupted:.3g} "
                f"and server={self.server!r}",
            )
        if not 2 <= self.bits <= 24:
            self._refuse("bits", "2 to 24, which float32 updates can fill")
