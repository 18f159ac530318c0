"""The area under the ROC curve, from histograms that add up over chunks of examples."""

import numpy as np
from jaxtyping import Int, Shaped

from pride_jax.task import RANKS

Histograms = Int[np.ndarray, "classes 2 ranks"]


def histograms(
    ranks: Shaped[np.ndarray, "examples classes"], targets: Int[np.ndarray, "examples"]
) -> Histograms:
    """For each class, how many of the other classes' examples, and of its own, have each rank.

    Those of chunks add up to that of all.

    Args:
      ranks: how sure a model is of each class, see `Scores.ranks`.
      targets: the classes that examples are of.
    """
    classes = ranks.shape[1]
    own = (targets[:, None] == np.arange(classes)).astype(np.int64)
    places = (np.arange(classes) * 2 + own) * RANKS + ranks.astype(np.int64)
    counts = np.bincount(places.ravel(), minlength=classes * 2 * RANKS)
    return counts.reshape(classes, 2, RANKS)


def auc(counted: Histograms) -> float | None:
    """How likely an example of a class ranks above another class's: the mean over the classes.

    One against the rest, each class counting once (macro); examples of one rank count half. Of two
    classes it is the binary area. Classes that all or none of the examples are of are left out.

    Returns:
      None where every class is left out.
    """
    areas = []
    for others, own in counted.astype(np.float64):
        pairs = others.sum() * own.sum()
        if pairs:
            below = np.cumsum(others) - others
            areas.append(float(np.sum(own * (below + others / 2)) / pairs))
    return float(np.mean(areas)) if areas else None
