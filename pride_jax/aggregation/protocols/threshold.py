"""Threshold Paillier: packed Paillier whose sums only t of n key holders together can open.

Clients and the aggregator do exactly what they do in ``paillier``. Each holder raises the total to
its share of the decryption exponent and proves that it did; t such powers give the sum.

Formal guarantees:
  A trusted dealer makes the key; it could decrypt everything and must forget it. Under the
  assumptions of ``paillier`` and in the random oracle model, t - 1 holders, corrupted before the
  round, and the aggregator together learn who contributed and the sums that were opened, and
  nothing else. No holder can make a wrong sum pass: one that gives a wrong power is named, but with
  probability 2^-128 for each hash that it tries. t holders together decrypt every message.

Availability:
  Up to n - t holders may be absent or wrong; with t = n, none.

Edge cases:
  Holders see ciphertexts only: whether a total counts its contributors is known once it is open. So
  the aggregator is semi-honest: one that cheats could have a single message opened. Holders that
  distrust it add the messages themselves (``holder.help_open``) and open one total a round each;
  then no second one can be opened if 2t > n. Nothing runs in constant time.

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
  Fouque, Poupard & Stern 2000, Sharing decryption in the context of voting or lotteries.
  Damgård & Jurik 2001, A generalisation, a simplification and some applications of Paillier's
  probabilistic public-key system, section 4.1.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting.
  Shoup 2000, Practical threshold signatures, for Δ and the proof.
  Chaum & Pedersen 1992, Wallet databases with observers.
  Bellare, Garay & Rabin 1998, Fast batch verification for modular exponentiation and digital
  signatures.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gmpy2
import numpy as np
from gmpy2 import mpz
from jaxtyping import Int64

from pride_jax.aggregation.messages import to_bytes
from pride_jax.aggregation.paillier_keys import ciphertext_bytes
from pride_jax.aggregation.protocols.paillier import (
    Exponent,
    are_ciphertexts,
    in_threads,
    join,
    packed_paillier,
    split,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
)
from pride_jax.aggregation.threshold_keys import DealtSecrets, HolderSecret, ThresholdPublic, deal
from pride_jax.errors import ConfigError, ProtocolError

_LARGEST_HOLDERS = 100
_CHALLENGE_BYTES = 16


class ShareError(ProtocolError):
    """A holder's share that must not be used; others may still open the total.

    Attributes:
      holder: the holder's index, as the share has it.
      reason: what was found and what was expected.
    """

    def __init__(self, holder: int, reason: str) -> None:
        super().__init__(holder, reason)
        self.holder = holder
        self.reason = reason

    def __str__(self) -> str:
        return f"Refused the share of holder {self.holder}: {self.reason}"


def threshold_paillier(
    key_bits: int = 3072,
    holders: int = 3,
    threshold: int = 2,
    exponent: Exponent = "default",
    workers: int = 1,
) -> SecureSum:
    """Packed Paillier encryption, opened by any ``threshold`` of ``holders`` key holders.

    ``keygen`` for ``Role.KEY_HOLDER`` is a trusted dealer: ``deal`` takes its ``DealtSecrets``
    apart into one ``HolderSecret`` for each holder, which is what ``share`` takes. ``open`` takes
    the shares of at least ``threshold`` holders; it goes on without the shares that it refuses,
    each with a ``UserWarning`` that names the holder, as long as enough are left.

    Args:
      key_bits: as for ``paillier``.
      holders: number of key holders, 2 … 100.
      threshold: how many of them open a sum, 2 … holders.
      exponent: as for ``paillier``.
      workers: processes that encrypt, and threads of the dealer, of each holder and of ``open``.

    Returns:
      The protocol; clients hold no key.

    Raises:
      ConfigError: a setting out of range.
    """
    packed = packed_paillier("threshold", ThresholdPublic, key_bits, exponent, workers)
    if not 2 <= threshold <= holders <= _LARGEST_HOLDERS:
        raise ConfigError(
            f"threshold: threshold={threshold}, holders={holders}, expected "
            f"2 <= threshold <= holders <= {_LARGEST_HOLDERS}: for one holder use paillier"
        )

    def public_of(directory: Directory) -> ThresholdPublic:
        public = packed.public(directory)
        if (public.threshold, public.holders) != (threshold, holders):
            raise ProtocolError(
                f"The key in the directory of round {directory.round} is opened by "
                f"{public.threshold} of {public.holders} holders, expected {threshold} of {holders}"
            )
        return public

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        if role != Role.KEY_HOLDER:
            return Secret(), Public()
        dealt = deal(rng, key_bits, holders, threshold, workers)
        return dealt, dealt.holders[0].public

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        public = public_of(directory)
        if not isinstance(secret, HolderSecret) or secret.public != public:
            raise ProtocolError(
                f"The secret is not one holder's of the threshold key in the directory of round "
                f"{directory.round}: load the key that the directory was made with"
            )
        ciphertexts = packed.asked(directory, question)
        # What the aggregator makes of the same messages.
        total = Total(question.header, question.contributors, join(public, ciphertexts))
        powers = partial_decryptions(secret, ciphertexts, workers)
        statement = _Statement(
            secret.index, _transcript(total, secret.index, powers), ciphertexts, powers
        )
        body = _prove(secret, statement) + join(public, powers)
        return Share(total.header, total.contributors, body, secret.index)

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        public = public_of(directory)
        ciphertexts = packed.ciphertexts(directory, total)
        valid: dict[int, list[mpz]] = {}
        refused = []
        for given in shares:
            try:
                statement = _checked(public, total, ciphertexts, given)
                if statement.holder in valid:
                    raise ShareError(statement.holder, "it has given one for this total already")
                valid[statement.holder] = statement.powers
            except ShareError as error:
                refused.append(error)
        if len(valid) < threshold:
            raise ProtocolError(
                f"{len(valid)} shares for round {total.header.round} are valid, expected at least "
                f"{threshold}: " + ("; ".join(map(str, refused)) or "wait for more holders")
            ) from next(iter(refused), None)
        for error in refused:
            warnings.warn(f"{error}; the others open round {total.header.round}", stacklevel=2)
        chosen = {holder: valid[holder] for holder in sorted(valid)[:threshold]}
        return packed.read(directory, total.contributors, decrypt_together(public, chosen, workers))

    def check(directory: Directory, total: Total, given: Share) -> None:
        _checked(public_of(directory), total, packed.ciphertexts(directory, total), given)

    def holders_of(secret: Secret) -> Sequence[Secret]:
        assert isinstance(secret, DealtSecrets)
        return secret.holders

    return SecureSum(
        packed.name,
        keygen,
        packed.prepare,
        packed.protect,
        packed.combine,
        share,
        open_total,
        quorum=lambda directory: threshold,
        check_share=check,
        deal=holders_of,
    )


def check_share(public: ThresholdPublic, total: Total, share: Share) -> int:
    """The holder that gave a share, once its proof holds.

    Args:
      public: the key.
      total: what is to be opened; the caller has checked it.
      share: what a holder says about it.

    Raises:
      ShareError: it belongs to another total, is no share, or is wrong.
    """
    return _checked(public, total, split(public, total.body), share).holder


def partial_decryptions(
    secret: HolderSecret, ciphertexts: Sequence[mpz], workers: int = 1
) -> list[mpz]:
    """One holder's powers c^(2·Δ·share) of Paillier ciphertexts.

    Args:
      secret: the holder's.
      ciphertexts: invertible numbers in 1 … n² - 1; the caller has checked it.
      workers: threads.
    """
    return _powers(secret.public, ciphertexts, 2 * secret.public.delta * secret.share, workers)


def decrypt_together(
    public: ThresholdPublic, powers: Mapping[int, Sequence[mpz]], workers: int = 1
) -> list[int]:
    """The plaintexts, below n, that ``threshold`` holders' powers of ciphertexts give.

    Args:
      public: the key.
      powers: partial decryptions, by holder; the caller has checked their proofs.
      workers: threads.

    Raises:
      ProtocolError: they are too few, or do not fit one another.
    """
    n, square = mpz(public.key.n), mpz(public.key.nsquare)
    length = len(next(iter(powers.values())))
    above, below = [mpz(1)] * length, [mpz(1)] * length
    for holder, bases in powers.items():
        coefficient = lagrange(public.delta, holder, powers)
        factors = _powers(public, bases, 2 * abs(coefficient), workers)
        side = above if coefficient > 0 else below
        side[:] = [product * factor % square for product, factor in zip(side, factors, strict=True)]
    # c^(4·Δ²·d) = 1 + n·4·Δ²·m, since d is 1 modulo n and 0 modulo the order of the obfuscators.
    unscale = gmpy2.invert(4 * public.delta**2, n)
    plaintexts = []
    for numerator, denominator in zip(above, below, strict=True):
        multiple, rest = gmpy2.f_divmod(numerator * gmpy2.invert(denominator, square) % square, n)
        if rest != 1:
            raise ProtocolError(
                f"The powers of holders {sorted(powers)} do not fit one another: if they are "
                f"{public.threshold} and their proofs hold, the public key is damaged or its "
                "dealer was wrong; make a new key"
            )
        plaintexts.append(int(multiple * unscale % n))
    return plaintexts


def lagrange(delta: int, holder: int, holders: Mapping[int, object]) -> int:
    """Δ times the Lagrange coefficient at 0 of one holder among ``holders``; always an integer."""
    others = [other for other in holders if other != holder]
    return delta * math.prod(others) // math.prod(other - holder for other in others)


class _Statement(NamedTuple):
    """That a holder's ``powers`` of ``ciphertexts`` are right, and a hash of all that."""

    holder: int
    transcript: bytes
    ciphertexts: list[mpz]
    powers: list[mpz]


