import json
import os
import stat
import traceback
from pathlib import Path

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz

from pride_jax.aggregation.threshold_keys import (
    HolderSecret,
    deal,
    load_holder,
    safe_prime,
    save_holder,
)
from pride_jax.errors import ProtocolError


def counting():
    return np.random.default_rng(0).bytes


@pytest.fixture(scope="module")
def holders() -> tuple[HolderSecret, ...]:
    return deal(os.urandom, 512, holders=4, threshold=3).holders


class TestSafePrimes:
    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize("bits", [128, 256, 512])
    def test_numbers(self, bits: int, workers: int) -> None:
        prime = safe_prime(os.urandom, bits, workers)
        assert prime.bit_length() == bits
        assert prime >> (bits - 2) == 3
        assert gmpy2.is_prime(prime, 64) and gmpy2.is_prime(prime // 2, 64)

    def test_randomness_is_the_argument(self) -> None:
        first, *others = (safe_prime(counting(), 128, workers) for workers in (1, 1, 2))
        assert others == [first, first]
        assert safe_prime(os.urandom, 128) != first

    def test_it_is_the_first_one_after_the_start(self) -> None:
        """The sieve drops no safe prime."""
        start = mpz.from_bytes(counting()(16)) % (mpz(1) << 125) | mpz(3) << 125 | 1
        while not (gmpy2.is_prime(start) and gmpy2.is_prime(2 * start + 1)):
            start += 2
        assert safe_prime(counting(), 128) == 2 * start + 1


class TestDealing:
    def test_any_threshold_of_shares_are_the_exponent(
        self, holders: tuple[HolderSecret, ...]
    ) -> None:
        public = holders[0].public
        n = public.key.n
        assert (n.bit_length(), public.holders, public.threshold) == (512, 4, 3)
        # Quadratic: f(0) = 3 f(1) - 3 f(2) + f(3).
        exponent = 3 * holders[0].share - 3 * holders[1].share + holders[2].share
        for x in (2, 3, 12345):
            obfuscator = pow(x, 2 * n, n * n)
            assert pow(obfuscator, exponent, n * n) == 1
            assert pow(1 + n, exponent, n * n) == 1 + n
        two = 2 * holders[0].share - holders[1].share
        assert pow(1 + n, two, n * n) != 1 + n

    def test_verification_keys(self, holders: tuple[HolderSecret, ...]) -> None:
        public = holders[0].public
        assert [secret.index for secret in holders] == [1, 2, 3, 4]
        for secret, key in zip(holders, public.verification_keys, strict=True):
            exponent = 24 * secret.share
            assert pow(public.verification_base, exponent, public.key.nsquare) == key
        assert gmpy2.jacobi(public.verification_base, public.key.n) == 1
        assert len({secret.share for secret in holders}) == 4

    def test_every_key_is_new(self) -> None:
        first, second = (deal(os.urandom, 256, 2, 2).holders[0] for _ in range(2))
        assert first.public.key.n != second.public.key.n


class TestKeeping:
    def test_saved_and_loaded(self, holders: tuple[HolderSecret, ...], tmp_path: Path) -> None:
        folder = tmp_path / "secrets"
        for secret in holders:
            save_holder(folder, secret)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
        assert tuple(load_holder(folder, index) for index in (1, 2, 3, 4)) == holders
        with pytest.raises(ProtocolError, match="exists"):
            save_holder(folder, holders[0])

    def test_a_file_holds_nothing_of_the_others(
        self, holders: tuple[HolderSecret, ...], tmp_path: Path
    ) -> None:
        save_holder(tmp_path, holders[0])
        (file,) = tmp_path.iterdir()
        text = file.read_text()
        assert set(json.loads(text)) == {
            "index",
            "share",
            "n",
            "threshold",
            "verification_keys",
        }
        assert all(hex(other.share)[:20] not in text for other in holders[1:])

    def test_open_to_others(self, holders: tuple[HolderSecret, ...], tmp_path: Path) -> None:
        save_holder(tmp_path, holders[0])
        (file,) = tmp_path.iterdir()
        file.chmod(0o640)
        with pytest.raises(ProtocolError, match="chmod 600"):
            load_holder(tmp_path, 1)

    def test_damaged_file_is_refused_without_quoting_it(
        self, holders: tuple[HolderSecret, ...], tmp_path: Path
    ) -> None:
        save_holder(tmp_path, holders[1])
        (file,) = tmp_path.iterdir()
        good = file.read_text()
        share = hex(holders[1].share)
        for damaged in (
            good[:-2],
            good.replace(share, hex(holders[1].share + 2)),
            good.replace('"index": 2', '"index": 1'),
            good.replace('"index": 2', '"index": 9'),
            good.replace('"share"', '"shore"'),
            good.replace(hex(holders[1].public.key.n), "0x0"),
            good.replace('"threshold": 3', '"threshold": "3"'),
            "[" * 100_000,
            "[]",
            "",
        ):
            assert damaged != good
            file.write_text(damaged)
            with pytest.raises(ProtocolError, match="threshold key of holder 2") as refusal:
                load_holder(tmp_path, 2)
            assert share[:12] not in "".join(traceback.format_exception(refusal.value))

    def test_no_such_holder(self, holders: tuple[HolderSecret, ...], tmp_path: Path) -> None:
        save_holder(tmp_path, holders[0])
        with pytest.raises(ProtocolError, match="cannot read"):
            load_holder(tmp_path, 2)
