import hashlib
import os
import pickle
import subprocess
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import gmpy2
import numpy as np
import phe
import pytest
from gmpy2 import mpz
from jaxtyping import TypeCheckError
from parties import Party, party_of

from pride_jax.aggregation.blinding import blinds
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.obfuscators import powers
from pride_jax.aggregation.packed_paillier import exponent_bits
from pride_jax.aggregation.packing import layout, pack
from pride_jax.aggregation.paillier_keys import (
    PaillierSecret,
    ciphertext_bytes,
    generate,
    load_secret,
    save_secret,
)
from pride_jax.aggregation.processes import Work
from pride_jax.aggregation.protocols.paillier import decrypt, paillier
from pride_jax.aggregation.refusals import NotInvertibleError, OutOfRangeError
from pride_jax.aggregation.secure_sum import Directory, Message, Public, Role, Total
from pride_jax.errors import ConfigError, ProtocolError


@pytest.fixture
def secret(small_paillier: Party) -> PaillierSecret:
    assert isinstance(small_paillier.secret, PaillierSecret)
    return small_paillier.secret


@pytest.fixture
def directory(small_paillier: Party) -> Directory:
    return small_paillier.directory([1, 2, 3], length=60)


def ciphertexts_of(secret: PaillierSecret, message: Message) -> list[int]:
    """The two that a message of 60 values encloses."""
    size = ciphertext_bytes(secret.public)
    ends = range(0, 2 * size, size)
    return [int.from_bytes(message.enclosed[at : at + size], "big") for at in ends]


def blinded(secret: PaillierSecret, message: Message, vector: np.ndarray) -> list[int]:
    """What a message's ciphertexts hold."""
    n = secret.public.key.n
    plaintexts = pack(layout(1024, 16, 128), vector)
    hidden_by = blinds(mpz(n), message.body, len(plaintexts))
    return [int((m + r) % n) for m, r in zip(plaintexts, hidden_by, strict=True)]


