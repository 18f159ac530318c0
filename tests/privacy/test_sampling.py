"""Cohorts: sizes, distinctness, and the frequencies that accounting relies on."""

import jax
import numpy as np
import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.sampling import fixed_size, full


def test_full_participation_is_everyone():
    cohort = full(5)(jax.random.key(0))
    np.testing.assert_array_equal(cohort.ids, np.arange(5))
    assert cohort.mask.all()


def test_fixed_size_cohorts_are_distinct_clients_and_every_pair_is_as_likely():
    clients, size, draws = 6, 3, 6000
    keys = jax.random.split(jax.random.key(1), draws)
    ids = np.asarray(jax.vmap(fixed_size(clients, size))(keys).ids)
    assert all(len(set(row)) == size for row in ids.tolist())
    present = np.zeros((draws, clients))
    np.put_along_axis(present, ids, 1.0, axis=1)
    together = present.T @ present / draws
    pairs = together[np.triu_indices(clients, 1)]
    expected = size * (size - 1) / (clients * (clients - 1))
    assert np.abs(pairs - expected).max() < 5 * np.sqrt(expected * (1 - expected) / draws)
    np.testing.assert_allclose(np.diag(together), size / clients, atol=0.035)


@pytest.mark.parametrize("size", [0, 7])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ConfigError, match=f"1 to 6 clients, got {size}"):
        fixed_size(6, size)
