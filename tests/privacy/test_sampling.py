"""Cohorts: sizes, distinctness, and the frequencies that accounting relies on."""

import itertools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from pride_jax.errors import ConfigError
from pride_jax.privacy import draws as draws_module
from pride_jax.privacy import poisson as poisson_module
from pride_jax.privacy.draws import poisson
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.readers import View
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson


def test_full_participation_is_everyone():
    cohort = full(5).draw(jax.random.key(0), 0)
    np.testing.assert_array_equal(cohort.ids, np.arange(5))
    assert cohort.mask.all()


def test_fixed_size_cohorts_are_distinct_clients_and_every_pair_is_as_likely():
    clients, size, draws = 6, 3, 6000
    keys = jax.random.split(jax.random.key(1), draws)
    ids = np.asarray(jax.vmap(fixed_size(clients, size).draw, in_axes=(0, None))(keys, 0).ids)
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
    with pytest.raises(ConfigError, match=f"size={size}: expected at (least 1|most num_clients=6)"):
        fixed_size(6, size)


def draws(sampler, count, rounds=0):
    """Which clients take part, a row a draw."""
    keys = jax.random.split(jax.random.key(2), count)
    cohorts = jax.jit(jax.vmap(sampler.draw, in_axes=(0, 0)))(
        keys, np.full(count, rounds, np.int32)
    )
    ids, mask = np.asarray(cohorts.ids), np.asarray(cohorts.mask)
    assert all(len(set(row[here])) == here.sum() for row, here in zip(ids, mask, strict=True))
    present = np.zeros((count, 64))
    present[np.nonzero(mask)[0], ids[mask]] = 1
    return present


def test_poisson_sampling_takes_each_client_by_itself():
    clients, rate, count = 12, 0.3, 8000
    present = draws(truncated_poisson(clients, rate, clients), count)[:, :clients]
    noise = 5 * np.sqrt(rate * (1 - rate) / count)
    assert np.abs(present.mean(axis=0) - rate).max() < noise
    covariance = np.cov(present.T) - np.diag(np.full(clients, rate * (1 - rate)))
    assert np.abs(covariance).max() < noise
    sizes = present.sum(axis=1)
    assert sizes.var() == pytest.approx(clients * rate * (1 - rate), rel=0.1)


def test_truncation_keeps_a_uniform_choice_of_those_drawn():
    clients, rate, capacity, count = 8, 0.5, 3, 8000
    present = draws(truncated_poisson(clients, rate, capacity), count)[:, :clients]
    sizes = present.sum(axis=1)
    assert sizes.max() == capacity
    expected = np.minimum(np.random.default_rng(0).binomial(clients, rate, 10**6), capacity)
    for size in range(capacity + 1):
        assert (sizes == size).mean() == pytest.approx((expected == size).mean(), abs=0.03)
    shares = present.mean(axis=0)
    assert np.abs(shares - expected.mean() / clients).max() < 5 * np.sqrt(0.25 / count)


@pytest.mark.parametrize("round_", [0, 1, 5])
def test_cyclic_sampling_draws_from_the_group_whose_turn_it_is(round_):
    present = draws(cyclic_poisson(12, 0.2, groups=3, capacity=4), 4000, round_)[:, :12]
    turn = np.arange(12) % 3 == round_ % 3
    assert not present[:, ~turn].any()
    assert np.abs(present[:, turn].mean(axis=0) - 0.6).max() < 5 * np.sqrt(0.24 / 4000)


def test_everybody_at_rate_one():
    assert draws(truncated_poisson(6, 1.0, 6), 100)[:, :6].all()


def test_slots_are_everyone_the_fixed_size_or_the_capacity():
    assert full(100).slots == 100
    assert fixed_size(1000, 100).slots == 100
    assert truncated_poisson(1000, 0.1).slots == 160
    assert truncated_poisson(1000, 0.1, 130).slots == 130
    assert truncated_poisson(1000, 0.9).slots == 1000
    assert cyclic_poisson(1000, 0.1, groups=5).slots == 160
    assert cyclic_poisson(1000, 0.15, groups=5).slots == 200


