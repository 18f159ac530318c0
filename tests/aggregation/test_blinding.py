"""What hides a plaintext is uniform, and another thing for every seed."""

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmpy2 import mpz
from scipy import stats

from pride_jax.aggregation.blinding import blinds


def test_the_stream_reduced() -> None:
    modulus, seed = mpz(10**40 + 121), os.urandom(32)
    size = 17 + 16
    stream = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor().update(bytes(3 * size))
    expected = [
        int.from_bytes(stream[at : at + size], "big") % modulus for at in range(0, 3 * size, size)
    ]
    assert blinds(modulus, seed, 3) == expected
    assert blinds(modulus, seed, 0) == []


def test_uniform_below_a_modulus_that_is_no_power_of_two() -> None:
    """Reduced without excess bits, values below a third would be twice as likely."""
    modulus, bins = mpz(3) * 2**62, 12
    drawn = blinds(modulus, os.urandom(32), 6000)
    counts = np.bincount([int(each * bins // modulus) for each in drawn], minlength=bins)
    assert stats.chisquare(counts).pvalue > 1e-6
    biased = [mpz.from_bytes(os.urandom(8)) % modulus for _ in range(6000)]
    counts = np.bincount([int(each * bins // modulus) for each in biased], minlength=bins)
    assert stats.chisquare(counts).pvalue < 1e-6


def test_another_seed_gives_other_numbers() -> None:
    first, second = (blinds(mpz(2) ** 1024 - 1, os.urandom(32), 4) for _ in range(2))
    assert not set(first) & set(second)
