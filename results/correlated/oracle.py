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
STEPS = 400
"""Of the optimiser of any matrix."""


def workload(momentum: float, schedule: str) -> np.ndarray:
    """The model after each round, of the sums of all rounds."""
    rounds = np.arange(ROUNDS)
    rates = np.ones(ROUNDS) if schedule == "constant" else (1 + np.cos(np.pi * rounds / ROUNDS)) / 2
    apart = rounds[:, None] - rounds
    steps = np.where(apart >= 0, momentum ** np.maximum(apart, 0), 0.0)
    return np.cumsum(rates[:, None] * steps, axis=0)


def main() -> None:
    """Optimises, and writes the matrices: the first column of a Toeplitz one, else all rows."""
    jax.config.update("jax_enable_x64", True)
    found = {
        "jax_privacy": metadata.version("jax-privacy"),
        "banded": np.asarray(toeplitz.optimize_banded_toeplitz(ROUNDS, GROUPS)).tolist(),
        "dense": {},
    }
    for momentum in (0.0, 0.9):
        for schedule in ("constant", "cosine"):
            made = dense.optimize(
                ROUNDS,
                epochs=ROUNDS // GROUPS,
                A=workload(momentum, schedule),
                max_optimizer_steps=STEPS,
            )
            name = f"{momentum:g} {schedule}"
            found["dense"][name] = [
                np.round(row[: number + 1], 5).tolist()
                for number, row in enumerate(np.asarray(made))
            ]
            print(name, flush=True)
    blt = buffered_toeplitz.optimize(
        n=ROUNDS, min_sep=GROUPS, max_participations=None, error="mean"
    )
    found["blt"] = np.asarray(blt.toeplitz_coefs(ROUNDS)).tolist()
    Path(__file__).with_name("oracle.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