@pytest.mark.parametrize(
    "sampler",
    [full(20), fixed_size(20, 5), truncated_poisson(20, 0.25), cyclic_poisson(20, 0.25, 2)],
)
def test_cohorts_have_the_slots_and_the_size_that_the_sampler_tells(sampler):
    cohort = jax.eval_shape(sampler.draw, jax.random.key(0), np.int32(0))
    assert cohort.ids.shape == cohort.mask.shape == (sampler.slots,)
    mean = draws(sampler, 4000).sum(axis=1).mean()
    assert mean == pytest.approx(sampler.expected_cohort, abs=0.2)
    assert sampler.rate == sampler.expected_cohort / 20
    assert hash(sampler) == hash(type(sampler)(**vars(sampler)))


def test_groups_draw_as_many_as_everyone_would():
    sampler = cyclic_poisson(1000, 0.1, groups=5)
    assert sampler.expected_cohort == 100
    assert sampler.group_size * sampler.turn_rate == sampler.expected_cohort
    assert sampler.separation == 5
    assert [sampler.turns(rounds) for rounds in (0, 1, 5, 6)] == [0, 1, 1, 2]


def test_replacing_a_client_moves_a_sum_twice_as_far_as_leaving_it_out():
    assert fixed_size(1000, 100).adjacency == "replace_one"
    assert truncated_poisson(1000, 0.1).adjacency == full(10).adjacency == "zero_out"
    assert fixed_size(1000, 100).sensitivity == 2 * truncated_poisson(1000, 0.1).sensitivity == 2


