"""Threshold Paillier keys: a trusted dealer makes one and shares it out; keeping a holder's part.

The primes are safe, p = 2p' + 1 and q = 2q' + 1. So the squares modulo n² are a cyclic group of
order n·p'·q', whose smallest prime factor is about as long as p: no element but 1 has a small
order, and a random square generates it. The one that holders' proofs are about is hashed from the
modulus, as the base of obfuscators is.

References:
  Shamir 1979, How to share a secret.
  Fouque, Poupard & Stern 2000, Sharing decryption in the context of voting or lotteries.
  Damgård & Jurik 2001, A generalisation, a simplification and some applications of Paillier's
  probabilistic public-key system, section 4.1.
  Brandt & Damgård 1992, On generation of probable primes by incremental search.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gmpy2
import numpy as np
from gmpy2 import mpz
from phe import PaillierPublicKey

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.paillier_keys import (
    PaillierPublic,
    check_modulus,
    ciphertext_bytes,
    hashed_number,
    random_below,
)
from pride_jax.aggregation.secure_sum import Rng, Secret
from pride_jax.errors import ProtocolError

_PRIMALITY_ROUNDS = 64
_SIEVED_BELOW = 2**18
_WINDOW = 2**19


@dataclass(frozen=True)
class ThresholdPublic(PaillierPublic):
    """What clients and the aggregator need, and what a holder's proof is checked against.

    Attributes:
      threshold: number of holders that open a sum together.
      verification_keys: v^(Δ·share) modulo n² for each holder's share, by ascending index from 1.
    """

    threshold: int
    verification_keys: tuple[int, ...]

    @property
    def verification_base(self) -> int:
        """v, a square modulo n² that nobody chose."""
        return verification_base(self.key.n)

    @property
    def holders(self) -> int:
        """Number of holders."""
        return len(self.verification_keys)

    @property
    def delta(self) -> int:
        """Δ = holders!, which makes every Lagrange coefficient an integer."""
        return math.factorial(self.holders)

    def to_bytes(self) -> bytes:
        """All numbers, in fixed widths."""
        size = ciphertext_bytes(self)
        return b"".join(
            [
                super().to_bytes(),
                self.threshold.to_bytes(2, "big"),
                self.holders.to_bytes(2, "big"),
                *(key.to_bytes(size, "big") for key in self.verification_keys),
            ]
        )


@dataclass(frozen=True, repr=False)
class HolderSecret(Secret):
    """What one holder has.

    Attributes:
      index: which holder, from 1.
      share: the dealer's polynomial at ``index``, modulo n·p'·q'.
      public: the public part of the whole key.
    """

    index: int
    share: int
    public: ThresholdPublic


@dataclass(frozen=True, repr=False)
class DealtSecrets(Secret):
    """What the trusted dealer hands out and must then forget: any ``threshold`` of them decrypt.

    Attributes:
      holders: one secret for each holder, by ascending index.
    """

    holders: tuple[HolderSecret, ...]

    @property
    def public(self) -> ThresholdPublic:
        """The public part of the whole key."""
        return self.holders[0].public


def deal(rng: Rng, key_bits: int, holders: int, threshold: int, workers: int = 1) -> DealtSecrets:
    """Makes a key and shares it out, as a trusted dealer.

    The primes, the decryption exponent and the polynomial are dropped when this returns. Python
    cannot promise that no copy stays in memory until the process ends, so let it end soon.

    Args:
      rng: a cryptographic source of bytes.
      key_bits: exact bit length of the modulus, a multiple of 16.
      holders: number of shares.
      threshold: number of shares that decrypt; any fewer are independent of the primes.
      workers: threads that look for primes.
    """
    p = safe_prime(rng, key_bits // 2, workers)
    q = safe_prime(rng, key_bits // 2, workers)
    while p == q:
        q = safe_prime(rng, key_bits // 2, workers)
    n = p * q
    half_order = (p // 2) * (q // 2)
    # 0 modulo the order of every obfuscator's square, and 1 modulo n.
    exponent = half_order * gmpy2.invert(half_order, n)
    polynomial = [exponent] + [random_below(rng, n * half_order) for _ in range(threshold - 1)]
    shares = [_evaluate(polynomial, index, n * half_order) for index in range(1, holders + 1)]
    delta = math.factorial(holders)
    public = ThresholdPublic(
        PaillierPublicKey(int(n)),
        threshold,
        tuple(
            int(gmpy2.powmod(verification_base(int(n)), delta * share, n * n)) for share in shares
        ),
    )
    return DealtSecrets(
        tuple(HolderSecret(index, int(share), public) for index, share in enumerate(shares, 1))
    )


@functools.lru_cache(maxsize=4)
def verification_base(n: int) -> int:
    """v, the square of a number modulo n² that is hashed from n: it generates all squares."""
    low, high = (hashed_number(purpose, n) for purpose in (b"verification base", b"its high half"))
    return int(gmpy2.powmod(low + n * high, 2, mpz(n) * n))


def safe_prime(rng: Rng, bits: int, workers: int = 1) -> mpz:
    """The first prime p after a random number for which (p - 1)/2 is prime too.

    Args:
      rng: a cryptographic source of bytes.
      bits: exact length of p, a multiple of 8; its two top bits are set.
      workers: threads; primality tests run side by side.
    """
    top = mpz(3) << (bits - 3)
    with ThreadPoolExecutor(workers) as threads:
        while True:
            start = mpz.from_bytes(rng(bits // 8)) % (mpz(1) << (bits - 3)) | top | 1
            candidates = [start + 2 * int(step) for step in _sieve(start)]
            batch = 32 * workers
            for at in range(0, len(candidates), batch):
                for prime in threads.map(_safe_prime, candidates[at : at + batch]):
                    if prime and prime.bit_length() == bits:
                        return prime


def public_from_bytes(data: bytes, key_bits: int, holders: int, threshold: int) -> ThresholdPublic:
    """The key in ``data``, which is nothing but what ``to_bytes`` made of a key of that kind.

    Raises:
      ProtocolError: anything else.
    """
    size, counts_at = key_bits // 4, key_bits // 8
    keys_at = counts_at + 4
    counts = data[counts_at:keys_at]
    found = int.from_bytes(counts[:2], "big"), int.from_bytes(counts[2:], "big")
    expected = keys_at + holders * size
    if len(data) != expected or found != (threshold, holders):
        raise ProtocolError(
            f"A threshold key of {len(data)} bytes for {found[0]} of {found[1]} holders, expected "
            f"{expected} bytes for {threshold} of {holders} holders and {key_bits} bits: enrol it "
            "again"
        )
    n = int.from_bytes(data[:counts_at], "big")
    check_modulus(key_bits, n)
    keys = tuple(
        int.from_bytes(data[at : at + size], "big") for at in range(keys_at, expected, size)
    )
    if any(not 1 < key < n * n or gmpy2.gcd(key, n) != 1 for key in keys):
        raise ProtocolError(
            "A threshold key with a verification key that is not an invertible number in "
            "2 … n² - 1: enrol it again"
        )
    return ThresholdPublic(PaillierPublicKey(n), threshold, keys)


def save_secret(folder: Path, secret: DealtSecrets) -> None:
    """Keeps every holder's secret in one folder: for simulation, in which one process plays them.

    Raises:
      ProtocolError: the folder holds a secret already, or is open to others.
    """
    for holder in secret.holders:
        save_holder(folder, holder)


def load_secret(folder: Path) -> DealtSecrets:
    """What ``save_secret`` kept.

    Raises:
      ProtocolError: no such secrets, damaged, of different keys, or others could read them.
    """
    first = load_holder(folder, 1)
    others = (load_holder(folder, index) for index in range(2, first.public.holders + 1))
    holders = (first, *others)
    if any(holder.public != first.public for holder in holders):
        raise ProtocolError(f"{folder} holds shares of different keys: restore them from a copy")
    return DealtSecrets(holders)


def save_holder(folder: Path, secret: HolderSecret) -> None:
    """Keeps one holder's secret in a folder that only its owner can enter.

    Args:
      folder: made with mode 0700 if it is missing; the file in it gets mode 0600. Each holder needs
        a folder, and an account, of its own; one for all of them is for simulation.
      secret: the holder's.

    Raises:
      ProtocolError: the folder holds this holder's secret already, or is open to others.
    """
    public = secret.public
    numbers = {
        "index": secret.index,
        "share": hex(secret.share),
        "n": hex(public.key.n),
        "threshold": public.threshold,
        "verification_keys": [hex(key) for key in public.verification_keys],
    }
    write_owner_only(_file(folder, secret.index), json.dumps(numbers).encode())


def load_holder(folder: Path, index: int) -> HolderSecret:
    """The secret of holder ``index`` that ``save_holder`` kept.

    Raises:
      ProtocolError: no such secret, damaged, or others could read it.
    """
    path = _file(folder, index)
    data = read_owner_only(path)
    try:
        numbers = json.loads(data)
        public = ThresholdPublic(
            PaillierPublicKey(int(numbers["n"], 16)),
            numbers["threshold"],
            tuple(int(key, 16) for key in numbers["verification_keys"]),
        )
        secret = HolderSecret(numbers["index"], int(numbers["share"], 16), public)
        if secret.index != index or not _fits(secret):
            raise ValueError
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        # Not from the error at hand: it may quote the file.
        raise ProtocolError(
            f"{path} does not hold the threshold key of holder {index}: restore it from a copy, or "
            "go on with the other holders"
        ) from None
    return secret


def _file(folder: Path, index: int) -> Path:
    return Path(folder) / f"threshold-key-{index}.json"


def _fits(secret: HolderSecret) -> bool:
    public = secret.public
    exponent = public.delta * secret.share
    power = gmpy2.powmod(public.verification_base, exponent, public.key.nsquare)
    return (
        secret.share > 0
        and 2 <= public.threshold <= public.holders
        and power == public.verification_keys[secret.index - 1]
    )


def _evaluate(polynomial: list[mpz], at: int, modulus: mpz) -> mpz:
    value = mpz(0)
    for coefficient in reversed(polynomial):
        value = (value * at + coefficient) % modulus
    return value


def _safe_prime(half: mpz) -> mpz | None:
    """2·half + 1 if it and half are prime; Fermat's test to the base 2 drops nearly all others."""
    prime = 2 * half + 1
    with gmpy2.context(allow_release_gil=True):
        if gmpy2.powmod(2, half - 1, half) != 1 or gmpy2.powmod(2, prime - 1, prime) != 1:
            return None
    if gmpy2.is_prime(half, _PRIMALITY_ROUNDS) and gmpy2.is_prime(prime, _PRIMALITY_ROUNDS):
        return prime
    return None


def _sieve(start: mpz) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """The steps k for which neither start + 2k nor 2·(start + 2k) + 1 has a small factor."""
    possible = np.ones(_WINDOW, bool)
    for prime in _small_primes():
        half = (prime + 1) // 2
        first = -int(start % prime) * half
        possible[first % prime :: prime] = False
        possible[(first - half * half) % prime :: prime] = False
    return np.flatnonzero(possible)


@functools.cache
def _small_primes() -> list[int]:
    """The odd primes below ``_SIEVED_BELOW``."""
    prime = np.ones(_SIEVED_BELOW, bool)
    prime[:2] = prime[4::2] = False
    for factor in range(3, math.isqrt(_SIEVED_BELOW) + 1, 2):
        prime[factor * factor :: factor] = False
    return np.flatnonzero(prime)[1:].tolist()
