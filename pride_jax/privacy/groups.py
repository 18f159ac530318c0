"""What a plan promises a group of clients, such as all those that hold one and the same example."""

import math
from dataclasses import replace

from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.plan import Plan

_STEPS = 60
"""After which no δ is small enough: ε of the group is then infinite."""
_SMALLEST = 1e-30
"""A δ of one client below which plans refuse it."""


def group_epsilon(plan: Plan, clients: int, rounds: int | None = None) -> float:
    """ε at the plan's δ where a whole group of clients is a neighbour's difference.

    A group is as many steps from one population to another as it has clients. A step that costs
    (ε₁, δ₁) turns a probability p into at most e^ε₁·p + δ₁, so that g of them cost g·ε₁ at
    (1 + e^ε₁ + … + e^((g−1)·ε₁))·δ₁ (group privacy; for δ = 0 it is theorem 2.2 of Dwork & Roth
    2014, The Algorithmic Foundations of Differential Privacy). So δ₁ is chosen as large as the sum
    allows, and ε₁ is the plan's ε at δ₁. It holds for every plan, and is less than tight.

    Args:
      plan: what is released.
      clients: of the group, g.
      rounds: releases; all of the plan's if not given.

    Returns:
      ε of the group; infinite where nothing is promised.
    """
    share = plan.delta
    for _ in range(_STEPS):
        each = epsilon(replace(plan, delta=share), rounds)
        if not math.isfinite(each):
            return math.inf
        allowed = plan.delta / _powers(each, clients)
        if share <= allowed:
            return clients * each
        # A little less than what would do if ε did not grow: it does, a little.
        share = 0.8 * allowed
        if share < _SMALLEST:
            return math.inf
    return math.inf


def _powers(each: float, clients: int) -> float:
    """1 + e^ε + … + e^((g−1)·ε), or infinity."""
    if clients * each > 700:
        return math.inf
    return math.expm1(clients * each) / math.expm1(each) if each else float(clients)