def test_another_number_of_clients_keeps_the_share():
    assert fixed_size(10, 5).scaled(20) == fixed_size(20, 10)
    assert truncated_poisson(10, 0.2, 4).scaled(15) == truncated_poisson(15, 0.2, 6)
    with pytest.raises(ConfigError, match="whole number"):
        fixed_size(10, 5).scaled(11)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((10, 0.0, 1, 5), "rate=0.0: expected more than 0"),
        ((10, 0.0, 1), "rate=0.0: expected more than 0"),
        ((10, 1.5, 1), "rate=1.5: expected more than 0 and at most 1"),
        ((10, 0.6, 2, 5), "rate=0.6: expected at most 1/groups=0.5"),
        ((10, 0.1, 1, 0), "capacity=0: expected at least 1"),
        ((10, 0.1, 2, 6), "capacity=6: expected at most 5, the clients that can be drawn"),
        ((10, 0.1, 3, 3), "groups=3: expected a divisor of num_clients=10"),
        ((10, 0.1, 0), "groups=0: expected at least 1"),
        ((0, 0.1, 1), "num_clients=0: expected at least 1"),
    ],
)
def test_impossible_poisson_sampling_is_refused(arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        cyclic_poisson(*arguments)


# What is drawn, to the last bit.


def test_a_word_stands_for_no_client_more_than_for_another():
    """Fixed sizes: of 2^32 words exactly as many for each, the rest for nobody."""
    for clients in (1, 3, 1000, 1_000_003):
        each = min(2**32 // clients, 2**32 - 1)
        rest = 2**32 - each * clients
        assert 0 <= rest < max(clients, 2)
    # JAX's own integers below a million would favour some by a part in 4,000.
    assert 2**32 % 1_000_003 / 2**32 < 1 / 4000


@pytest.mark.parametrize(("clients", "size"), [(1, 1), (2, 2), (7, 7), (1_000_003, 5)])
def test_fixed_sizes_are_drawn_from_any_number_of_clients(clients, size):
    ids = np.asarray(fixed_size(clients, size).draw(study_key(0), 0).ids)
    assert len(set(ids.tolist())) == size
    assert ids.min() >= 0 and ids.max() < clients


@pytest.mark.parametrize("capacity", [8, 20, 50])
def test_poisson_cohorts_are_the_lowest_ranks_of_96_bits(capacity):
    draw = jax.jit(truncated_poisson(50, 0.4, capacity).draw)
    for seed in range(20):
        keys = jax.random.split(study_key(seed))
        words = [
            np.asarray(jax.random.bits(key, (rows, 50), np.uint32)).astype(object)
            for key, rows in zip(keys, (1, 2), strict=True)
        ]
        ranks = (words[0][0] << 64) | (words[1][0] << 32) | words[1][1]
        drawn = [client for client in np.argsort(ranks) if ranks[client] < int(0.4 * 2**32) << 64]
        cohort = draw(study_key(seed), 0)
        ids = np.asarray(cohort.ids)[np.asarray(cohort.mask)]
        assert sorted(ids.tolist()) == sorted(drawn[:capacity])


def test_ties_in_the_first_word_are_decided_by_the_words_after(monkeypatch):
    """With 32 bits alone, of equal ranks the first clients would always be chosen."""
    bits = jax.random.bits

    def equal_first_words(key, shape, dtype):
        return bits(key, shape, dtype) if len(shape) == 2 else np.zeros(shape, dtype)

    monkeypatch.setattr(draws_module.jax.random, "bits", equal_first_words)
    chosen, draw = np.zeros(6), jax.jit(lambda key: poisson(key, 0, 6, 2**31, 2, 1).ids)
    for seed in range(300):
        chosen[np.asarray(draw(study_key(seed)))] += 1
    assert np.abs(chosen / 300 - 1 / 3).max() < 5 * np.sqrt(2 / 9 / 300)


def test_the_rate_that_is_accounted_is_the_rate_that_is_drawn():
    """Both are one whole number of 2^-32: of the first words, those below call a client."""
    for sampler in (
        truncated_poisson(50, 0.3, 50),
        cyclic_poisson(50, 0.11, 5),
        truncated_poisson(9, 1),
    ):
        assert sampler.turn_rate == sampler.threshold / 2**32
        assert 0 <= sampler.rate * sampler.separation - sampler.turn_rate < 2.0**-32
        assert sampler.event(1.0).sampling_probability == sampler.turn_rate
        (mixture,) = sampler.mixtures(1.0, View("models", 0, 0, False))
        assert mixture[0][1].rate == sampler.turn_rate


@pytest.mark.parametrize("rate", [2.0**-32, 0.3, 1 - 2.0**-32, 1.0])
def test_words_below_the_threshold_call_and_no_others(rate, monkeypatch):
    sampler = truncated_poisson(3, rate, 3)
    edges = [0, sampler.threshold - 1, min(sampler.threshold, 2**32 - 1)]
    first = jnp.asarray(edges, jnp.uint32)
    monkeypatch.setattr(
        draws_module.jax.random, "bits", lambda _, shape, __: jnp.broadcast_to(first, shape)
    )
    cohort = sampler.draw(study_key(0), 0)
    called = set(np.asarray(cohort.ids)[np.asarray(cohort.mask)].tolist())
    assert called == {client for client in range(3) if edges[client] < sampler.threshold}


def test_a_rate_that_no_word_would_draw_is_refused():
    with pytest.raises(ConfigError, match=r"rate=1e-10: expected at least 2\.33e-10"):
        truncated_poisson(10, 1e-10)


@pytest.mark.parametrize(("eighths", "capacity"), [(1, 1), (3, 1), (3, 2), (7, 3)])
def test_the_distance_of_cohorts_covers_equal_ranks(eighths, capacity, monkeypatch):
    """Ranks of three bits, all of them tried: of equal ones the first client is chosen."""
    monkeypatch.setattr(poisson_module, "RANK_BITS", 3)
    drawn, ideal = Counter(), Counter()
    for ranks in itertools.product(range(8), repeat=4):
        called = [client for client in range(4) if ranks[client] < eighths]
        drawn[frozenset(sorted(called, key=lambda client: ranks[client])[:capacity])] += 1
        choices = list(itertools.combinations(called, min(capacity, len(called))))
        for choice in choices:
            ideal[frozenset(choice)] += 1 / len(choices)
    apart = sum(abs(drawn[each] - ideal[each]) for each in drawn | ideal) / 2 / 8**4
    assert 0 < apart <= truncated_poisson(4, eighths / 8, capacity).distance <= 20 * apart


def test_cohorts_are_exact_where_everybody_fits_and_else_nearly():
    sampler = truncated_poisson(1000, 0.1)
    pairs, likely = 1000 * 999 / 2, binom.sf(sampler.capacity - 2, 998, sampler.turn_rate)
    assert sampler.distance == pytest.approx(pairs * 0.1 * likely * 2.0**-96)
    assert likely < 1e-8
    group = cyclic_poisson(1000, 0.1, groups=5, capacity=130)
    assert group.distance == truncated_poisson(200, 0.5, 130).distance > 0
    assert truncated_poisson(1000, 0.1, 1000).distance == 0
    assert full(1000).distance == fixed_size(1000, 10).distance == 0
    # Ten million clients, a thousand rounds: below 1e-20.
    assert 1000 * truncated_poisson(10**7, 1e-4).distance < 1e-20
