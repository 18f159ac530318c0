"""Scores class by class, group by group and client by client: the tables behind the means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from pride_jax.engine.evaluation import headline
from pride_jax.task import Scores

MOST_CLIENTS = 1000
"""Clients up to which a table has a row for each; of more, a spread tells."""

Table = list[dict[str, Any]]
"""Rows with the same columns, as JSON has them."""


def by_class(confusion: Int[np.ndarray, "classes classes"], names: Sequence[str]) -> Table:
    """How well each class is known: ``name``, ``examples``, ``precision`` and ``recall``.

    Args:
      confusion: examples by true class (row) and predicted class (column).
      names: of the classes; none where they have numbers alone.

    Returns:
      A row a class. Precision is null of a class that is never predicted, and recall of one without
      a test example.
    """
    right, examples, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        {
            "name": _name(names, number),
            "examples": int(examples[number]),
            "precision": _ratio(right[number], predicted[number]),
            "recall": _ratio(right[number], examples[number]),
        }
        for number in range(len(confusion))
    ]


def by_group(scores: Scores, groups: Int[np.ndarray, "examples"], names: Sequence[str]) -> Table:
    """How well each group's examples are answered: ``name``, ``examples`` and the headline score.

    Args:
      scores: one an example.
      groups: who made each.
      names: of the groups; none where they have numbers alone.

    Returns:
      A row for each group that made an example.
    """
    score, examples = headline(scores.sums), np.bincount(groups)
    sums, weights = (
        np.bincount(groups, weights=each) for each in (scores.sums[score], scores.weight)
    )
    return [
        {
            "name": _name(names, number),
            "examples": int(examples[number]),
            score: _ratio(sums[number], weights[number]),
        }
        for number in np.flatnonzero(examples).tolist()
    ]


def by_client(
    sizes: Int[np.ndarray, "clients"],
    held_out: Int[np.ndarray, "clients"],
    totals: Mapping[str, Shaped[np.ndarray, "clients 2"]],
    names: Sequence[str],
) -> Table:
    """How well each client is served, on its own examples.

    Args:
      sizes: how many examples each client trains on.
      held_out: how many each holds out.
      totals: by what is tested on what, as from `client_totals`.
      names: of the clients; none where they have numbers alone.

    Returns:
      A row a client: ``name``, ``examples``, ``held_out`` and a score for each of ``totals``, null
      where the client has no example to be tested on. No row if there are more than `MOST_CLIENTS`.
    """
    if len(sizes) > MOST_CLIENTS:
        return []
    return [
        {
            "name": _name(names, client),
            "examples": int(sizes[client]),
            "held_out": int(held_out[client]),
        }
        | {name: _ratio(*each[client]) for name, each in totals.items()}
        for client in range(len(sizes))
    ]


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if names else str(number)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
