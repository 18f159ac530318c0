"""BFV with TenSEAL, for honest clients: lattice encryption of blinded values, a key a round.

A client cuts its vector into rows of 4096 values, one ciphertext each. Values too wide for one slot
are split into digits in base 2^w, balanced around zero, which are encrypted and added apart. Every
digit is blinded: the client adds a number that is uniform modulo the plaintexts' prime t, from a
fresh 32-byte seed. The ciphertexts go to the key holder, the seed to the aggregator. The key holder
adds ciphertexts and decrypts the sum, which is uniform to it; the aggregator takes the blinds away.
The key holder makes a new key pair for every round.

Formal guarantees:
  Against who follows the protocol, under ring learning with errors (degree 4096, ternary secrets,
  moduli of at most 109 bits: 128 bits of classical security after Albrecht et al.) and with AES as
  a pseudorandom permutation: the aggregator learns the sum, and the key holder who took part.
  Whatever the key holder has, each ciphertext's error included, is a function of blinded values and
  of randomness that depends on no vector. The two together learn every vector.

  Sums are exact. A client's error is at most ν = N/2 + 2 after SEAL has divided by the special
  prime, a blinded value that runs over t wraps without error, and decryption is exact while
  clients · ν < q / (2t). ``layout`` leaves a factor of 2, and digits whose sums stay within ±t/2.

  Nothing proves that a ciphertext was made as it should be. An aggregator together with one client
  learns any other client's vector, by having that client send a multiple of the other's ciphertext,
  and the round's key, by a ciphertext that decrypts to it. The key opens no other round.

Edge cases:
  SEAL draws its random numbers itself, from the operating system: ``rng`` draws the blinds alone.

References:
  Fan & Vercauteren 2012, Somewhat practical fully homomorphic encryption.
  Albrecht et al. 2018, Homomorphic encryption security standard.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt64

from pride_jax.aggregation.bfv_keys import BFVPublic, BFVSecret, generate
from pride_jax.aggregation.checks import (
    check_enclosed,
    check_messages,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.refusals import OutOfRangeError
from pride_jax.aggregation.seal import (
    CIPHERTEXT_BYTES,
    COEFFICIENT_BYTES,
    COEFFICIENTS,
    MODULUS,
    PLAIN_MODULUS,
    SLOTS,
    coefficients_of,
    decrypted,
    encrypted,
    from_fixed_width,
    public_context,
    to_fixed_width,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Enclosed,
    Message,
    Prepared,
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
    SUMS,
    Sight,
    both,
)
from pride_jax.aggregation.terms import Terms
from pride_jax.aggregation.words import SEED_BYTES, Words, from_bytes, is_canonical, keystream
from pride_jax.aggregation.words import to_bytes as words_to_bytes
from pride_jax.errors import ConfigError, ProtocolError

_NAME = f"bfv-{SLOTS}"
_CLIENT_ERROR = SLOTS // 2 + 2
_DRAW_BYTES = 16


class Layout(NamedTuple):
    """How a vector is cut.

    Attributes:
      digits: parts of a value.
      width: bits of a part.
      largest: magnitude of a part.
      length: values in a vector.
    """

    digits: int
    width: int
    largest: int
    length: int

    @property
    def rows(self) -> int:
        """Ciphertexts for one part of all values."""
        return -(-self.length // SLOTS)

    @property
    def enclosed_bytes(self) -> int:
        """Bytes of a client's ciphertexts."""
        return self.digits * self.rows * CIPHERTEXT_BYTES

    @property
    def residues(self) -> Words:
        """The form of numbers below t, one a digit, as they travel."""
        return Words(self.digits * self.length, PLAIN_MODULUS.bit_length())


class Encrypted(NamedTuple):
    """What a client made before it had its vector.

    Attributes:
      seed: of the blinds.
      blinds: TenSEAL's vectors, which hold the blinds.
    """

    seed: bytes
    blinds: list[Any]


def bfv() -> SecureSum:
    """BFV with one key holder, for honest clients: exact, 12 bytes a value of up to 16 bits.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``BFVSecret``, for one round; clients
      hold no key. Terms with more than 2,043 clients are refused by a ``ConfigError``.
    """
    return SecureSum(
        _NAME,
        _keygen,
        _prepare,
        _protect,
        _combine,
        _share,
        _open,
        renews=True,
        sights=_SIGHTS,
    )


