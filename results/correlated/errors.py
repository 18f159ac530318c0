"""How large the noise of a model is at equal privacy, by the matrix that correlates the noise.

    python -m results.correlated.errors FILE     # reads oracle.json, writes the file

Everything is computed from whole matrices, not drawn: the error of a mechanism is
|A C^(-1)|_F / √rounds, of a model after a round in the root of the mean over rounds, times the
sensitivity of C over clients that take part every ``GROUPS`` rounds, times the deviation of the
Gaussian mechanism of sensitivity 1 at (ε, δ).
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from dp_accounting.gaussian_mechanism import get_sigma_gaussian
from jaxtyping import Float64

from pride_jax.files import read_json, write_json
from pride_jax.privacy.mechanisms.band_matrix import band_coefficients
from pride_jax.privacy.mechanisms.blt_matrix import Workload, column, optimal_buffers
from pride_jax.runs.environment import environment

ROUNDS, GROUPS, DELTA = 100, 10, 1e-4
"""As in ``configs/mnist_correlated.py``."""
EPSILONS = (2.0, 4.0, 8.0)
WORKLOADS = (
    Workload(ROUNDS),
    Workload(ROUNDS, 0.9),
    Workload(ROUNDS, 0.0, "cosine"),
    Workload(ROUNDS, 0.9, "cosine"),
)

Matrix = Float64[np.ndarray, "rounds rounds"]


def name_of(workload: Workload) -> str:
    """As in ``oracle.json``."""
    return f"{workload.momentum:g} {workload.schedule}"


def model_of(workload: Workload) -> Matrix:
    """The model after each round, of the sums of all rounds."""
    rounds = np.arange(ROUNDS)
    cosine = (1 + np.cos(math.pi * rounds / ROUNDS)) / 2
    rates = np.ones(ROUNDS) if workload.schedule == "constant" else cosine
    steps = _toeplitz(workload.momentum**rounds)
    return np.cumsum(rates[:, None] * steps, axis=0)


def reach(matrix: Matrix) -> float:
    """The sensitivity, over the groups: no signs of a client's vectors reach further."""
    gram = np.abs(matrix.T @ matrix)
    turns = [np.arange(first, ROUNDS, GROUPS) for first in range(GROUPS)]
    return math.sqrt(max(gram[np.ix_(each, each)].sum() for each in turns))


def error(matrix: Matrix, workload: Workload) -> float:
    """Of the model, in the root of the mean square over rounds, at sensitivity 1."""
    noise = np.linalg.solve(matrix.T, model_of(workload).T)
    return float(np.linalg.norm(noise)) / math.sqrt(ROUNDS) * reach(matrix)


def matrices(workload: Workload, oracle: dict[str, Any]) -> dict[str, Matrix]:
    """By name: ours, and what jax_privacy finds."""
    sums = Workload(ROUNDS)
    blt = {
        name: column(optimal_buffers(number, workload, GROUPS), ROUNDS)
        for number, name in enumerate(("BLT, 1 buffer", "BLT, 2 buffers", "BLT, 3 buffers"), 1)
    }
    blt["BLT, 2 buffers, made for sums"] = column(optimal_buffers(2, sums, GROUPS), ROUNDS)
    band = np.zeros(ROUNDS)
    band[:GROUPS] = band_coefficients(GROUPS, ROUNDS, GROUPS)
    theirs = np.zeros(ROUNDS)
    theirs[:GROUPS] = oracle["banded"]
    columns = blt | {
        "banded, 10, made for sums": band,
        "jax_privacy: BLT, made for sums": np.array(oracle["blt"]),
        "jax_privacy: banded, 10, made for sums": theirs,
    }
    return (
        {"independent": np.eye(ROUNDS)}
        | {name: _toeplitz(first) for name, first in columns.items()}
        | {"jax_privacy: any matrix": _triangle(oracle["dense"][name_of(workload)])}
    )


def _triangle(rows: list[list[float]]) -> Matrix:
    matrix = np.zeros((ROUNDS, ROUNDS))
    for number, row in enumerate(rows):
        matrix[number, : number + 1] = row
    return matrix


def _toeplitz(first: Float64[np.ndarray, "rounds"]) -> Matrix:
    return scipy.linalg.toeplitz(first, np.zeros(ROUNDS))


def main(path: Path) -> None:
    """Computes and writes."""
    oracle = read_json(Path(__file__).with_name("oracle.json"))
    rows = [
        {
            "setting": {"server": name_of(workload), "mechanism": name},
            "error": error(matrix, workload),
        }
        for workload in WORKLOADS
        for name, matrix in matrices(workload, oracle).items()
    ]
    deviations = {f"{each:g}": get_sigma_gaussian(each, DELTA) for each in EPSILONS}
    found = {
        "rounds": ROUNDS,
        "groups": GROUPS,
        "delta": DELTA,
        "deviations": deviations,
        "jax_privacy": oracle["jax_privacy"],
        "rows": rows,
    }
    write_json(path, found | {"environment": environment()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
