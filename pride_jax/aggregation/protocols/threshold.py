"""Threshold Paillier: packed Paillier whose sums only t of n key holders together can open.

Clients and the aggregator do what they do in ``paillier``. Each holder adds up what the clients
enclosed, raises it to its share of the decryption exponent and proves that it did
(``decryption_proofs``); t such powers give the sum of vectors and blinds, and the aggregator takes
the blinds away.

Formal guarantees:
  A trusted dealer makes the key; it could decrypt everything and must forget it. Under the
  assumptions of ``paillier``, and as far as said there: t - 1 holders, corrupted before the round,
  together with the aggregator and any clients, learn who contributed and the sums that were opened,
  whatever they send. Without the aggregator any number of holders, with any clients, learn who
  contributed. t holders and the aggregator together learn every vector. An honest holder opens one
  sum a round (``holder.help_open``), so no second one can be opened if 2t > n + corrupted: with the
  default 3 of 4, against the aggregator with one holder and any clients.

  Integrity: no holder can make a wrong sum pass. One that gives a wrong power is named, but with
  probability 2^-128 for each hash that it tries. Clients can send what is out of range.

Availability:
  Up to n - t holders may be absent or wrong; with t = n, none.

Edge cases:
  Two clients: each learns the other's vector from the sum. Nothing runs in constant time.

References:
  Fouque, Poupard & Stern 2000, Sharing decryption in the context of voting or lotteries.
  Damgård & Jurik 2001, A generalisation, a simplification and some applications of Paillier's
  probabilistic public-key system, section 4.1.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting.
  Cramer, Damgård & Nielsen 2001, Multiparty computation from threshold homomorphic encryption.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import gmpy2
import numpy as np
from gmpy2 import mpz
from jaxtyping import Int64

from pride_jax.aggregation.checks import check_total
from pride_jax.aggregation.decryption_proofs import Statement, holds, proof_bytes, prove, state
from pride_jax.aggregation.messages import header_bytes
from pride_jax.aggregation.packed_paillier import (
    CHOSEN_COHORTS,
    WITH_CLIENTS,
    Exponent,
    are_ciphertexts,
    join,
    packed_paillier,
    split,
)
from pride_jax.aggregation.paillier_keys import ciphertext_bytes
from pride_jax.aggregation.processes import ALONE, Work, in_threads
from pride_jax.aggregation.secure_sum import (
    Directory,
    Header,
    Message,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
    header,
)
from pride_jax.aggregation.sights import (
    AGGREGATOR,
    DIFFERENCES,
    EVERYTHING,
    KEY_HOLDER,
    OTHER_CLIENTS,
    OTHERS,
    SUM,
    Sight,
    both,
)
from pride_jax.aggregation.threshold_keys import DealtSecrets, HolderSecret, ThresholdPublic, deal
from pride_jax.errors import ConfigError, ProtocolError
from pride_jax.progress import Tell, silent

_LARGEST_HOLDERS = 100
_SUM = b"PRIDEtsh"


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
    holders: int = 4,
    threshold: int = 3,
    exponent: Exponent = "default",
    workers: int = 1,
    tell: Tell = silent,
) -> SecureSum:
    """Packed Paillier encryption, opened by any ``threshold`` of ``holders`` key holders.

    ``keygen`` for ``Role.KEY_HOLDER`` is a trusted dealer: ``deal`` takes its ``DealtSecrets``
    apart into one ``HolderSecret`` for each holder, which is what ``share`` takes. ``open`` takes
    the shares of at least ``threshold`` holders; it goes on without the shares that it refuses,
    each with a ``UserWarning`` that names the holder, as long as enough are left.

    Args:
      key_bits: as for ``paillier``.
      holders: number of key holders, 2 … 100.
      threshold: how many of them open a sum, more than half. With 3 of 4 one may be corrupted and
        one absent; with 2 of 3, one corrupted holder and the aggregator open two sums of a round.
      exponent: as for ``paillier``.
      workers: processes that encrypt, and threads of the dealer, of each holder and of ``open``.
      tell: as for ``paillier``.

    Returns:
      The protocol; clients hold no key.

    Raises:
      ConfigError: a setting out of range.
    """
    work = Work(workers, tell)
    packed = packed_paillier("threshold", ThresholdPublic, key_bits, exponent, work)
    if not (2 <= threshold <= holders <= _LARGEST_HOLDERS and 2 * threshold > holders):
        raise ConfigError(
            f"threshold: threshold={threshold}, holders={holders}, expected "
            f"2 <= threshold <= holders <= {_LARGEST_HOLDERS}, and more than half of the holders, "
            "who would open two sums of a round else: for one holder use paillier"
        )

    plaintext_bytes = key_bits // 8

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
        powers = partial_decryptions(secret, ciphertexts, work)
        about = _about(question.header, question.contributors)
        proof = prove(secret, state(public, secret.index, about, ciphertexts, powers))
        body = proof + join(powers, ciphertext_bytes(public))
        return Share(question.header, question.contributors, body, secret.index)

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        public = public_of(directory)
        accepted = packed.accepted(directory, messages)
        contributors = tuple(message.client for message in accepted)
        products = packed.products(directory, accepted)
        body = join(products, ciphertext_bytes(public))
        body += join(packed.blinds(directory, accepted), plaintext_bytes)
        return Total(header(directory, packed.name), contributors, body)

    def opened(directory: Directory, total: Total) -> _Sum:
        """The total, checked."""
        public = public_of(directory)
        size, count = ciphertext_bytes(public), packed.plaintexts(directory)
        check_total(directory, packed.name, total, count * (size + plaintext_bytes))
        ciphertexts = split(total.body[: count * size], size)
        if not are_ciphertexts(public, ciphertexts):
            raise ProtocolError(
                f"Refused a total of round {directory.round}: it holds what is not a ciphertext"
            )
        blinds = split(total.body[count * size :], plaintext_bytes)
        return _Sum(total.header, total.contributors, ciphertexts, blinds)

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        public = public_of(directory)
        summed = opened(directory, total)
        valid: dict[int, list[mpz]] = {}
        refused = []
        for given in shares:
            try:
                statement = _checked(public, summed, given)
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
        blinded = decrypt_together(public, chosen, work)
        return packed.read(directory, total.contributors, blinded, summed.blinds)

    def check(directory: Directory, total: Total, given: Share) -> None:
        _checked(public_of(directory), opened(directory, total), given)

    def holders_of(secret: Secret) -> Sequence[Secret]:
        assert isinstance(secret, DealtSecrets)
        return secret.holders

    return SecureSum(
        packed.name,
        keygen,
        packed.prepare,
        packed.protect,
        combine,
        share,
        open_total,
        quorum=lambda directory: threshold,
        check_share=check,
        deal=holders_of,
        sights=_sights(holders, threshold),
    )


def _sights(holders: int, threshold: int) -> tuple[Sight, ...]:
    mounted = "tests/adversary/test_key_holder_alone.py::"
    below, blinds = f"{mounted}TestBelowTheThreshold::", f"{mounted}TestBlinds::"
    # Two sums of a round need two answers of enough honest holders, who give one each.
    one_sum = min(2 * threshold - holders - 1, threshold - 1)
    found = [
        Sight(AGGREGATOR, "curious", SUM, f"{below}test_one_holders_powers_open_nothing"),
        CHOSEN_COHORTS,
        DIFFERENCES,
        *both(
            f"any {KEY_HOLDER}s",
            "nothing",
            f"{blinds}test_key_holders_find_uniform_numbers",
        ),
        *OTHER_CLIENTS,
        *WITH_CLIENTS,
        *both(
            f"any {KEY_HOLDER}s, and clients",
            "what these clients are sent",
            f"{blinds}test_clients_help_them_no_further",
        ),
    ]
    nothing_alone = f"{below}test_one_holders_powers_open_nothing"
    if one_sum > 0:
        who = f"{AGGREGATOR}, clients, and up to {one_sum} {KEY_HOLDER}s"
        found += [
            Sight(who, "curious", OTHERS, nothing_alone),
            Sight(
                who,
                "active",
                f"as the {AGGREGATOR} and clients",
                f"{below}test_too_few_honest_holders_are_left_for_a_second_sum",
            ),
        ]
    if one_sum < threshold - 1:
        who = f"{AGGREGATOR}, clients, and {one_sum + 1} to {threshold - 1} {KEY_HOLDER}s"
        found += [
            Sight(who, "curious", OTHERS, nothing_alone),
            Sight(
                who,
                "active",
                "several such sums of one round, whose difference may be one client's vector",
                f"{below}test_a_second_honest_holder_is_asked_for_another_sum",
            ),
        ]
    return (
        *found,
        *both(
            f"{AGGREGATOR} and {threshold} {KEY_HOLDER}s",
            EVERYTHING,
            f"{blinds}test_with_the_aggregator_they_read_every_vector",
        ),
    )


def partial_decryptions(
    secret: HolderSecret, ciphertexts: Sequence[mpz], work: Work = ALONE
) -> list[mpz]:
    """One holder's powers c^(2·Δ·share) of Paillier ciphertexts.

    Args:
      secret: the holder's.
      ciphertexts: invertible numbers in 1 … n² - 1; the caller has checked it.
      work: in threads.
    """
    stage = f"powers of key holder {secret.index}"
    exponent = 2 * secret.public.delta * secret.share
    return _powers(secret.public, ciphertexts, exponent, work, stage)


def decrypt_together(
    public: ThresholdPublic, powers: Mapping[int, Sequence[mpz]], work: Work = ALONE
) -> list[mpz]:
    """The plaintexts, below n, that ``threshold`` holders' powers of ciphertexts give.

    Args:
      public: the key.
      powers: partial decryptions, by holder; the caller has checked their proofs.
      work: in threads.

    Raises:
      ProtocolError: they are too few, or do not fit one another.
    """
    n, square = mpz(public.key.n), mpz(public.key.nsquare)
    length = len(next(iter(powers.values())))
    above, below = [mpz(1)] * length, [mpz(1)] * length
    for holder, bases in powers.items():
        coefficient = lagrange(public.delta, holder, powers)
        factors = _powers(public, bases, 2 * abs(coefficient), work, "combining powers")
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
        plaintexts.append(multiple * unscale % n)
    return plaintexts


def lagrange(delta: int, holder: int, holders: Mapping[int, object]) -> int:
    """Δ times the Lagrange coefficient at 0 of one holder among ``holders``; always an integer."""
    others = [other for other in holders if other != holder]
    return delta * math.prod(others) // math.prod(other - holder for other in others)


class _Sum(NamedTuple):
    """A total that has been checked: ciphertexts of blinded plaintexts, and sums of the blinds."""

    header: Header
    contributors: tuple[int, ...]
    ciphertexts: list[mpz]
    blinds: list[mpz]


def _checked(public: ThresholdPublic, summed: _Sum, share: Share) -> Statement:
    """What a share says, once its proof holds."""
    holder, body = share.holder, share.body
    about, contributors, ciphertexts, _ = summed
    if not 1 <= holder <= public.holders:
        raise ShareError(holder, f"expected a holder from 1 to {public.holders}")
    if (share.header, share.contributors) != (about, contributors):
        raise ShareError(
            holder,
            f"it opens another total than the one of round {about.round} with "
            f"{len(contributors)} contributions",
        )
    start, size = proof_bytes(public), ciphertext_bytes(public)
    if len(body) != start + size * len(ciphertexts):
        raise ShareError(
            holder, f"{len(body)} bytes of body, expected {start + size * len(ciphertexts)}"
        )
    powers = split(body[start:], size)
    if not are_ciphertexts(public, powers):
        raise ShareError(holder, "a power is not an invertible number in 1 … n² - 1")
    statement = state(public, holder, _about(about, contributors), ciphertexts, powers)
    if not holds(public, statement, body[:start]):
        raise ShareError(holder, "its proof does not hold: the decryption is wrong")
    return statement


def _about(about: Header, contributors: tuple[int, ...]) -> bytes:
    """Which sum is opened: nothing else has these bytes."""
    return header_bytes(about, len(contributors), _SUM) + np.array(contributors, ">u8").tobytes()


def _powers(
    public: ThresholdPublic, bases: Sequence[mpz], exponent: int, work: Work, stage: str
) -> list[mpz]:
    square = mpz(public.key.nsquare)

    def raised(part: Sequence[mpz]) -> list[mpz]:
        return gmpy2.powmod_base_list(list(part), exponent, square)

    return in_threads(raised, bases, work, stage)
