"""Who can see what in a run, and what it guarantees, in words a reviewer can check."""

from typing import Any

from pride_jax.aggregation.secure_sum import Sight
from pride_jax.config import Experiment
from pride_jax.federated import SecureAggregation

_NO_PROTOCOL = (
    Sight("aggregator, which is the simulating device", "every client's update, as floats"),
)
_EVERYONE = Sight("whoever has the released models", "what models tell of their training data")
_PUBLIC = "The roster of each round, clients' numbers of examples and sizes of messages are public."
_OUTSIDE = (
    "Training loss, counts of clipped, fitted or zeroed updates and accuracies over clients are "
    "computed from clients' data and released as they are."
)
_NO_DP = "No differential privacy: nothing bounds what the released models tell of one client."
_SIMULATED = (
    "Every role ran in one process, each function given only what its role may see; signing keys, "
    "and key holders' memory of what they opened, were new in every round. Nothing is "
    "constant-time."
)


def disclosure(config: Experiment, secure: SecureAggregation | None) -> dict[str, Any]:
    """What a run must say of itself.

    Args:
      config: the run's settings.
      secure: how it added updates.

    Returns:
      ``protocol``, ``sights`` (who sees what, from the protocol's own description) and
      ``statements``, as JSON has them.
    """
    sights = (_NO_PROTOCOL if secure is None else secure.protocol.sights) + (_EVERYONE,)
    statements = [_NO_DP, _PUBLIC, _OUTSIDE, _SIMULATED]
    if secure is not None and config.aggregation.exponent == "default":
        statements += _exponent_statement(secure.protocol.name)
    return {
        "protocol": "none" if secure is None else secure.protocol.name,
        "sights": [sight._asdict() for sight in sights],
        "statements": statements,
    }


def _exponent_statement(name: str) -> list[str]:
    if not name.startswith(("paillier", "threshold")):
        return []
    return [
        "Obfuscators have short exponents, four times the security level, which assumes that such "
        "powers look random; aggregation.exponent=strict does not."
    ]