def _checked(
    public: ThresholdPublic, total: Total, ciphertexts: list[mpz], share: Share
) -> _Statement:
    holder, body = share.holder, share.body
    if not 1 <= holder <= public.holders:
        raise ShareError(holder, f"expected a holder from 1 to {public.holders}")
    if (share.header, share.contributors) != (total.header, total.contributors):
        raise ShareError(
            holder,
            f"it opens another total than the one of round {total.header.round} with "
            f"{len(total.contributors)} contributions",
        )
    start = _CHALLENGE_BYTES + _response_bytes(public)
    if len(body) != start + len(total.body):
        raise ShareError(holder, f"{len(body)} bytes of body, expected {start + len(total.body)}")
    powers = split(public, body[start:])
    if not are_ciphertexts(public, powers):
        raise ShareError(holder, "a power is not an invertible number in 1 … n² - 1")
    statement = _Statement(holder, _transcript(total, holder, powers), ciphertexts, powers)
    if not _holds(public, statement, body[:start]):
        raise ShareError(holder, "its proof does not hold: the decryption is wrong")
    return statement


def _powers(
    public: ThresholdPublic, bases: Sequence[mpz], exponent: int, workers: int
) -> list[mpz]:
    square = mpz(public.key.nsquare)

    def raised(part: Sequence[mpz]) -> list[mpz]:
        return gmpy2.powmod_base_list(list(part), exponent, square)

    return in_threads(raised, bases, workers)


