"""Buffered linear Toeplitz (BLT) matrices, which correlate noise over all rounds; without JAX.

The first column of C is c_0 = 1, c_j = Σ_i ω_i θ_i^(j−1): a few exponentials stand for a column as
long as the run, so that the noise n = C^(-1) z needs a few buffers instead of a window of past
noise (Dvijotham, McMahan, Pillutla, Steinke & Thakurta 2024, "Efficient and Near-Optimal Noise
Generation for Streaming Differential Privacy"; McMahan, Xu & Zhang 2024, "A Hassle-free Algorithm
for Strong Differential Privacy in Federated Learning Systems"). See `blt_noise` for its drawing.
"""

import functools
import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError

Schedule = Literal["constant", "cosine"]
"""How the server's learning rate follows the rounds; `cosine` ends at zero."""


class Buffers(NamedTuple):
    """A matrix, by the buffers that its noise needs; in float32's numbers, as the device has them.

    Attributes:
      decays: θ_i, at least 0 and below 1: what a round leaves of a buffer.
      weights: ω_i, at least 0 and in all at most 1: how much of a buffer a round takes back.
    """

    decays: tuple[float, ...]
    weights: tuple[float, ...]


class Workload(NamedTuple):
    """What the server makes of the rounds' sums: the model, whose noise is to be small.

    Stochastic gradient descent with momentum μ and learning rates η_t adds
    η_t Σ_{s<=t} μ^(t−s) x_s to the model after round t. The scale of η makes no difference here.

    Attributes:
      rounds: of the run.
      momentum: μ, at least 0 and below 1.
      schedule: η_t.
    """

    rounds: int
    momentum: float = 0.0
    schedule: Schedule = "constant"


@functools.cache
def optimal_buffers(number: int, workload: Workload, separation: int) -> Buffers:
    """The buffers with the smallest error of the model at equal privacy.

    Minimises `model_error` times `sensitivity` over decays and weights.

    Args:
      number: of buffers; 0 is independent noise.
      workload: what the server makes of the sums.
      separation: rounds from one participation of a client to its next at the least.

    Raises:
      ConfigError: there are more buffers than later rounds that they could serve.
    """
    if not 0 <= number < workload.rounds:
        raise ConfigError(
            f"BLT noise: buffers={number}, expected 0 … {workload.rounds - 1}, fewer than the "
            "rounds of the run"
        )
    if number == 0:
        return Buffers((), ())
    from scipy.optimize import minimize

    def objective(free: Float64[np.ndarray, "free"]) -> tuple[float, Float64[np.ndarray, "free"]]:
        decays, weights = _bounded(free)
        error, error_slope = _squared_error(decays, weights, workload)
        reach, reach_slope = _squared_sensitivity(
            _column(decays, weights, workload.rounds), separation
        )
        slope = _slopes(error_slope / error + reach_slope / reach, decays, weights)
        return math.log(error) + math.log(reach), slope

    found = min(
        (
            minimize(
                objective,
                _start(number, longest),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-40.0, 40.0)] * (2 * number),
                options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-13, "gtol": 1e-9},
            )
            for longest in (workload.rounds, math.sqrt(workload.rounds))
        ),
        key=lambda each: each.fun,
    )
    decays, weights = (np.nextafter(np.float32(each), np.float32(0)) for each in _bounded(found.x))
    order = np.argsort(-decays)
    return Buffers(tuple(decays[order].tolist()), tuple(weights[order].tolist()))


def column(buffers: Buffers, rounds: int) -> Float64[np.ndarray, "rounds"]:
    """The first column of C: nonnegative numbers, of which none is larger than the one before."""
    return _column(np.array(buffers.decays), np.array(buffers.weights), rounds)


def sensitivity(column: Float64[np.ndarray, "rounds"], separation: int) -> float:
    """The most that C x changes, in L2 norm, when a client's unit vectors leave the rounds' sums x.

    The client takes part in any rounds p_1 < p_2 < … that are ``separation`` b or more apart, so
    at most ⌈rounds / b⌉ times. As C is nonnegative, |C x|² <= Σ_ij G(p_i, p_j) with G = CᵀC, and
    equal vectors reach it. G(s, t) = Σ_{m < rounds − t} c_m c_{m+t−s}, for s <= t, becomes no
    larger if t grows, or t − s, since the column never increases; and p_j >= (j − 1) b,
    p_j − p_i >= (j − i) b. So no participation costs more than that in rounds 0, b, 2b, …, which
    is computed (Kalinin & Lampert 2024, "Banded Square Root Matrix Factorization for Differentially
    Private Model Training", theorem 2).

    Squares over whole turns of b rounds add up to no more than the square over all of them: it
    covers a client some of whose turns were done again with other noise.

    Args:
      column: the first of C, as `column` makes it.
      separation: b.
    """
    return math.sqrt(_squared_sensitivity(column, separation)[0])


def model_error(buffers: Buffers, workload: Workload) -> float:
    """Root mean square, over the rounds, of the noise in the model, in learning rates of round 0.

    |A C^(-1)|_F / √rounds, where A is the workload and the noise z has unit variance.
    """
    decays, weights = np.array(buffers.decays), np.array(buffers.weights)
    squared, _ = _squared_error(decays, weights, workload)
    return math.sqrt(squared / workload.rounds)


