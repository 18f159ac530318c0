"""Views are what the protocols and mechanisms really make, no more and no less."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.aggregation.fixed_point import dequantize
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.attacks import views
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Mechanism, Plan
from pride_jax.privacy.sampling import full
from pride_jax.privacy.values import Integers, Rotated

LENGTH, LIMIT, BITS = 4000, 0.5, 16
PROTOCOLS = {
    "plain": plain,
    "paillier": partial(paillier, key_bits=1024),
    "threshold": partial(threshold_paillier, 1024, holders=3, threshold=2),
    "bfv": bfv,
    "masking": masking,
    "keys apart": lambda: lattice(two_servers()),
}


@pytest.fixture(scope="module")
def updates() -> jax.Array:
    return 0.1 * jax.random.normal(jax.random.key(0), (4, LENGTH))


@pytest.fixture(scope="module")
def rows(updates) -> np.ndarray:
    return views.quantized(jax.random.key(1), updates, LIMIT, BITS)


def correlation(a, b) -> float:
    return float(np.corrcoef(np.asarray(a), np.asarray(b))[0, 1])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_opens_the_same_mean(name, rows) -> None:
    seen = views.secure_sum(PROTOCOLS[name](), rows, LIMIT, BITS, os.urandom)
    expected = dequantize(rows.astype(np.int64).sum(axis=0), LIMIT, BITS) / 4
    np.testing.assert_array_equal(seen.mean, expected.astype(np.float32))
    assert seen.messages.shape == rows.shape


def test_plain_messages_are_the_updates(rows, updates) -> None:
    seen = views.secure_sum(plain(), rows, LIMIT, BITS, os.urandom)
    step = LIMIT / (2 ** (BITS - 1) - 1)
    np.testing.assert_allclose(seen.messages, updates, atol=1.01 * step)
    received = views.received_messages(plain(), rows, LIMIT, BITS, os.urandom)
    np.testing.assert_array_equal(received, seen.messages)


@pytest.mark.parametrize("name", ["paillier", "threshold", "bfv", "masking", "keys apart"])
def test_protected_messages_do_not_depend_on_the_update(name, rows, updates) -> None:
    messages = views.received_messages(PROTOCOLS[name](), rows, LIMIT, BITS, os.urandom)
    for message, update in zip(messages, updates, strict=True):
        # Five standard deviations of a correlation of independent values.
        assert abs(correlation(message, update)) < 5 / LENGTH**0.5
    again = views.received_messages(PROTOCOLS[name](), rows, LIMIT, BITS, os.urandom)
    assert np.mean(messages == again) < 0.01


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8])
def test_numbers_are_read_as_they_were_written(width) -> None:
    numbers = [0, 1, -1, 2 ** (8 * width - 1) - 1, -(2 ** (8 * width - 1))]
    body = b"".join(number.to_bytes(width, "little", signed=True) for number in numbers)
    np.testing.assert_array_equal(views.read_numbers(body, len(numbers)), numbers)
    np.testing.assert_array_equal(views.read_numbers(body + b"x", len(numbers)), numbers)


def test_clipping_changes_lengths_and_no_directions(updates) -> None:
    short = views.clipped(updates, 1.0)
    lengths = np.linalg.norm(short, axis=1)
    assert (lengths <= 1).all()
    np.testing.assert_allclose(lengths, 1, rtol=1e-3)
    for one, whole in zip(short, updates, strict=True):
        assert correlation(one, whole) > 1 - 1e-5


def calibrated(clients: int, mechanism: Callable[[float], Mechanism]) -> Plan:
    return calibrate(
        mechanism, 8.0, sampler=full(clients), clipping=Flat(2.0), rounds=1, delta=1e-3
    )


def test_noise_is_the_plans(updates) -> None:
    plan, key = calibrated(4, Gaussian), jax.random.key(5)
    short = views.clipped(updates, 2.0)
    alone = views.noised_alone(key, updates[0], plan) - short[0]
    assert float(jnp.std(alone)) == pytest.approx(
        plan.mechanism.noise_scale(plan.setting, 2.0), rel=0.05
    )
    mean = views.noised_mean(key, updates, plan) - jnp.mean(short, axis=0)
    assert float(jnp.std(mean)) == pytest.approx(
        plan.mechanism.noise_scale(plan.setting, 2.0) / 4, rel=0.05
    )


def test_a_clients_integers_hold_its_share_of_noise(updates) -> None:
    plan = calibrated(4, lambda noise: Skellam(noise, Integers(LENGTH, BITS)))
    held = views.noised_integers(jax.random.key(6), updates, plan, os.urandom)
    noise = held - np.asarray(views.clipped(updates, 2.0))
    own = (plan.mechanism.total_variance(plan.sampler) / 4) ** 0.5 * 2.0 / (2 ** (BITS - 1) - 1)
    assert float(noise.std()) == pytest.approx(own, rel=0.05)
    assert abs(correlation(noise[0], noise[1])) < 5 / LENGTH**0.5


def test_a_rotation_hides_nothing_from_who_knows_the_round(updates) -> None:
    plan = calibrated(4, lambda noise: Skellam(noise, Rotated(LENGTH, 8)))
    quiet = replace(plan, mechanism=plan.mechanism.with_noise(1e-3))
    held = views.noised_integers(jax.random.key(6), updates, quiet, os.urandom)
    for seen, update in zip(held, views.clipped(updates, 2.0), strict=True):
        assert correlation(seen, update) > 0.99


def test_two_released_models_give_the_update_that_joined(updates) -> None:
    before = jax.random.normal(jax.random.key(7), (LENGTH,))
    released_with = before + jnp.mean(updates, axis=0)
    released_without = before + jnp.mean(updates[1:], axis=0)
    found = views.joined(before, released_with, released_without, clients=4)
    np.testing.assert_allclose(found, updates[0], atol=1e-5)
