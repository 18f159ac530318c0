"""δ pays for what is drawn not being exactly what is accounted for."""

import math
from collections.abc import Callable

LARGEST_SHARE = 1e-3
"""Of δ that may be charged; what would cost more has no finite ε."""


def charge(epsilon: float, distance: float) -> float:
    """δ that releases cost beyond their ideal ones, at most a total variation of them apart.

    P(A) ≤ P'(A) + d ≤ e^ε Q'(A) + δ + d ≤ e^ε (Q(A) + d) + δ + d, which is (1 + e^ε) d more.

    Args:
      epsilon: of all releases.
      distance: in total variation, of all releases.
    """
    return (1 + math.exp(min(epsilon, 700.0))) * distance


def charged(curve: Callable[[float], float], delta: float, distance: float) -> float:
    """ε at δ of releases that are some distance from those of a curve.

    Args:
      curve: δ -> ε of the ideal releases.
      delta: δ of those that are made.
      distance: in total variation, of all releases.

    Returns:
      ε at what is left of δ; infinite if the charge is more than a thousandth of δ.
    """
    if not distance:
        return curve(delta)
    # What is set aside before ε is known; the least is nearly always enough.
    for share in (1e-12, 1e-6, LARGEST_SHARE):
        epsilon = curve(delta * (1 - share))
        if charge(epsilon, distance) <= share * delta:
            return epsilon
    return math.inf