def _column(
    decays: Float64[np.ndarray, "buffers"], weights: Float64[np.ndarray, "buffers"], rounds: int
) -> Float64[np.ndarray, "rounds"]:
    return np.append(1.0, weights @ decays[:, None] ** np.arange(rounds - 1))


def _squared_error(
    decays: Float64[np.ndarray, "buffers"],
    weights: Float64[np.ndarray, "buffers"],
    workload: Workload,
) -> tuple[float, Float64[np.ndarray, "rounds"]]:
    """|A C^(-1)|_F^2, and its slope in the column of C.

    Row t of A C^(-1) less the row before is η_t h_{t−s}, with the power series h = 1/((1 − μx) c).
    The learning rates are sums of products, η_{s+j} = Σ_a p_a(s) q_a(j), so that column s holds
    Σ_a p_a(s) S_a(k) in row s + k, with S_a(k) = Σ_{j<=k} q_a(j) h_j: squares over all s come from
    Σ_s p_a(s) p_b(s). As power series, dh/dc_j = −x^j h/c.
    """
    from scipy.signal import lfilter

    # c = above / below, two polynomials.
    below = _product(decays)
    above = below.copy()
    for number, weight in enumerate(weights):
        above[1:] += weight * _product(np.delete(decays, number))
    momentum = np.array([1.0, -workload.momentum])

    impulse = np.zeros(workload.rounds)
    impulse[0] = 1.0
    change = lfilter(below, above, lfilter([1.0], momentum, impulse))
    starts, steps = _rates(workload)
    sums = np.cumsum(steps * change, axis=1)
    pairs = np.cumsum(starts[:, None] * starts[None], axis=2)[:, :, ::-1]
    weighted = np.einsum("abk,bk->ak", pairs, sums)
    later = np.cumsum(2 * weighted[:, ::-1], axis=1)[:, ::-1]
    slope = np.sum(steps * later, axis=0)[::-1]
    for _ in range(2):
        slope = lfilter(below, above, slope)
    slope = np.asarray(lfilter([1.0], momentum, slope))
    return float(np.sum(weighted * sums)), -slope[::-1]


def _product(decays: Float64[np.ndarray, "buffers"]) -> Float64[np.ndarray, "powers"]:
    """The coefficients of Π_i (1 − θ_i x), of rising powers of x."""
    return np.atleast_1d(np.poly(decays)).astype(np.float64)


def _rates(
    workload: Workload,
) -> tuple[Float64[np.ndarray, "parts rounds"], Float64[np.ndarray, "parts rounds"]]:
    """P and q with η_{s+j} = Σ_a p_a(s) q_a(j)."""
    ones = np.ones((1, workload.rounds))
    if workload.schedule == "constant":
        return ones, ones
    angle = math.pi * np.arange(workload.rounds) / workload.rounds
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([ones[0], cosine, -sine]) / 2, np.stack([ones[0], cosine, sine])


def _squared_sensitivity(
    column: Float64[np.ndarray, "rounds"], separation: int
) -> tuple[float, Float64[np.ndarray, "rounds"]]:
    """The square of `sensitivity`, and its slope in the column."""
    rounds = len(column)
    turns = -(-rounds // separation)
    by_turn = np.pad(column, (0, turns * separation - rounds)).reshape(turns, separation)
    reached = np.cumsum(by_turn, axis=0).ravel()[:rounds]
    padded = np.pad(reached, (0, turns * separation - rounds)).reshape(turns, separation)
    slope = 2 * np.cumsum(padded[::-1], axis=0)[::-1].ravel()[:rounds]
    return float(reached @ reached), slope


def _bounded(
    free: Float64[np.ndarray, "free"],
) -> tuple[Float64[np.ndarray, "buffers"], Float64[np.ndarray, "buffers"]]:
    """Decays below 1, and weights that are below 1 in all, of any numbers."""
    decays, weights = np.split(free, 2)
    parts = np.exp(weights)
    return 1 / (1 + np.exp(-decays)), parts / (1 + parts.sum())


def _slopes(
    slope: Float64[np.ndarray, "rounds"],
    decays: Float64[np.ndarray, "buffers"],
    weights: Float64[np.ndarray, "buffers"],
) -> Float64[np.ndarray, "free"]:
    """The slope in the numbers that `_bounded` is given, of that in the column."""
    powers = np.arange(len(slope) - 1)
    of_weights = decays[:, None] ** powers @ slope[1:]
    of_decays = weights * (decays[:, None] ** powers[:-1] @ (powers[1:] * slope[2:]))
    spread = weights * (of_weights - weights @ of_weights)
    return np.concatenate([of_decays * decays * (1 - decays), spread])


def _start(number: int, longest: float) -> Float64[np.ndarray, "free"]:
    """Buffers that remember from two to about ``longest`` rounds, evenly weighted: in all ½."""
    lengths = np.geomspace(2.0, max(longest, 3.0), number)
    return np.concatenate([np.log(lengths - 1), np.full(number, -math.log(number))])
