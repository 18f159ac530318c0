"""The matrices that jax_privacy finds for the study, as an oracle; in an environment of its own.

    python -m venv VENV && VENV/bin/pip install jax-privacy
    VENV/bin/python results/correlated/oracle.py     # writes oracle.json

Nothing of pride_jax is imported here, and jax_privacy nowhere else.
"""

import json
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
from jax_privacy.matrix_factorization import (  # pyright: ignore
    buffered_toeplitz,
    dense,
    toeplitz,
)

ROUNDS, GROUPS = 100, 10
"""As in ``errors.py``."""


def workload(momentum: float, schedule: str) -> np.ndarray:
    """The model after each round, of the sums of all rounds."""
    rounds = np.arange(ROUNDS)
    rates = np.ones(ROUNDS) if schedule == "constant" else (1 + np.cos(np.pi * rounds / ROUNDS)) / 2
    apart = rounds[:, None] - rounds
    steps = np.where(apart >= 0, momentum ** np.maximum(apart, 0), 0.0)
    return np.cumsum(rates[:, None] * steps, axis=0)


def main() -> None:
    """Optimises, and writes the matrices' columns."""
    jax.config.update("jax_enable_x64", True)
    turns = ROUNDS // GROUPS
    blt = buffered_toeplitz.optimize(
        n=ROUNDS, min_sep=GROUPS, max_participations=None, error="mean"
    )
    found = {
        "jax_privacy": metadata.version("jax-privacy"),
        "blt": np.asarray(blt.toeplitz_coefs(ROUNDS)).tolist(),
        "banded": np.asarray(toeplitz.optimize_banded_toeplitz(ROUNDS, GROUPS)).tolist(),
        "dense": {
            f"{momentum:g} {schedule}": np.round(
                dense.optimize(ROUNDS, epochs=turns, A=workload(momentum, schedule)), 9
            ).tolist()
            for momentum in (0.0, 0.9)
            for schedule in ("constant", "cosine")
        },
    }
    Path(__file__).with_name("oracle.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
