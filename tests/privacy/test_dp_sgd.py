"""DP-SGD within a client: what is drawn, clipped and added, what it costs, and whom it stops."""

import functools
import math
import os
import pickle
from dataclasses import replace

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dp_accounting.pld import PLDAccountant
from scipy.stats import beta, binom

from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import Batch, federate
from pride_jax.data.partition import by_sizes
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.method import Round
from pride_jax.models.networks import logistic
from pride_jax.privacy.amplification import gaussian_epsilon
from pride_jax.privacy.clipping import Adaptive, Flat
from pride_jax.privacy.dp_sgd import dp_sgd, example_epsilon
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import Floats, Integers
from pride_jax.task import Scores, Task, classification

LONGEST, NORM, RATE = 40, 0.5, 0.25
POISSON = Plan(
    sampler=truncated_poisson(LONGEST, RATE, capacity=LONGEST),
    clipping=Flat(NORM),
    mechanism=Gaussian(1.5, Floats()),
    rounds=60,
    delta=1e-4,
)
EVERY = replace(POISSON, sampler=full(LONGEST))
SILENT = Gaussian(0.0, Floats())


@functools.cache
def linear(dimension=LONGEST):
    """A loss whose gradient is the example itself."""
    return Task(
        init=lambda key: jnp.zeros(dimension),
        loss=lambda params, batch, key: batch.inputs @ params,
        score=lambda params, batch: Scores(jnp.ones(1), {}, ()),
    )


def quadratic(params, batch, key):
    del key
    return (batch.inputs @ params - batch.targets) ** 2


@functools.cache
def sender(method, many=False):
    """Of one client: keys, all of its examples and which are its own -> what it sends, and losses.

    After the steps of a round; with many keys, a row for each.
    """
    received = method.init(jax.random.key(0)).params

    def send(key, inputs, targets, mask):
        local = method.client.start(Round(jnp.int32(0), 1), received, ())
        carry, losses = local.carry, jnp.zeros(())
        for number in range(method.training.epochs):
            batch = Batch(inputs, targets, mask)
            carry, loss = local.step(jax.random.fold_in(key, number), carry, batch)
            losses += loss
        return local.finish(carry, jnp.int32(method.training.epochs))[0], losses

    return jax.jit(jax.vmap(send, in_axes=(0, None, None, None)) if many else send)


def update_of(method, key, inputs, targets=None, size=LONGEST, many=False):
    """The same, with zeros where a client has no example."""
    padded = jnp.zeros((LONGEST, inputs.shape[1])).at[: len(inputs)].set(inputs)
    targets = jnp.zeros(LONGEST) if targets is None else targets
    return sender(method, many)(key, padded, targets, jnp.arange(LONGEST) < size)


@functools.cache
def of(plan, task=None, steps=1, rate=1.0):
    return dp_sgd(task or linear(), plan, optax.sgd(rate), steps=steps)


def many(method, inputs, count):
    """Updates of one client under independent secrets, a row each."""
    keys = jax.random.split(secret_key(), count)
    return np.asarray(update_of(method, keys, inputs, many=True)[0])


def test_without_noise_a_step_is_the_mean_of_clipped_gradients_one_after_another():
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(30, 5)), jnp.float32)
    targets = jnp.zeros(LONGEST).at[:30].set(jnp.asarray(rng.normal(size=30), jnp.float32))
    start = jnp.asarray(rng.normal(size=5), jnp.float32)
    task = linear(5)._replace(init=lambda key: start, loss=quadratic)
    plan = replace(EVERY, mechanism=SILENT)
    update, loss = update_of(of(plan, task, rate=0.1), secret_key(), inputs, targets, 30)
    expected, total = np.zeros(5), 0.0
    for x, y in zip(np.asarray(inputs, float), np.asarray(targets, float), strict=False):
        slope = 2 * (x @ np.asarray(start, float) - y) * x
        expected -= 0.1 * slope * min(1.0, NORM / np.linalg.norm(slope)) / 30
        total += (x @ np.asarray(start, float) - y) ** 2
    np.testing.assert_allclose(update, expected, rtol=1e-4)
    assert loss == pytest.approx(total, rel=1e-5)