_TESTS = "tests/adversary/test_bfv.py::"
_WITH_CLIENTS = f"{_TESTS}TestTheAggregatorAndAClient"
_SIGHTS = (
    Sight(
        AGGREGATOR,
        "curious",
        SUM,
        f"{_TESTS}TestTheAggregator::test_reads_seeds_ciphertexts_and_the_blinded_sum",
    ),
    Sight(
        AGGREGATOR,
        "active",
        SUMS,
        f"{_TESTS}TestTheAggregator::test_shows_one_message_as_a_cohort",
    ),
    DIFFERENCES,
    Sight(
        KEY_HOLDER,
        "curious",
        "nothing",
        f"{_TESTS}TestTheKeyHolder::test_decrypts_every_ciphertext_and_finds_noise",
    ),
    Sight(
        KEY_HOLDER,
        "active",
        "nothing; it can shift the sum",
        f"{_TESTS}TestTheKeyHolder",
    ),
    *OTHER_CLIENTS,
    Sight(
        f"{AGGREGATOR} and clients",
        "curious",
        OTHERS,
        f"{_WITH_CLIENTS}::test_have_what_is_left_without_its_vector",
    ),
    Sight(
        f"{AGGREGATOR} and clients",
        "active",
        "any other client's vector; the round's key, so all vectors of that round",
        _WITH_CLIENTS,
    ),
    *both(
        f"{AGGREGATOR} and {KEY_HOLDER}",
        EVERYTHING,
        f"{_TESTS}TestTheAggregator::test_reads_seeds_ciphertexts_and_the_blinded_sum",
    ),
)