def _prove(secret: HolderSecret, statement: _Statement) -> bytes:
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


def _holds(public: ThresholdPublic, statement: _Statement, proof: bytes) -> bool:
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


def _pair(public: ThresholdPublic, statement: _Statement) -> tuple[mpz, mpz]:
    """A and B: all ciphertexts, and all powers, folded into one number each."""
    square = mpz(public.key.nsquare)
    size = _CHALLENGE_BYTES * len(statement.powers)
    exponents = _hash(b"coefficients", size, statement.transcript)
    return (
        gmpy2.powmod(_folded(statement.ciphertexts, exponents, square), 4, square),
        gmpy2.powmod(_folded(statement.powers, exponents, square), 2, square),
    )


def _folded(bases: Sequence[mpz], exponents: bytes, modulus: mpz) -> mpz:
    """Π base^exponent, all exponents of 16 bytes, big-endian, one after another.

    Four bits of all exponents at a time: bases with the same digit are multiplied, and running
    products raise each digit's product to its digit (Pippenger's method).
    """
    digits = exponents.hex()
    width = 2 * _CHALLENGE_BYTES
    result = mpz(1)
    for position in range(width):
        by_digit = dict.fromkeys("0123456789abcdef", mpz(1))
        for base, digit in zip(bases, digits[position::width], strict=True):
            by_digit[digit] = by_digit[digit] * base % modulus
        running = window = mpz(1)
        for digit in "fedcba987654321":
            running = running * by_digit[digit] % modulus
            window = window * running % modulus
        result = gmpy2.powmod(result, 16, modulus) * window % modulus
    return result


def _transcript(total: Total, holder: int, powers: Sequence[mpz]) -> bytes:
    """A hash of which total, under which keys, is claimed to have which powers, by whom."""
    return _hash(
        b"transcript",
        32,
        to_bytes(Message(total.header, holder, total.body)),
        np.array(total.contributors, ">u8").tobytes(),
        *(power.to_bytes(-(-power.bit_length() // 8), "big") for power in powers),
    )


def _challenge(
    public: ThresholdPublic,
    statement: _Statement,
    pair: tuple[mpz, mpz],
    commitment: Sequence[mpz],
) -> bytes:
    numbers = join(public, [*pair, *commitment])
    return _hash(b"challenge", _CHALLENGE_BYTES, statement.transcript, numbers)


def _hash(purpose: bytes, size: int, *parts: bytes) -> bytes:
    """SHAKE-256 of parts, each after its length; no purpose gives what another one gives."""
    digest = hashlib.shake_256(b"pride_jax threshold Paillier, version 1")
    for part in (purpose, *parts):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest(size)
