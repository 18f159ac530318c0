"""Banded matrices that correlate the noise of successive rounds; without JAX.

Noise n = C^(-1) z with a lower triangular C has smaller errors in sums over rounds, which is what a
model is, than independent noise of equal privacy. See `banded_noise` for its drawing.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError


@functools.cache
def band_coefficients(band: int, rounds: int, separation: int) -> tuple[float, ...]:
    """First column of the banded Toeplitz matrix with the smallest error at equal privacy.

    Minimises `prefix_error` times `sensitivity` over nonnegative coefficients, from the leading
    coefficients of the square root of the prefix-sum matrix (Choquette-Choo et al. 2023,
    "(Amplified) Banded Matrix Factorization"; Toeplitz bands: McKenna 2024, "Scaling up the Banded
    Matrix Factorization Mechanism").

    Args:
      band: number of coefficients; 1 is independent noise.
      rounds: of the run, at least ``band``.
      separation: rounds from one participation of a client to its next at the least; 1, which is
        full participation, or at least ``band``.

    Returns:
      The coefficients c_0 > 0, c_1, … >= 0, with a sum of squares of 1.

    Raises:
      ConfigError: the three do not fit together.
    """
    _check(band, rounds, separation)
    if band == 1:
        return (1.0,)
    from scipy.optimize import minimize

    def objective(rest: Float64[np.ndarray, "rest"]) -> tuple[float, Float64[np.ndarray, "rest"]]:
        coefficients = np.concatenate([[1.0], rest])
        error, error_slope = _squared_error(coefficients, rounds)
        reach, reach_slope = _squared_sensitivity(coefficients, rounds, separation)
        slope = error_slope / error + reach_slope / reach
        return math.log(error) + math.log(reach), slope[1:]

    steps = np.arange(1, band)
    start = np.cumprod((2 * steps - 1) / (2 * steps))
    found = minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (band - 1),
        options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-9},
    )
    coefficients = np.concatenate([[1.0], found.x])
    return tuple((coefficients / np.linalg.norm(coefficients)).tolist())


def sensitivity(coefficients: Sequence[float], rounds: int, separation: int) -> float:
    """The most that C x changes, in L2 norm, when a client's unit vectors leave the rounds' sums x.

    Take one client with vectors u_t, |u_t| <= 1, in the rounds where it takes part. Then
    |C u|^2 = Σ (CᵀC)_st <u_s, u_t> <= Σ (CᵀC)_st over these rounds, since CᵀC is nonnegative where
    C is; equal vectors reach it. With separation 1 these are all rounds: |C 1|. With a separation
    of at least the band their columns do not overlap, (CᵀC)_st = 0 for s ≠ t, and there are at most
    ⌈rounds / separation⌉ columns, none longer than the first.

    Args:
      coefficients: nonnegative, as from `band_coefficients`.
      rounds: of the run.
      separation: see `band_coefficients`.

    Raises:
      ConfigError: coefficients, rounds and separation do not fit together.
    """
    _check(len(coefficients), rounds, separation)
    squared, _ = _squared_sensitivity(np.array(coefficients), rounds, separation)
    return math.sqrt(squared)


def prefix_error(coefficients: Sequence[float], rounds: int) -> float:
    """Root mean square, over the rounds, of the noise in the sum of all rounds so far.

    |A C^(-1)|_F / √rounds, where A adds up rounds and the noise z has unit variance.
    """
    squared, _ = _squared_error(np.array(coefficients), rounds)
    return math.sqrt(squared / rounds)


def _squared_error(
    coefficients: Float64[np.ndarray, "band"], rounds: int
) -> tuple[float, Float64[np.ndarray, "band"]]:
    """|A C^(-1)|_F^2 and its slope: of the power series g = 1/((1 − x) c), dg/dc_j = −x^j g/c."""
    from scipy.signal import lfilter

    sums = np.asarray(lfilter([1.0], coefficients, np.ones(rounds)))
    weighted = np.arange(rounds, 0, -1) * sums
    slopes = np.asarray(lfilter([1.0], coefficients, sums))
    slope = [-2 * weighted[j:] @ slopes[: rounds - j] for j in range(len(coefficients))]
    return float(weighted @ sums), np.array(slope)


def _squared_sensitivity(
    coefficients: Float64[np.ndarray, "band"], rounds: int, separation: int
) -> tuple[float, Float64[np.ndarray, "band"]]:
    """The square of `sensitivity`, and its slope."""
    if separation >= len(coefficients):
        times = -(-rounds // separation)
        return times * float(coefficients @ coefficients), 2 * times * coefficients
    rows = np.cumsum(coefficients)
    counts = np.ones(len(coefficients))
    counts[-1] += rounds - len(coefficients)
    slope = 2 * np.cumsum((counts * rows)[::-1])[::-1]
    return float(counts @ rows**2), slope


def _check(band: int, rounds: int, separation: int) -> None:
    if not 1 <= band <= rounds:
        raise ConfigError(
            f"Banded noise: band={band}, expected 1 … {rounds}, the rounds of the run"
        )
    if separation != 1 and separation < band:
        raise ConfigError(
            f"Banded noise: separation={separation} with band={band}, expected 1 (full "
            "participation) or at least the band: form more groups or narrow the band"
        )
