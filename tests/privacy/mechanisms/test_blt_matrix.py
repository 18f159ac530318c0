"""BLT matrices: the model's error, every pattern of participation, and how near the optimum is."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms.band_matrix import prefix_error
from pride_jax.privacy.mechanisms.blt_matrix import (
    Buffers,
    Workload,
    column,
    model_error,
    optimal_buffers,
    sensitivity,
)
from pride_jax.settings.experiment import Experiment, Server
from pride_jax.settings.learning import build_server_optimizer

SOME = Buffers((0.9, 0.5), (0.3, 0.2))
NONE = Buffers((), ())


def toeplitz(first):
    return scipy.linalg.toeplitz(first, np.zeros(len(first)))


def model_of(workload):
    """The model after each round, of unit sums in each, by the server's own optimizer."""
    settings = Server(momentum=workload.momentum, schedule=workload.schedule)
    optimizer = build_server_optimizer(Experiment(rounds=workload.rounds, server=settings), {})
    params = jnp.zeros(workload.rounds)
    state, models = optimizer.init(params), []
    # Optax's schedules divide a whole number of rounds.
    with jax.numpy_dtype_promotion("standard"):
        for descent in -jnp.eye(workload.rounds):
            change, state = optimizer.update(descent, state, params)
            params = params + change
            models.append(params)
    return np.stack(models).astype(np.float64)


def cost(buffers, workload, separation):
    reach = sensitivity(column(buffers, workload.rounds), separation)
    return model_error(buffers, workload) * reach


@pytest.mark.parametrize(
    "workload",
    [Workload(12), Workload(12, 0.9), Workload(12, 0.0, "cosine"), Workload(9, 0.7, "cosine")],
)
@pytest.mark.parametrize("buffers", [NONE, SOME])
def test_the_error_is_that_of_the_servers_own_steps(workload, buffers):
    matrix = toeplitz(column(buffers, workload.rounds))
    noise = model_of(workload) @ np.linalg.inv(matrix)
    expected = np.linalg.norm(noise) / math.sqrt(workload.rounds)
    assert model_error(buffers, workload) == pytest.approx(expected, rel=1e-6)


def test_without_momentum_and_schedule_the_model_is_the_prefix_sum():
    assert model_error(SOME, Workload(30)) == pytest.approx(
        prefix_error(column(SOME, 30).tolist(), 30)
    )


@given(st.sampled_from([1, 2, 3, 5, 9]), st.data())
def test_sensitivity_covers_every_pattern_of_participation_and_is_reached(separation, data):
    decays = data.draw(st.lists(st.floats(0, 0.999), min_size=2, max_size=2))
    weights = data.draw(st.lists(st.floats(0, 0.5), min_size=2, max_size=2))
    rounds = 9
    first = column(Buffers(tuple(decays), tuple(weights)), rounds)
    assert first[0] == 1
    assert min(first) >= 0
    assert max(np.diff(first)) <= 1e-15
    rows = np.array(list(itertools.product([0, 1], repeat=rounds)))
    apart = [np.diff(np.flatnonzero(row)).min(initial=separation) >= separation for row in rows]
    # Signs only shorten, since the matrix is nonnegative; patterns are checked with them elsewhere.
    largest = np.linalg.norm(toeplitz(first) @ rows[apart].T, axis=0).max()
    assert sensitivity(first, separation) == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("separation", [1, 2, 3, 7])
def test_no_signs_of_contributions_reach_further(separation):
    first = column(SOME, 7)
    patterns = np.array(
        [
            pattern
            for pattern in itertools.product([-1, 0, 1], repeat=7)
            if np.diff(np.flatnonzero(pattern)).min(initial=separation) >= separation
        ]
    )
    largest = np.linalg.norm(toeplitz(first) @ patterns.T, axis=0).max()
    assert largest == pytest.approx(sensitivity(first, separation), rel=1e-12)


def test_a_larger_separation_than_was_kept_is_no_bound():
    first = column(SOME, 12)
    reached = np.linalg.norm(toeplitz(first) @ np.tile([1, 0, 0], 4))
    assert reached > sensitivity(first, 4)
    assert reached == pytest.approx(sensitivity(first, 3))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6))
def test_turns_that_are_done_again_with_other_noise_cost_no_more_than_further_turns(
    a, b, separation
):
    def squared(turns):
        return sensitivity(column(SOME, turns * separation), separation) ** 2

    assert squared(a) + squared(b) <= squared(a + b) * (1 + 1e-12)


