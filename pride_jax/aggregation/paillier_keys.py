"""Paillier keys: python-paillier's, fit for Damgård–Jurik–Nielsen obfuscation; making and keeping.

Any ciphertext under ``PaillierPublic.key`` decrypts with python-paillier alone, and the reverse.

References:
  Paillier 1999, Public-key cryptosystems based on composite degree residuosity classes.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting, section 4.2 for ``obfuscation_base``.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import json
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


@dataclass(frozen=True)
class PaillierPublic(Public):
    """What clients and the aggregator need.

    Attributes:
      key: python-paillier's key, with the modulus ``n``.
      obfuscation_base: h_s = h^n mod n² for h = -x² mod n, x random; its powers hide plaintexts.
    """

    key: PaillierPublicKey
    obfuscation_base: int

    def to_bytes(self) -> bytes:
        """Both numbers, in the fixed width of n²."""
        size = ciphertext_bytes(self)
        return self.key.n.to_bytes(size, "big") + self.obfuscation_base.to_bytes(size, "big")


@dataclass(frozen=True, repr=False)
class PaillierSecret(Secret):
    """What the key holder has.

    Attributes:
      key: python-paillier's private key, with the primes ``p`` and ``q``.
      public: its public part.
    """

    key: PaillierPrivateKey
    public: PaillierPublic


def generate(rng: Rng, key_bits: int) -> PaillierSecret:
    """A key pair with primes p ≡ q ≡ 3 (mod 4) of half the size and gcd(p - 1, q - 1) = 2.

    Args:
      rng: a cryptographic source of bytes.
      key_bits: exact bit length of the modulus, a multiple of 16.
    """
    p = _prime(rng, key_bits // 2)
    q = _prime(rng, key_bits // 2)
    while p == q or gmpy2.gcd(p - 1, q - 1) != 2:
        q = _prime(rng, key_bits // 2)
    return _secret(int(p), int(q), obfuscation_base(rng, p * q))


def obfuscation_base(rng: Rng, n: mpz) -> int:
    """h^n mod n² for h = -x² mod n, x random and invertible."""
    x = random_below(rng, n)
    while gmpy2.gcd(x, n) != 1:
        x = random_below(rng, n)
    return int(gmpy2.powmod(-x * x % n, n, n * n))


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
    size = key_bits // 4
    if len(data) != 2 * size:
        raise ProtocolError(
            f"A {key_bits}-bit Paillier key of {len(data)} bytes, expected {2 * size}: enrol it "
            "again"
        )
    n, base = (int.from_bytes(data[at : at + size], "big") for at in (0, size))
    check_public_numbers(key_bits, n, (base,))
    return PaillierPublic(PaillierPublicKey(n), base)


def check_public_numbers(key_bits: int, n: int, bases: tuple[int, ...]) -> None:
    """Refuses a modulus of another size, or a base that is none modulo n².

    Raises:
      ProtocolError: as above.
    """
    if n.bit_length() != key_bits or not n % 2:
        raise ProtocolError(
            f"A Paillier modulus of {n.bit_length()} bits, expected an odd one of {key_bits}: "
            "enrol the key again"
        )
    if any(not 1 < base < n * n or gmpy2.gcd(base, n) != 1 for base in bases):
        raise ProtocolError(
            "A Paillier key whose base is not an invertible number in 2 … n² - 1: enrol it again"
        )


def save_secret(folder: Path, secret: PaillierSecret) -> None:
    """Keeps a key pair in a folder that only its owner can enter.

    Args:
      folder: made with mode 0700 if it is missing; the file in it gets mode 0600.
      secret: the key.

    Raises:
      ProtocolError: the folder holds a key already, or is open to others.
    """
    numbers = {
        "p": hex(secret.key.p),
        "q": hex(secret.key.q),
        "obfuscation_base": hex(secret.public.obfuscation_base),
    }
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
        p, q, base = (int(numbers[name], 16) for name in ("p", "q", "obfuscation_base"))
        if not (_fit(p) and _fit(q) and p != q and 1 < base < (p * q) ** 2):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        # Not from the error at hand: it may quote the file.
        raise ProtocolError(
            f"{path} does not hold a Paillier key: restore it from a copy; what was encrypted "
            "under it cannot be opened without"
        ) from None
    return _secret(p, q, base)


def _secret(p: int, q: int, base: int) -> PaillierSecret:
    key = PaillierPublicKey(p * q)
    return PaillierSecret(PaillierPrivateKey(key, p, q), PaillierPublic(key, base))


def _prime(rng: Rng, bits: int) -> mpz:
    # The two top bits make the product of two primes exactly twice as long.
    top = mpz(3) << (bits - 2)
    candidate = mpz.from_bytes(rng(bits // 8)) | top | 3
    while not gmpy2.is_prime(candidate, _PRIMALITY_ROUNDS):
        candidate = mpz.from_bytes(rng(bits // 8)) | top | 3
    return candidate


def _fit(prime: int) -> bool:
    return prime % 4 == 3 and gmpy2.is_prime(prime, _PRIMALITY_ROUNDS)