class TestKeys:
    def test_numbers(self, secret: PaillierSecret) -> None:
        p, q, n = secret.key.p, secret.key.q, secret.public.key.n
        assert p != q
        assert p % 4 == q % 4 == 3
        assert p.bit_length() == q.bit_length() == 512
        assert n == p * q
        assert n.bit_length() == 1024
        assert gmpy2.is_prime(p) and gmpy2.is_prime(q)
        assert gmpy2.gcd(p - 1, q - 1) == 2

    def test_base_is_an_nth_residue_of_order_as_damgard_jurik_nielsen_ask(
        self, secret: PaillierSecret
    ) -> None:
        p, q, n = secret.key.p, secret.key.q, secret.public.key.n
        base = secret.public.obfuscation_base
        assert pow(base, (p - 1) * (q - 1) // 2, n * n) == 1
        assert gmpy2.jacobi(base % n, n) == 1
        # -x² is no square modulo either prime, and n is odd.
        assert gmpy2.jacobi(base, p) == gmpy2.jacobi(base, q) == -1
        # No small order: not even the part of it that 1,000 factors of p - 1 and q - 1 could leave.
        assert pow(base, 2 * int(gmpy2.fac(1000)), n) != 1

    def test_base_is_the_modulus_own(self, secret: PaillierSecret) -> None:
        n = secret.public.key.n
        digest = hashlib.shake_256(
            b"pride_jax Paillier, version 1: obfuscation base\0" + n.to_bytes(128, "big")
        ).digest(144)
        x = int.from_bytes(digest, "big") % n
        assert secret.public.obfuscation_base == pow(-x * x % n, n, n * n)

    def test_primes_less_one_share_nothing_but_two(self) -> None:
        for _ in range(30):
            key = generate(os.urandom, 256).key
            assert gmpy2.gcd(key.p - 1, key.q - 1) == 2

    def test_every_key_is_new(self) -> None:
        assert generate(os.urandom, 512).key.p != generate(os.urandom, 512).key.p

    def test_randomness_is_the_argument(self) -> None:
        def counting():
            state = np.random.default_rng(0)
            return state.bytes

        assert generate(counting(), 512).public == generate(counting(), 512).public

    def test_saved_and_loaded(self, secret: PaillierSecret, tmp_path: Path) -> None:
        save_secret(tmp_path / "secrets", secret)
        loaded = load_secret(tmp_path / "secrets")
        assert (loaded.public, loaded.key) == (secret.public, secret.key)
        with pytest.raises(ProtocolError, match="exists"):
            save_secret(tmp_path / "secrets", secret)

    def test_damaged_file_is_refused_without_quoting_it(
        self, secret: PaillierSecret, tmp_path: Path
    ) -> None:
        save_secret(tmp_path, secret)
        (path,) = tmp_path.iterdir()
        good = path.read_text()
        halves = good.replace(hex(secret.key.p), hex(secret.key.p + 2))
        twice = good.replace(hex(secret.key.q), hex(secret.key.p))
        short = good.replace(hex(secret.key.q), "0x7")
        more = good.replace("{", '{"obfuscation_base": "0x2", ')
        for damaged in (
            *(good[:-2], good.replace('"p"', '"r"'), halves, twice, short, more),
            *("[]", "", '{"p": 3}', '{"p": 3, "q": 3}', "[" * 100_000),
        ):
            assert damaged != good
            path.write_text(damaged)
            with pytest.raises(ProtocolError, match="does not hold a Paillier key") as refusal:
                load_secret(tmp_path)
            shown = "".join(traceback.format_exception(refusal.value))
            assert hex(secret.key.p)[:12] not in shown


class TestPhe:
    def test_decrypts_our_ciphertexts(
        self, small_paillier: Party, directory: Directory, secret: PaillierSecret
    ) -> None:
        vector = np.arange(60) - 30
        message = small_paillier.protect(directory, 1, vector)
        key = phe.PaillierPrivateKey(
            phe.PaillierPublicKey(secret.public.key.n), secret.key.p, secret.key.q
        )
        plaintexts = [key.raw_decrypt(each) for each in ciphertexts_of(secret, message)]
        assert plaintexts == blinded(secret, message, vector)

    def test_encrypts_what_we_decrypt(self, secret: PaillierSecret) -> None:
        public = phe.PaillierPublicKey(secret.public.key.n)
        plaintexts = [0, 1, 12345, public.n - 1, public.n // 2]
        ciphertexts = [mpz(public.raw_encrypt(plaintext)) for plaintext in plaintexts]
        assert decrypt(secret, ciphertexts) == plaintexts

    def test_adds_to_our_ciphertexts(
        self, small_paillier: Party, directory: Directory, secret: PaillierSecret
    ) -> None:
        ours = small_paillier.protect(directory, 1, np.arange(60))
        key = secret.public.key
        sums = [
            phe.EncryptedNumber(key, ciphertext, 0) + key.encrypt(7)
            for ciphertext in ciphertexts_of(secret, ours)
        ]
        opened = decrypt(secret, [mpz(each.ciphertext(be_secure=False)) for each in sums])
        assert opened == [(m + 7) % key.n for m in blinded(secret, ours, np.arange(60))]

    def test_agrees_on_any_ciphertext(self, secret: PaillierSecret) -> None:
        square = secret.public.key.nsquare
        ciphertexts = [mpz.from_bytes(os.urandom(256)) % square for _ in range(50)]
        expected = [secret.key.raw_decrypt(int(ciphertext)) for ciphertext in ciphertexts]
        assert decrypt(secret, ciphertexts) == expected
        assert decrypt(secret, ciphertexts, Work(workers=3)) == expected


class TestObfuscators:
    def test_are_powers_of_the_base(self, secret: PaillierSecret) -> None:
        n, base = secret.public.key.n, secret.public.obfuscation_base
        exponents = [os.urandom(40) for _ in range(20)] + [bytes(40), b"\1" + bytes(39)]
        exponents += [bytes([255]) * 40, bytes(39) + b"\xff", os.urandom(94), b"", b"\1\1"]
        expected = [pow(base, int.from_bytes(e, "little"), n * n) for e in exponents]
        assert powers(n, base, exponents, 94) == expected
        assert powers(n, base, [], 94) == []

    def test_same_vector_never_gives_the_same_bytes(
        self, small_paillier: Party, directory: Directory, secret: PaillierSecret
    ) -> None:
        vector = np.zeros(60, int)
        sent = [small_paillier.protect(directory, 1, vector) for _ in range(10)]
        ciphertexts = [each for message in sent for each in ciphertexts_of(secret, message)]
        assert len(set(ciphertexts)) == len(ciphertexts)

    @pytest.mark.parametrize(
        ("key_bits", "exponent", "expected"),
        [
            (2048, "default", 448),
            (3072, "default", 512),
            (4096, "default", 608),
            (2048, "strict", 1024),
            (3072, "strict", 1536),
        ],
    )
    def test_exponent_lengths(self, key_bits: int, exponent, expected: int) -> None:
        assert exponent_bits(key_bits, exponent) == expected

    @pytest.mark.parametrize("exponent", ["default", "strict"])
    def test_as_many_random_bytes_as_the_setting_says(
        self, small_paillier: Party, directory: Directory, exponent
    ) -> None:
        asked: list[int] = []

        def recording(size: int) -> bytes:
            asked.append(size)
            return os.urandom(size)

        protocol = paillier(1024, exponent)
        protocol.prepare(recording, directory, small_paillier.secret, 1)
        size = exponent_bits(1024, exponent) // 8
        # A seed, obfuscators, and what hides plaintexts and exponents in the proof.
        assert asked == [32, size, size, 128 + 16, size + 16 + 4 + 16 + 16]


class TestRefusals:
    def message(self, party: Party, directory: Directory, change) -> Message:
        good = party.protect(directory, 2, np.arange(60))
        first, _ = ciphertexts_of(party.secret, good)
        size = ciphertext_bytes(party.public)
        return good._replace(enclosed=change(first).to_bytes(size, "big") + good.enclosed[size:])

    @pytest.mark.parametrize("excess", [0, 1])
    def test_ciphertext_out_of_range(self, small_paillier, directory, excess) -> None:
        good = small_paillier.protect(directory, 1, np.arange(60))
        square = small_paillier.public.key.nsquare
        for change in (lambda _: 0, lambda _: square + excess):
            bad = self.message(small_paillier, directory, change)
            with pytest.raises(OutOfRangeError, match="client 2"):
                small_paillier.protocol.combine(directory, [good, bad])

    def test_ciphertext_that_is_not_invertible(self, small_paillier, directory) -> None:
        good = small_paillier.protect(directory, 1, np.arange(60))
        key = small_paillier.secret.key
        for factor in (key.p, key.q, key.public_key.n, key.q * 12345):
            bad = self.message(small_paillier, directory, lambda _, factor=factor: factor)
            with pytest.raises(NotInvertibleError, match="client 2") as refusal:
                small_paillier.protocol.combine(directory, [good, bad])
            assert str(factor)[:12] not in str(refusal.value)

    def test_share_that_is_no_plaintext(self, small_paillier, directory) -> None:
        sent = [small_paillier.protect(directory, 1, np.arange(60))]
        total = small_paillier.protocol.combine(directory, sent)
        (share,) = small_paillier.shares(directory, sent)
        bad = share._replace(body=small_paillier.public.to_bytes() + share.body[128:])
        with pytest.raises(ProtocolError, match="no plaintext"):
            small_paillier.protocol.open(directory, total, [bad])

    def test_share_that_counts_another_number(self, small_paillier, directory) -> None:
        sent = [small_paillier.protect(directory, c, np.arange(60)) for c in (1, 2, 3)]
        total = small_paillier.protocol.combine(directory, sent)
        (share,) = small_paillier.shares(directory, sent[:2])
        with pytest.raises(ProtocolError, match="above its slots"):
            small_paillier.protocol.open(
                directory, total, [share._replace(contributors=total.contributors)]
            )

    def test_another_key(self, small_paillier, directory) -> None:
        other = party_of(small_paillier.protocol)
        message = small_paillier.protect(directory, 1, np.arange(60))
        with pytest.raises(ProtocolError, match="secret is not that of"):
            other.protocol.share(directory, other.secret, question_of([message]))
        elsewhere = other.directory([1, 2, 3], length=60)
        with pytest.raises(ProtocolError, match="made under the keys"):
            other.protocol.combine(elsewhere, [message])

    def test_directory_without_a_fitting_key(self, small_paillier, directory) -> None:
        for protocol, keys in (
            (small_paillier.protocol, {}),
            (small_paillier.protocol, {Role.KEY_HOLDER: Public()}),
            (paillier(2048), directory.keys),
        ):
            with pytest.raises(ProtocolError, match=r"Role\.KEY_HOLDER"):
                protocol.prepare(
                    os.urandom, Directory(0, (1,), directory.terms, keys), small_paillier.secret, 1
                )

    @pytest.mark.parametrize("setting", [{"key_bits": 4095}, {"exponent": "short"}, {"workers": 0}])
    def test_impossible_settings(self, setting) -> None:
        with pytest.raises((ConfigError, TypeCheckError), match=f"{next(iter(setting))}"):
            paillier(**setting)


class TestSecrecy:
    def test_nothing_secret_is_printed(self, small_paillier, secret: PaillierSecret) -> None:
        shown = repr(small_paillier) + repr(secret) + f"{secret}" + repr([secret])
        for number in (secret.key.p, secret.key.q, secret.key.hp, secret.key.p_inverse):
            assert str(number)[:8] not in shown
            assert hex(number)[2:10] not in shown

    def test_small_keys_are_labelled(self) -> None:
        assert paillier(1024).name == "paillier-1024-unsafe"
        assert paillier(3072).name == "paillier-3072"

    def test_nothing_public_holds_the_primes(
        self, small_paillier: Party, directory: Directory, secret: PaillierSecret
    ) -> None:
        message = small_paillier.protect(directory, 1, np.arange(60))
        total = small_paillier.protocol.combine(directory, [message])
        share = small_paillier.protocol.share(directory, secret, question_of([message]))
        pickled = pickle.dumps((directory, message, total, share))
        for prime in (secret.key.p, secret.key.q):
            for order in ("little", "big"):
                assert prime.to_bytes(64, order)[8:24] not in pickled
            assert str(prime).encode()[:16] not in pickled


LONG = 8200
"""Values whose ciphertexts, 65 at 3072 bits, are enough for worker processes."""


def _aggregate(directory: Directory, messages: list[Message]) -> Total:
    return paillier(3072).combine(directory, messages)


def test_full_size_round_with_workers_and_an_aggregator_in_its_own_process() -> None:
    party = party_of(paillier(key_bits=3072, workers=2))
    directory = party.directory(range(3), length=LONG)
    largest = directory.terms.largest_value
    vectors = np.random.default_rng(0).integers(-largest, largest + 1, (3, LONG))
    vectors[:, :2] = largest, -largest
    messages = [party.protect(directory, client, vectors[client]) for client in range(3)]
    with ProcessPoolExecutor(1, get_context("spawn")) as aggregator:
        total = aggregator.submit(_aggregate, directory, messages).result()
    shares = party.shares(directory, messages)
    np.testing.assert_array_equal(party.protocol.open(directory, total, shares), vectors.sum(0))
    assert len(messages[0].enclosed) / LONG < 6.5


def known_key(bits: int) -> PaillierSecret:
    """A 4096-bit key of two primes that everybody knows: RFC 3526's and RFC 7919's of 2048 bits."""
    with gmpy2.context(precision=bits):
        pi, e = (gmpy2.mpz(gmpy2.floor(x * 2**1918)) for x in (gmpy2.const_pi(), gmpy2.exp(1)))
    low = 2**2048 - 2**1984 - 1
    p, q = (int(low + 2**64 * middle) for middle in (pi + 124476, e + 560316))
    return PaillierSecret(phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q))


def test_4096_bits() -> None:
    secret = known_key(4096)
    assert secret.public.key.n.bit_length() == 4096
    assert all(gmpy2.is_prime(each, 8) for each in (secret.key.p, secret.key.q))
    party = Party(paillier(4096), secret, secret.public)
    assert party.protocol.name == "paillier-4096"
    directory = party.directory([1, 2], length=60)
    vectors = {client: client * np.arange(60) - 31 for client in (1, 2)}
    np.testing.assert_array_equal(party.sum(directory, vectors), sum(vectors.values()))


def test_a_program_with_workers_ends_quietly(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from parties import party_of\n"
        "from pride_jax.aggregation.protocols.paillier import paillier\n"
        "if __name__ == '__main__':\n"
        "    party = party_of(paillier(1024, workers=2))\n"
        "    summed = party.sum(party.directory([1], length=9000), {1: [7] * 9000})\n"
        "    print(len(summed), set(summed.tolist()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "9000 {7}\n", "")
