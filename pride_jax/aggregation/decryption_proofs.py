"""Proofs that a holder of a threshold key raised ciphertexts to its share of the exponent.

The proof:
  SQ, the squares modulo n², is cyclic and no element but 1 has an order below 2^128 (see
  ``threshold_keys``). For ciphertexts c_j, the holder's powers d_j = c_j^(2Δs) and its verification
  key w = v^(Δs), let the elements D_j = d_j² / c_j^(4Δs) of SQ be what the d_j are wrong by.

  All ciphertexts at once: random 128-bit numbers e_j, hashed from everything above, give
  A = Π c_j^(4·e_j) and B = Π d_j^(2·e_j). If some D_j is not 1, its order exceeds 2^128, so at most
  one choice of e_j for the given others makes Π D_j^(e_j) = 1, that is B = A^(Δs): a wrong power
  survives with probability 2^-128 (the small-exponents test).

  B = A^(Δs) is proved by equality of logarithms: a = v^r, b = A^r, a challenge e hashed from all of
  it, z = r + e·Δs. If two challenges below 2^128 could be answered for the same a and b, then
  v^(z-z') = w^(e-e') and A^(z-z') = B^(e-e'); e - e' is invertible modulo the order of SQ, and
  v generates SQ, so (z - z')/(e - e') is Δs modulo that order and B = A^(Δs). Hence for a false
  statement one challenge at most can be answered. r is longer than e·Δs by 128 bits, so z tells
  nothing about s; it is hashed from s and the statement, so no statement is proved with two r.

  A power is proved but for its sign and the like: opening uses its square.

References:
  Shoup 2000, Practical threshold signatures, for Δ and the proof.
  Chaum & Pedersen 1992, Wallet databases with observers.
  Bellare, Garay & Rabin 1998, Fast batch verification for modular exponentiation and digital
  signatures.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import gmpy2
from gmpy2 import mpz

from pride_jax.aggregation.packed_paillier import join
from pride_jax.aggregation.paillier_keys import ciphertext_bytes
from pride_jax.aggregation.product_of_powers import product_of_powers
from pride_jax.aggregation.threshold_keys import HolderSecret, ThresholdPublic

_CHALLENGE_BYTES = 16


class Statement(NamedTuple):
    """That a holder's powers of ciphertexts are right.

    Attributes:
      holder: its index.
      transcript: a hash of the sum, the ciphertexts, the powers and whose they are.
      ciphertexts: c_j.
      powers: d_j.
    """

    holder: int
    transcript: bytes
    ciphertexts: list[mpz]
    powers: list[mpz]


def state(
    public: ThresholdPublic,
    holder: int,
    about: bytes,
    ciphertexts: list[mpz],
    powers: list[mpz],
) -> Statement:
    """A statement about powers of ciphertexts in the sum that ``about`` names."""
    size = ciphertext_bytes(public)
    transcript = _hash(
        b"transcript",
        32,
        holder.to_bytes(2, "big"),
        about,
        join(ciphertexts, size),
        join(powers, size),
    )
    return Statement(holder, transcript, ciphertexts, powers)


def proof_bytes(public: ThresholdPublic) -> int:
    """Bytes of a proof."""
    return _CHALLENGE_BYTES + _response_bytes(public)


def prove(secret: HolderSecret, statement: Statement) -> bytes:
    """The proof of a true statement; the same each time."""
    public = secret.public
    square = mpz(public.key.nsquare)
    size = _response_bytes(public)
    exponent = public.delta * secret.share
    known = secret.share.to_bytes(ciphertext_bytes(public), "big")
    nonce = mpz.from_bytes(_hash(b"nonce", size - 1, known, statement.transcript), "big")
    pair = _pair(public, statement)
    commitment = gmpy2.powmod_base_list([mpz(public.verification_base), pair[0]], nonce, square)
    challenge = _challenge(public, statement, pair, commitment)
    response = nonce + int.from_bytes(challenge, "big") * exponent
    return challenge + response.to_bytes(size, "big")


def holds(public: ThresholdPublic, statement: Statement, proof: bytes) -> bool:
    """Whether a proof of ``proof_bytes`` shows that the statement is true."""
    square = mpz(public.key.nsquare)
    challenge = proof[:_CHALLENGE_BYTES]
    response = mpz.from_bytes(proof[_CHALLENGE_BYTES:], "big")
    pair = _pair(public, statement)
    bases = [mpz(public.verification_base), pair[0]]
    results = [mpz(public.verification_keys[statement.holder - 1]), pair[1]]
    commitment = [
        raised * gmpy2.invert(claimed, square) % square
        for raised, claimed in zip(
            gmpy2.powmod_base_list(bases, response, square),
            gmpy2.powmod_base_list(results, int.from_bytes(challenge, "big"), square),
            strict=True,
        )
    ]
    return challenge == _challenge(public, statement, pair, commitment)


def _response_bytes(public: ThresholdPublic) -> int:
    # As long as e·Δ·share below Δ·n²·2^128, 128 bits to hide it, and a byte for the carry.
    exponent = public.delta * public.key.nsquare
    return -(-exponent.bit_length() // 8) + _CHALLENGE_BYTES + 16 + 1


def _pair(public: ThresholdPublic, statement: Statement) -> tuple[mpz, mpz]:
    """A and B: all ciphertexts, and all powers, folded into one number each."""
    square = mpz(public.key.nsquare)
    hashed = _hash(b"coefficients", _CHALLENGE_BYTES * len(statement.powers), statement.transcript)
    coefficients = [
        int.from_bytes(hashed[at : at + _CHALLENGE_BYTES], "big")
        for at in range(0, len(hashed), _CHALLENGE_BYTES)
    ]

    def folded(bases: Sequence[mpz]) -> mpz:
        return product_of_powers(bases, coefficients, 8 * _CHALLENGE_BYTES, square)

    return (
        gmpy2.powmod(folded(statement.ciphertexts), 4, square),
        gmpy2.powmod(folded(statement.powers), 2, square),
    )


def _challenge(
    public: ThresholdPublic,
    statement: Statement,
    pair: tuple[mpz, mpz],
    commitment: Sequence[mpz],
) -> bytes:
    numbers = join([*pair, *commitment], ciphertext_bytes(public))
    return _hash(b"challenge", _CHALLENGE_BYTES, statement.transcript, numbers)


def _hash(purpose: bytes, size: int, *parts: bytes) -> bytes:
    """SHAKE-256 of parts, each after its length; no purpose gives what another one gives."""
    digest = hashlib.shake_256(b"pride_jax threshold Paillier, version 2")
    for part in (purpose, *parts):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest(size)
