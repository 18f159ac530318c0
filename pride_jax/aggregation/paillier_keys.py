"""Paillier keys: python-paillier's, with Damgård–Jurik–Nielsen obfuscation; making and keeping.

Any ciphertext under ``PaillierPublic.key`` decrypts with python-paillier alone, and the reverse.

The base of obfuscators is hashed from the modulus. So a key is its modulus: nobody can choose, or
damage, a base whose powers hide nothing, such as n² - 1, or one that is no n-th power.

References:
  Paillier 1999, Public-key cryptosystems based on composite degree residuosity classes.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting, section 4.2 for ``obfuscation_base``.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gmpy2
from gmpy2 import mpz
from phe import PaillierPrivateKey, PaillierPublicKey

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Public, Rng, Secret
from pride_jax.errors import ProtocolError

_FILE = "paillier-key.json"
_PRIMALITY_ROUNDS = 64
_NO_FACTOR_BELOW = 2**16


@dataclass(frozen=True)
class PaillierPublic(Public):
    """What clients and the aggregator need.

    Attributes:
      key: python-paillier's key, with the modulus ``n``.
    """

    key: PaillierPublicKey

    @property
    def obfuscation_base(self) -> int:
        """The base whose powers hide plaintexts."""
        return obfuscation_base(self.key.n)

    def to_bytes(self) -> bytes:
        """The modulus."""
        return self.key.n.to_bytes(-(-self.key.n.bit_length() // 8), "big")


@dataclass(frozen=True, repr=False)
class PaillierSecret(Secret):
    """What the key holder has.

    Attributes:
      key: python-paillier's private key, with the primes ``p`` and ``q``.
    """

    key: PaillierPrivateKey

    @property
    def public(self) -> PaillierPublic:
        """Its public part."""
        return PaillierPublic(self.key.public_key)


def generate(rng: Rng, key_bits: int) -> PaillierSecret:
    """A key pair with primes p ≡ q ≡ 3 (mod 4) of half the size and gcd(p - 1, q - 1) = 2.

    Args:
      rng: a cryptographic source of bytes.
      key_bits: exact bit length of the modulus, a multiple of 16.
    """
    p = _prime(rng, key_bits // 2, lambda _: True)
    q = _prime(rng, key_bits // 2, lambda candidate: _fit_together(p, candidate))
    return _secret(int(p), int(q))


@functools.lru_cache(maxsize=4)
def obfuscation_base(n: int) -> int:
    """h^n mod n² for h = -x² mod n, x hashed from n: an n-th power of no small order.

    With x random this is Damgård, Jurik & Nielsen's base; here it is random in the random oracle
    model.
    """
    x = hashed_number(b"obfuscation base", n)
    return int(gmpy2.powmod(-x * x % n, n, mpz(n) * n))


def hashed_number(purpose: bytes, n: int) -> mpz:
    """A number modulo n that nobody chose: SHAKE-256 of the purpose and n, 128 bits longer than n.

    That it is not invertible has probability 1/p + 1/q for n = p·q.
    """
    size = -(-n.bit_length() // 8)
    hashed = hashlib.shake_256(b"pride_jax Paillier, version 1: " + purpose + b"\0")
    hashed.update(n.to_bytes(size, "big"))
    return mpz.from_bytes(hashed.digest(size + 16), "big") % n


def random_below(rng: Rng, bound: mpz) -> mpz:
    """A number in 0 … bound - 1, within 2^-128 of uniform."""
    return mpz.from_bytes(rng(-(-bound.bit_length() // 8) + 16)) % bound


def ciphertext_bytes(public: PaillierPublic) -> int:
    """Bytes of one ciphertext, a number below n²."""
    return -(-public.key.nsquare.bit_length() // 8)


def public_from_bytes(data: bytes, key_bits: int) -> PaillierPublic:
    """The key in ``data``, which is nothing but what ``to_bytes`` made of a key of that size.

    Raises:
      ProtocolError: anything else.
    """
    size = key_bits // 8
    if len(data) != size:
        raise ProtocolError(
            f"A {key_bits}-bit Paillier key of {len(data)} bytes, expected {size}: enrol it again"
        )
    n = int.from_bytes(data, "big")
    check_modulus(key_bits, n)
    return PaillierPublic(PaillierPublicKey(n))


def check_modulus(key_bits: int, n: int) -> None:
    """Refuses what can be seen to be no product of two primes of half that size.

    Raises:
      ProtocolError: as above.
    """
    if n.bit_length() != key_bits:
        raise ProtocolError(
            f"A Paillier modulus of {n.bit_length()} bits, expected {key_bits}: enrol the key again"
        )
    if gmpy2.gcd(n, _small_primes()) != 1 or gmpy2.is_power(n) or gmpy2.is_prime(n):
        raise ProtocolError(
            f"A {key_bits}-bit Paillier modulus that is prime, a power, or has a factor below "
            f"{_NO_FACTOR_BELOW}: the key was damaged or forged; enrol it again"
        )


def save_secret(folder: Path, secret: PaillierSecret) -> None:
    """Keeps a key pair in a folder that only its owner can enter.

    Args:
      folder: made with mode 0700 if it is missing; the file in it gets mode 0600.
      secret: the key.

    Raises:
      ProtocolError: the folder holds a key already, or is open to others.
    """
    # With the modulus: one damaged prime in 180 is a prime.
    n = secret.public.key.n
    numbers = {"p": hex(secret.key.p), "q": hex(secret.key.q), "n": hex(n)}
    write_owner_only(Path(folder) / _FILE, json.dumps(numbers).encode())


def load_secret(folder: Path) -> PaillierSecret:
    """The key pair that ``save_secret`` kept.

    Raises:
      ProtocolError: no such key, damaged, or others could read it.
    """
    path = Path(folder) / _FILE
    data = read_owner_only(path)
    try:
        numbers = json.loads(data)
        p, q, n = (int(numbers.pop(name), 16) for name in ("p", "q", "n"))
        if numbers or n != p * q or not (_fit(p) and _fit(q) and _fit_together(p, q)):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Not from the error at hand: it may quote the file.
        raise ProtocolError(
            f"{path} does not hold a Paillier key: restore it from a copy; what was encrypted "
            "under it cannot be opened without"
        ) from None
    return _secret(p, q)


def _secret(p: int, q: int) -> PaillierSecret:
    return PaillierSecret(PaillierPrivateKey(PaillierPublicKey(p * q), p, q))


def _prime(rng: Rng, bits: int, fits: Callable[[mpz], bool]) -> mpz:
    """A prime that fits, each such with the same probability."""
    # The two top bits make the product of two primes exactly twice as long.
    top = mpz(3) << (bits - 2)
    while True:
        candidate = mpz.from_bytes(rng(bits // 8)) | top | 3
        # What does not fit need not be prime: a third of all candidates are found so, at once.
        if fits(candidate) and gmpy2.is_prime(candidate, _PRIMALITY_ROUNDS):
            return candidate


def _fit(prime: int) -> bool:
    bits = prime.bit_length()
    # The two top bits, as ``_prime`` sets them.
    is_long_enough = bits % 8 == 0 and prime >> max(bits - 2, 0) == 3
    return is_long_enough and prime % 4 == 3 and gmpy2.is_prime(prime, _PRIMALITY_ROUNDS)


def _fit_together(p: int | mpz, q: int | mpz) -> bool:
    return p != q and p.bit_length() == q.bit_length() and gmpy2.gcd(p - 1, q - 1) == 2


@functools.cache
def _small_primes() -> mpz:
    """The product of all primes below ``_NO_FACTOR_BELOW``."""
    return gmpy2.primorial(_NO_FACTOR_BELOW)