def test_each_example_is_drawn_apart_from_the_others_with_the_plans_probability_anew_each_step():
    plan = replace(POISSON, mechanism=SILENT, sampler=truncated_poisson(LONGEST, RATE, 20))
    drawn = many(of(plan, steps=2), jnp.eye(LONGEST), 2000) * (-RATE * LONGEST / NORM)
    counts = np.round(drawn)
    np.testing.assert_allclose(drawn, counts, atol=1e-3)
    for number in range(3):
        share = (counts == number).mean()
        assert share == pytest.approx(binom.pmf(number, 2, RATE), abs=5 / np.sqrt(counts.size))
    sizes = counts.sum(axis=1)
    assert sizes.var() == pytest.approx(2 * LONGEST * RATE * (1 - RATE), rel=0.15)
    assert 22 < sizes.max() <= 2 * 20


def test_noise_has_the_planned_scale_and_no_other():
    noise = many(of(POISSON, linear(500), steps=2), jnp.zeros((LONGEST, 500)), 40)
    expected = math.sqrt(2) * 1.5 * NORM / (RATE * LONGEST)
    tolerance = 5 / math.sqrt(2 * noise.size)
    assert noise.std() == pytest.approx(expected, rel=tolerance)
    for wrong in (2 / 3, 3 / 2):
        assert abs(noise.std() / (wrong * expected) - 1) > tolerance
    assert abs(noise.mean()) < 5 * expected / math.sqrt(noise.size)


def test_a_short_clients_padding_adds_nothing_and_divides_by_its_own_number():
    plan = replace(EVERY, mechanism=SILENT)
    garbage = jnp.full((LONGEST, LONGEST), jnp.nan).at[:10].set(jnp.eye(LONGEST)[:10])
    update, loss = update_of(of(plan), secret_key(), garbage, size=10)
    np.testing.assert_allclose(update[:10], -NORM / 10, rtol=1e-4)
    np.testing.assert_array_equal(update[10:], 0)
    assert np.isfinite(loss)


def test_an_example_of_nan_adds_nothing():
    plan = replace(EVERY, mechanism=SILENT)
    inputs = jnp.eye(LONGEST).at[3].set(jnp.nan)
    update, _ = update_of(of(plan), secret_key(), inputs)
    np.testing.assert_allclose(np.delete(update, 3), -NORM / LONGEST, rtol=1e-4)
    assert update[3] == 0


def test_who_reads_the_update_tells_an_example_only_as_well_as_epsilon_says():
    count, noisy = 5_000, Gaussian(0.8, Floats())
    claimed = example_epsilon(replace(POISSON, mechanism=noisy), 1, 1)

    def proved(mechanism):
        """The largest ε that a threshold shows at 99%, of an example as bad as can be or none."""
        method = of(replace(POISSON, mechanism=mechanism), linear(2))
        with_it, without = (
            -many(method, jnp.zeros((LONGEST, 2)).at[0, 0].set(size), count)[:, 0]
            for size in (1e3, 0.0)
        )
        best = 0.0
        for threshold in np.linspace(0.5, 3.0, 10) * NORM / (RATE * LONGEST):
            hits, alarms = (int((each > threshold).sum()) for each in (with_it, without))
            low = beta.ppf(0.0005, hits, count - hits + 1) - POISSON.delta
            high = beta.ppf(0.9995, alarms + 1, count - alarms)
            best = max(best, math.log(max(low / high, 1.0)))
        return best

    assert 0.1 < proved(noisy) < claimed
    # The remedy switched off, the same reader is sure.
    assert proved(Gaussian(1e-3, Floats())) > 1.3 * claimed


def test_who_knows_the_key_takes_the_noise_away():
    key, method = secret_key(), of(POISSON, linear(2))
    inputs = jnp.zeros((LONGEST, 2)).at[:, 0].set(1.0)
    sent, _ = update_of(method, key, inputs)
    noise, _ = update_of(method, key, jnp.zeros((LONGEST, 2)))
    drawn = (noise - sent)[0] * RATE * LONGEST / NORM
    assert drawn == pytest.approx(round(float(drawn)), abs=1e-3)
    other, _ = update_of(method, secret_key(), jnp.zeros((LONGEST, 2)))
    guessed = (other - sent)[0] * RATE * LONGEST / NORM
    assert guessed != pytest.approx(float(drawn), abs=1e-3)


