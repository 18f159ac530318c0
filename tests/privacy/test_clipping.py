"""Clippings as values: how the budget is split, and what is refused."""

import jax.numpy as jnp
import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Adaptive, Flat, Unclipped
from pride_jax.privacy.norms import adapt_norm


def test_sum_and_count_of_adaptive_clipping_cost_together_what_the_plan_says():
    adaptive, cohort = Adaptive(1.0), 100.0
    assert adaptive.count_noise(cohort) == 5
    # A count within ±1/2 has sensitivity 1/2; squared inverse multipliers of Gaussians add up.
    together = adaptive.sum_noise_multiplier(2.0, cohort) ** -2 + (5 / 0.5) ** -2
    assert together == pytest.approx(2.0**-2, rel=1e-12)
    assert Flat(1.0).sum_noise_multiplier(2.0, cohort) == 2.0


def test_a_count_that_costs_more_than_there_is_is_refused():
    with pytest.raises(ConfigError, match=r"noise_multiplier=10.0: .*a tenth of the expected"):
        Adaptive(1.0).sum_noise_multiplier(10.0, 100.0)


def test_the_norm_follows_its_own_quantile():
    moved = Adaptive(1.0, quantile=0.9).next_norm(jnp.float32(2.0), jnp.float32(0.5))
    assert moved == adapt_norm(jnp.float32(2.0), jnp.float32(0.5), 0.9) > 2


def test_only_an_adaptive_norm_asks_clients_to_report():
    assert [each.adapts for each in (Unclipped(), Flat(1.0), Adaptive(1.0))] == [False, False, True]
    assert Unclipped().norm == float("inf")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flat(0.0), "norm=0.0: expected at least 1e-15"),
        (lambda: Flat(float("inf")), "norm=inf: expected a finite number"),
        (lambda: Adaptive(1e-16), "norm=1e-16: expected at least 1e-15"),
        (lambda: Adaptive(1.0, quantile=1.0), "quantile=1.0: expected at least 0 and below 1"),
    ],
)
def test_impossible_norms_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