def layout(terms: Terms) -> Layout:
    """The fewest digits whose sums over the largest cohort are always right.

    Raises:
      ConfigError: the cohort is too large even for digits of 2 bits.
    """
    if _is_exact(terms.largest_cohort, terms.largest_value):
        return Layout(1, terms.bits, terms.largest_value, terms.length)
    for digits in range(2, terms.bits // 2 + 1):
        width = -(-terms.bits // digits)
        largest = 2 ** (width - 1)
        if _is_exact(terms.largest_cohort, largest):
            return Layout(digits, width, largest, terms.length)
    raise ConfigError(
        f"{_NAME}: largest_cohort={terms.largest_cohort} with bits={terms.bits} cannot be added "
        "exactly: announce fewer clients a round, or use two_servers"
    )


def _is_exact(clients: int, largest: int) -> bool:
    no_wrap = 2 * clients * largest < PLAIN_MODULUS
    return no_wrap and 4 * clients * _CLIENT_ERROR * PLAIN_MODULUS < MODULUS


def split(where: Layout, values: Int64[np.ndarray, "length"]) -> Int64[np.ndarray, "digits length"]:
    """Values as digits: ``values == sum(digit * 2^(width * k))``, all in ±``where.largest``."""
    half = 2 ** (where.width - 1)
    digits, rest = [], values
    for _ in range(where.digits - 1):
        digits.append((rest + half) % (2 * half) - half)
        rest = (rest - digits[-1]) >> where.width
    return np.stack([*digits, rest])


def join(where: Layout, digits: Int64[np.ndarray, "digits length"]) -> Int64[np.ndarray, "length"]:
    """The values, or sums, whose digits, or sums of digits, these are."""
    weights = 2 ** (where.width * np.arange(where.digits))
    return (digits * weights[:, None]).sum(0)


def blinds(where: Layout, seed: bytes) -> Int64[np.ndarray, "digits length"]:
    """The numbers below t that a seed stands for, each reduced from 128 bits of its stream.

    A number is within 2^-104 of uniform if the stream is.

    Args:
      where: how many.
      seed: 32 uniform bytes that have no other use.
    """
    drawn = keystream(seed, _DRAW_BYTES * where.digits * where.length)
    low, high = np.frombuffer(drawn, "<u8").reshape(-1, 2).T % np.uint64(PLAIN_MODULUS)
    reduced = (high * np.uint64(2**64 % PLAIN_MODULUS) + low) % np.uint64(PLAIN_MODULUS)
    return reduced.astype(np.int64).reshape(where.digits, where.length)


def _keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
    del rng
    if role != Role.KEY_HOLDER:
        return Secret(), Public()
    secret = generate()
    return secret, secret.public


def _prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[Encrypted]:
    del secret
    where, seed = layout(directory.terms), rng(SEED_BYTES)
    context = public_context(_public_of(directory).context)
    vectors = [encrypted(context, row) for row in _in_rows(where, blinds(where, seed))]
    return Prepared(header(directory, _NAME), client, Encrypted(seed, vectors))


def _protect(
    directory: Directory, prepared: Prepared[Encrypted], vector: Int[np.ndarray, "length"]
) -> Message:
    values = check_vector(directory, prepared.client, vector)
    about, where = header(directory, _NAME), layout(directory.terms)
    seed, vectors = prepared.take(about)
    enclosed = []
    for blinded, row in zip(vectors, _in_rows(where, split(where, values)), strict=True):
        blinded.add_(row.tolist())
        enclosed.append(to_fixed_width(coefficients_of(blinded)))
    return Message(about, prepared.client, seed, b"".join(enclosed))


def _in_rows(
    where: Layout, digits: Int64[np.ndarray, "digits length"]
) -> Int64[np.ndarray, "rows slots"]:
    """One row a ciphertext, zeros after each digit's last value."""
    slots = np.zeros((where.digits, where.rows * SLOTS), np.int64)
    slots[:, : where.length] = digits
    return slots.reshape(-1, SLOTS)


def _combine(directory: Directory, messages: Sequence[Message]) -> Total:
    where = layout(directory.terms)
    accepted = check_messages(directory, _NAME, messages, SEED_BYTES, where.enclosed_bytes)
    _add(where, accepted)
    total = sum(blinds(where, message.body) for message in accepted)
    contributors = tuple(message.client for message in accepted)
    return Total(header(directory, _NAME), contributors, _residue_bytes(where, np.asarray(total)))


def _add(
    where: Layout, given: Sequence[Message] | Sequence[Enclosed]
) -> UInt64[np.ndarray, "coefficients"]:
    total = np.zeros(where.enclosed_bytes // COEFFICIENT_BYTES, np.uint64)
    modulus = np.uint64(MODULUS)
    for each in given:
        coefficients = from_fixed_width(each.enclosed)
        if coefficients.max() >= modulus:
            raise OutOfRangeError(each.client, f"a coefficient is not below {modulus}")
        total += coefficients
        np.subtract(total, modulus, out=total, where=total >= modulus)
    return total


def _share(directory: Directory, secret: Secret, question: Question) -> Share:
    if not isinstance(secret, BFVSecret) or secret.public != _public_of(directory):
        raise ProtocolError(
            f"The secret is not that of the key holder's public key in the directory of round "
            f"{directory.round}: load the key that the directory was made with"
        )
    where = layout(directory.terms)
    check_enclosed(directory, _NAME, question, where.enclosed_bytes)
    ciphertexts = _add(where, question.enclosed).reshape(-1, COEFFICIENTS)
    opened = decrypted(secret.context, ciphertexts).reshape(where.digits, -1)[:, : where.length]
    return Share(question.header, question.contributors, _residue_bytes(where, opened))


def _open(
    directory: Directory, total: Total, shares: Sequence[Share]
) -> Int64[np.ndarray, "length"]:
    terms, count = directory.terms, len(total.contributors)
    where = layout(terms)
    check_total(directory, _NAME, total, where.residues.size)
    check_shares(total, shares, 1, where.residues.size)
    blinded, blind = (_residues_in(where, body) for body in (shares[0].body, total.body))
    half = PLAIN_MODULUS // 2
    digits = (blinded - blind + half) % PLAIN_MODULUS - half
    sums = join(where, digits)
    if (
        np.abs(digits).max() > count * where.largest
        or np.abs(sums).max() > count * terms.largest_value
    ):
        raise ProtocolError(
            f"The sum of round {directory.round} holds a value that {count} clients within their "
            "range cannot reach: a message was forged or damaged; discard the round"
        )
    return sums


def _residue_bytes(where: Layout, values: Int64[np.ndarray, "digits length"]) -> bytes:
    words = where.residues
    return words_to_bytes(words, (values % PLAIN_MODULUS).ravel().astype(words.dtype))


def _residues_in(where: Layout, data: bytes) -> Int64[np.ndarray, "digits length"]:
    values = from_bytes(where.residues, data).astype(np.int64)
    if values.max() >= PLAIN_MODULUS or not is_canonical(where.residues, data):
        raise ProtocolError("Refused a total or share: it holds numbers that nobody decrypts to")
    return values.reshape(where.digits, where.length)


def _public_of(directory: Directory) -> BFVPublic:
    public = directory.keys.get(Role.KEY_HOLDER)
    if not isinstance(public, BFVPublic):
        raise ProtocolError(
            f"The directory of round {directory.round} has no BFV key of the key holder: put what "
            "keygen returned under Role.KEY_HOLDER"
        )
    return public