def best_single(rounds, errors_of):
    """The least error of any factorisation at sensitivity 1, each client in one round at most."""
    gram = errors_of.T @ errors_of
    places = np.tril_indices(rounds)

    def objective(free):
        lower = np.zeros((rounds, rounds))
        lower[places] = free
        norms = np.linalg.norm(lower, axis=0)
        matrix = lower / norms
        inverse = np.linalg.inv(matrix)
        slope = -2 * inverse.T @ gram @ inverse @ inverse.T
        slope = (slope - matrix * np.sum(slope * matrix, axis=0)) / norms
        return np.sum((errors_of @ inverse) ** 2), slope[places]

    start = toeplitz(np.cumprod([1.0, *((k - 0.5) / k for k in range(1, rounds))]))
    found = minimize(
        objective, start[places], jac=True, method="L-BFGS-B", options={"maxiter": 900}
    )
    return math.sqrt(found.fun / rounds)


def best_toeplitz(workload, separation):
    """The least of any column that never increases, each step down a free nonnegative number."""
    model = model_of(workload)

    def objective(steps):
        first = np.cumsum(steps[::-1])[::-1]
        noise = np.linalg.solve(toeplitz(first).T, model.T)
        return math.log(np.linalg.norm(noise)) + math.log(sensitivity(first, separation))

    rounds = workload.rounds
    start = -np.diff([*np.cumprod([1.0, *((k - 0.5) / k for k in range(1, rounds))]), 0.0])
    found = minimize(objective, start, method="L-BFGS-B", bounds=[(0, None)] * rounds)
    return math.exp(found.fun) / math.sqrt(rounds)


@pytest.mark.parametrize("workload", [Workload(24), Workload(24, 0.9), Workload(24, 0.5, "cosine")])
def test_three_buffers_are_within_four_percent_of_any_matrix_for_a_client_that_comes_once(workload):
    best = best_single(24, model_of(workload))
    ours = cost(optimal_buffers(3, workload, 24), workload, 24)
    assert best * (1 - 1e-6) <= ours <= 1.04 * best
    independent = cost(NONE, workload, 24)
    assert independent > 1.2 * best


@pytest.mark.parametrize(("workload", "separation"), [(Workload(24), 8), (Workload(24, 0.9), 6)])
def test_two_buffers_are_within_seven_percent_of_any_column_for_a_client_that_comes_again(
    workload, separation
):
    best = best_toeplitz(workload, separation)
    ours = cost(optimal_buffers(2, workload, separation), workload, separation)
    assert best * (1 - 1e-4) <= ours <= 1.07 * best


@settings(deadline=None)
@given(st.sampled_from([(Workload(40), 8), (Workload(200, 0.9, "cosine"), 50)]), st.data())
def test_no_other_buffers_are_better(where, data):
    workload, separation = where
    best = optimal_buffers(2, workload, separation)
    moves = data.draw(st.lists(st.floats(-0.1, 0.1), min_size=4, max_size=4))
    decays = tuple(np.clip(np.add(best.decays, moves[:2]), 0, 0.9999).tolist())
    weights = np.maximum(np.add(best.weights, moves[2:]), 0)
    other = Buffers(decays, tuple((weights / max(1, weights.sum())).tolist()))
    assert cost(best, workload, separation) <= cost(other, workload, separation) * (1 + 1e-6)


def test_buffers_are_numbers_of_float32_and_stable():
    decays, weights = map(np.array, optimal_buffers(3, Workload(300), 300))
    for values in (decays, weights):
        np.testing.assert_array_equal(values, values.astype(np.float32))
    assert 0 <= min(decays) < max(decays) < 1
    assert sum(weights) <= 1


def test_the_servers_momentum_and_schedule_change_the_matrix_and_help():
    wanted = Workload(100, 0.9, "cosine")
    for other in (Workload(100), Workload(100, 0.9), Workload(100, 0.0, "cosine")):
        made_for_other = cost(optimal_buffers(2, other, 20), wanted, 20)
        assert made_for_other > cost(optimal_buffers(2, wanted, 20), wanted, 20)
    made_for_sums = cost(optimal_buffers(2, Workload(100), 20), wanted, 20)
    assert made_for_sums > 1.03 * cost(optimal_buffers(2, wanted, 20), wanted, 20)


@pytest.mark.parametrize("number", [-1, 5])
def test_more_buffers_than_later_rounds_are_refused(number):
    with pytest.raises(ConfigError, match=f"buffers={number}, expected 0 … 4"):
        optimal_buffers(number, Workload(5), 1)


# Optimised by jax_privacy 2.0.0: `buffered_toeplitz.optimize(n=…, min_sep=…, error="mean",
# max_participations=None)`, and the square root of that loss.
@pytest.mark.parametrize(
    ("number", "rounds", "separation", "theirs"),
    [(1, 100, 10, 9.893517), (2, 500, 50, 11.498183), (2, 500, 500, 2.841878)],
)
def test_the_optimum_is_the_one_that_jax_privacy_finds(number, rounds, separation, theirs):
    workload = Workload(rounds)
    ours = cost(optimal_buffers(number, workload, separation), workload, separation)
    assert ours == pytest.approx(theirs, rel=1e-6)