def test_the_cost_of_full_steps_is_one_gaussian_of_all_of_them():
    assert example_epsilon(EVERY, 4, 9) == pytest.approx(gaussian_epsilon(1.5 / 6, 1e-4))


def test_the_cost_of_drawn_steps_is_that_of_poisson_sampling():
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL)
    step = dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(1.5))
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, 60))
    expected = accountant.get_epsilon(1e-4)
    assert example_epsilon(POISSON, 3, 20) == pytest.approx(expected, rel=0.02)
    assert example_epsilon(POISSON, 3, 20) >= expected * (1 - 1e-3)
    assert example_epsilon(POISSON, 3, 10) < example_epsilon(POISSON, 3, 20)
    # Smaller cohorts of examples than may be drawn cost more.
    tight = replace(POISSON, sampler=truncated_poisson(LONGEST, RATE, capacity=8))
    assert example_epsilon(tight, 3, 20) > 1.05 * example_epsilon(POISSON, 3, 20)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(POISSON, sampler=fixed_size(LONGEST, 10)), "sampler=FixedSize.*client's own step"),
        (
            replace(
                POISSON,
                sampler=cyclic_poisson(LONGEST, RATE, 4, 10),
                mechanism=Banded(1.5, 2, Floats()),
            ),
            "sampler=CyclicPoisson",
        ),
        (replace(EVERY, mechanism=Banded(1.5, 2, Floats())), r"mechanism=Banded.*no later step"),
        (replace(EVERY, mechanism=Gaussian(1.5, Integers(40, 16))), "expected Gaussian noise on F"),
        (replace(POISSON, clipping=Adaptive(1.0), mechanism=SILENT), "expected one norm, Flat"),
    ],
)
def test_what_a_client_cannot_carry_out_is_refused(plan, message):
    with pytest.raises(ConfigError, match=message):
        of(plan)
    with pytest.raises(ConfigError, match=message):
        example_epsilon(plan, 1, 1)


def test_a_plan_of_another_number_of_examples_is_refused():
    other = replace(EVERY, sampler=full(LONGEST + 1))
    with pytest.raises(ConfigError, match=f"num_clients=41.*expected {LONGEST}"):
        update_of(of(other), secret_key(), jnp.eye(LONGEST))
    with pytest.raises(ConfigError, match="steps=0: expected at least one"):
        of(EVERY, steps=0)


# Whole rounds, by the engine.

SIZES = (7, 40, 0, 21)
IRIS = load_dataset("iris", test_examples=82)
DATA = federate(IRIS, by_sizes(np.random.default_rng(0), 68, SIZES))
TASK = classification(logistic((4,), 3), 3)


ALGORITHM = federated(
    dp_sgd(TASK, replace(EVERY, clipping=Flat(2.0)), optax.sgd(0.3), steps=5), DATA
)


def test_a_federation_of_uneven_clients_learns():
    state, _ = ALGORITHM.rounds(ALGORITHM.init(secret_key()), 10)
    answers = TASK.score(ALGORITHM.params(state), whole(IRIS)).sums["accuracy"]
    assert answers.mean() > 0.8


def whole(dataset):
    inputs = (dataset.test_inputs - dataset.shift) * dataset.scale
    return Batch(jnp.asarray(inputs), jnp.asarray(dataset.test_targets), jnp.ones(82, bool))


def test_rounds_under_a_public_seed_are_refused():
    with pytest.raises(ConfigError, match="expected 256 bits"):
        ALGORITHM.round(ALGORITHM.init(jax.random.key(0)))


def test_the_key_that_clients_draw_from_does_not_print():
    secret = os.urandom(32)
    state = ALGORITHM.init(secret_key(secret))
    assert "<hidden: training key>" in repr(state.keys)
    key = jax.random.split(secret_key(secret), 3)[1]
    for word in np.asarray(jax.random.key_data(key)):
        assert str(word) not in repr(state)
    with pytest.raises(TypeError, match="training key"):
        pickle.dumps(state.keys.training)
