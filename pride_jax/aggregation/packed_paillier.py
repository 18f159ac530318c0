"""Packed Paillier but for the key: what clients and the aggregator do, and what holders add up.

A message's body is a 32-byte seed, for the aggregator alone. What it encloses is ciphertexts of the
packed vector plus the seed's stream modulo n (``blinding``), and a proof that the sender knows what
they hold (``plaintext_proofs``), bound to the round, its directory and the client.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
from collections.abc import Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import gmpy2
import numpy as np
from gmpy2 import mpz
from jaxtyping import Int, Int64

from pride_jax.aggregation import plaintext_proofs
from pride_jax.aggregation.blinding import blinds
from pride_jax.aggregation.checks import check_enclosed, check_messages, check_vector
from pride_jax.aggregation.messages import header_bytes
from pride_jax.aggregation.obfuscators import powers
from pride_jax.aggregation.packing import Layout, layout, pack, unpack
from pride_jax.aggregation.paillier_keys import PaillierPublic, ciphertext_bytes
from pride_jax.aggregation.plaintext_proofs import Mask, Proving, draw_mask, prove
from pride_jax.aggregation.processes import Work, in_processes
from pride_jax.aggregation.refusals import (
    MessageError,
    NotInvertibleError,
    OutOfRangeError,
    UnprovedError,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Enclosed,
    Message,
    Prepared,
    Question,
    Rng,
    Role,
    Secret,
    header,
)
from pride_jax.aggregation.sights import AGGREGATOR, OTHERS, SUMS, Sight
from pride_jax.aggregation.words import SEED_BYTES
from pride_jax.errors import ConfigError, ProtocolError

SECURITY_BITS = {1024: 80, 2048: 112, 3072: 128, 4096: 152}
"""Key bits -> symmetric security bits (NIST SP 800-57, and 800-56B for 4096). 1024 is for tests and
benchmarks only."""

Exponent = Literal["default", "strict"]

_WORTH_A_PROCESS = 64
"""Fewer ciphertexts than this are made, or checked, sooner than a worker process starts."""
_AT_A_TIME = 256
"""Obfuscators, of half a millisecond each."""
_CONTEXT = b"PRIDEpok"
_Key = TypeVar("_Key", bound=PaillierPublic)
_TESTS = "tests/adversary/test_ciphertexts_of_others.py::"
CHOSEN_COHORTS = Sight(
    AGGREGATOR,
    "active",
    SUMS,
    f"{_TESTS}TestTheAggregatorAlone::test_opens_no_single_message_and_no_second_sum",
)
WITH_CLIENTS = (
    Sight(
        f"{AGGREGATOR} and clients",
        "curious",
        OTHERS,
        f"{_TESTS}TestOneClient::test_the_colluders_own_plaintext_is_all_that_it_can_send",
    ),
    Sight(
        f"{AGGREGATOR} and clients",
        "active",
        f"as the {AGGREGATOR}, and what is left of a sum without theirs",
        f"{_TESTS}TestOneClient::test_it_cannot_prove_that_it_knows_them",
    ),
)
"""Whoever holds the key."""


def exponent_bits(key_bits: int, exponent: Exponent) -> int:
    """Bits of an obfuscator's random exponent.

    ``"strict"`` is |n|/2, as Damgård, Jurik & Nielsen have it: an obfuscator is then
    indistinguishable from a random power under their assumptions alone. ``"default"`` is four times
    the security level, 448 at 2048 and 512 at 3072: it rests on the further assumption that a power
    with such a short exponent looks random (discrete logarithms with short exponents), whose
    generic attacks need an exponent of only twice the level.
    """
    return key_bits // 2 if exponent == "strict" else 4 * SECURITY_BITS[key_bits]


class Material(NamedTuple):
    """What a client draws for one message.

    Attributes:
      seed: of the blinds.
      exponents: of the obfuscators.
      obfuscators: one a ciphertext.
      mask: of the proof.
    """

    seed: bytes
    exponents: list[bytes]
    obfuscators: list[mpz]
    mask: Mask


class PackedPaillier(NamedTuple, Generic[_Key]):
    """What clients and the aggregator do, whoever holds the key, and what opening begins with.

    Attributes:
      name: the scheme and its key size, as in ``Header.protocol``.
      prepare: as in ``SecureSum``.
      protect: as in ``SecureSum``.
      public: directory -> the public key in it.
      accepted: directory, messages -> these by ascending client, once all of them are fit to add.
      products: directory, what clients enclosed -> the products of their ciphertexts.
      asked: directory, question -> the products of what its contributors enclosed, checked: nothing
        that the aggregator says is believed.
      blinds: directory, messages -> the sums of what hides their plaintexts, modulo n.
      plaintexts: directory -> how many plaintexts a vector has.
      read: directory, contributors, decrypted products, sums of blinds -> the sum of the vectors,
        once its slots are possible.
    """

    name: str
    prepare: Callable[[Rng, Directory, Secret, int], Prepared[Material]]
    protect: Callable[[Directory, Prepared[Material], Int[np.ndarray, "length"]], Message]
    public: Callable[[Directory], _Key]
    accepted: Callable[[Directory, Sequence[Message]], list[Message]]
    products: Callable[[Directory, Sequence[Message] | Sequence[Enclosed]], list[mpz]]
    asked: Callable[[Directory, Question], list[mpz]]
    blinds: Callable[[Directory, Sequence[Message]], list[mpz]]
    plaintexts: Callable[[Directory], int]
    read: Callable[
        [Directory, tuple[int, ...], Sequence[mpz], Sequence[mpz]], Int64[np.ndarray, "length"]
    ]


def packed_paillier(
    scheme: str, kind: type[_Key], key_bits: int, exponent: Exponent, work: Work
) -> PackedPaillier[_Key]:
    """The part of packed Paillier that does not depend on who holds the key.

    Args:
      scheme: what the protocol is called, without its key size.
      kind: type of its public key.
      key_bits: as for ``paillier``.
      exponent: as for ``paillier``.
      work: of whoever encrypts or checks.

    Raises:
      ConfigError: as for ``paillier``.
    """
    if key_bits not in SECURITY_BITS:
        raise ConfigError(
            f"{scheme}: key_bits={key_bits}, expected 3072, 4096 or 2048 (1024 for tests only)"
        )
    if exponent not in ("default", "strict"):
        raise ConfigError(f'{scheme}: exponent={exponent!r}, expected "default" or "strict"')
    if work.workers < 1:
        raise ConfigError(f"{scheme}: workers={work.workers}, expected at least 1")
    name = f"{scheme}-{key_bits}" + ("-unsafe" if key_bits == 1024 else "")
    exponent_bytes = exponent_bits(key_bits, exponent) // 8

    def layout_of(directory: Directory) -> Layout:
        return layout(key_bits, directory.terms.bits, directory.terms.largest_cohort)

    def plaintexts_of(directory: Directory) -> int:
        return layout_of(directory).plaintexts(directory.terms.length)

    def public_of(directory: Directory) -> _Key:
        public = directory.keys.get(Role.KEY_HOLDER)
        if not isinstance(public, kind) or public.key.n.bit_length() != key_bits:
            raise ProtocolError(
                f"The directory of round {directory.round} has no {key_bits}-bit "
                f"{kind.__name__}: put what keygen returned under Role.KEY_HOLDER"
            )
        return public

    def work_on(ciphertexts: int) -> Work:
        return work if ciphertexts >= _WORTH_A_PROCESS else work._replace(workers=1)

    def proving_of(directory: Directory) -> Proving:
        public = public_of(directory)
        return Proving(public.key.n, public.obfuscation_base, exponent_bytes)

    def prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[Material]:
        del secret
        proving, count = proving_of(directory), plaintexts_of(directory)
        seed = rng(SEED_BYTES)
        exponents = [rng(exponent_bytes) for _ in range(count)]
        size = min(_AT_A_TIME, -(-count // (4 * work.workers)))
        compute = functools.partial(_obfuscators, proving)
        factors = in_processes(compute, exponents, work_on(count), "random factors", size)
        material = Material(seed, exponents, factors, draw_mask(rng, proving))
        return Prepared(header(directory, name), client, material)

    def protect(
        directory: Directory, prepared: Prepared[Material], vector: Int[np.ndarray, "length"]
    ) -> Message:
        public, proving = public_of(directory), proving_of(directory)
        values = check_vector(directory, prepared.client, vector)
        about = header(directory, name)
        seed, exponents, factors, mask = prepared.take(about)
        n, square = mpz(public.key.n), mpz(public.key.nsquare)
        packed = pack(layout_of(directory), values)
        blinded = [
            (plaintext + blind) % n
            for plaintext, blind in zip(packed, blinds(n, seed, len(packed)), strict=True)
        ]
        ciphertexts = [
            (1 + n * plaintext) * factor % square
            for plaintext, factor in zip(blinded, factors, strict=True)
        ]
        context = header_bytes(about, prepared.client, _CONTEXT)
        proof = prove(proving, context, ciphertexts, blinded, exponents, mask)
        enclosed = join(ciphertexts, ciphertext_bytes(public)) + proof
        return Message(about, prepared.client, seed, enclosed)

    def accepted(directory: Directory, messages: Sequence[Message]) -> list[Message]:
        found = check_messages(directory, name, messages, SEED_BYTES, enclosed_size(directory))
        check_proofs(directory, found)
        return found

    def asked(directory: Directory, question: Question) -> list[mpz]:
        check_enclosed(directory, name, question, enclosed_size(directory))
        check_proofs(directory, question.enclosed)
        return products(directory, question.enclosed)

    def check_proofs(directory: Directory, given: Sequence[Message] | Sequence[Enclosed]) -> None:
        claims = [
            _Claim(each.client, header_bytes(each.header, each.client, _CONTEXT), each.enclosed)
            for each in given
        ]
        compute = functools.partial(_refused, proving_of(directory))
        ciphertexts = len(claims) * plaintexts_of(directory)
        for error in in_processes(compute, claims, work_on(ciphertexts), "checking proofs", 1):
            raise error

    def products(directory: Directory, given: Sequence[Message] | Sequence[Enclosed]) -> list[mpz]:
        proving = proving_of(directory)
        square = mpz(proving.n) ** 2
        found = [mpz(1)] * plaintexts_of(directory)
        for each in given:
            ciphertexts, _ = _parts(proving, each.enclosed)
            found = [
                product * ciphertext % square
                for product, ciphertext in zip(found, ciphertexts, strict=True)
            ]
        return found

    def blinds_of(directory: Directory, messages: Sequence[Message]) -> list[mpz]:
        n, count = mpz(public_of(directory).key.n), plaintexts_of(directory)
        sums = [mpz(0)] * count
        for message in messages:
            sums = [
                total + blind
                for total, blind in zip(sums, blinds(n, message.body, count), strict=True)
            ]
        return [total % n for total in sums]

    def read(
        directory: Directory,
        contributors: tuple[int, ...],
        decrypted: Sequence[mpz],
        hidden_by: Sequence[mpz],
    ) -> Int64[np.ndarray, "length"]:
        n = mpz(public_of(directory).key.n)
        plaintexts = [
            int((blinded - blind) % n) for blinded, blind in zip(decrypted, hidden_by, strict=True)
        ]
        return unpack(layout_of(directory), plaintexts, directory.terms.length, len(contributors))

    def enclosed_size(directory: Directory) -> int:
        ciphertexts = plaintexts_of(directory) * ciphertext_bytes(public_of(directory))
        return ciphertexts + proving_of(directory).size

    return PackedPaillier(
        name, prepare, protect, public_of, accepted, products, asked, blinds_of, plaintexts_of, read
    )


def join(numbers: Sequence[mpz], size: int) -> bytes:
    """Numbers as bytes, ``size`` of each."""
    return b"".join(number.to_bytes(size, "big") for number in numbers)


def split(data: bytes, size: int) -> list[mpz]:
    """What ``join`` was given."""
    return [mpz.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)]


def are_ciphertexts(public: PaillierPublic, numbers: Sequence[mpz]) -> bool:
    """Whether all numbers are invertible and in 1 … n² - 1."""
    return _in_range(numbers, mpz(public.key.nsquare)) and _invertible(numbers, mpz(public.key.n))


class _Claim(NamedTuple):
    """That a client knows what it encloses."""

    client: int
    context: bytes
    enclosed: bytes


def _obfuscators(proving: Proving, exponents: Sequence[bytes]) -> list[mpz]:
    return powers(proving.n, proving.base, exponents, proving.longest_exponent)


def _refused(proving: Proving, claims: Sequence[_Claim]) -> list[MessageError]:
    """Why claims are refused, in their order."""
    refused: list[MessageError] = []
    n = mpz(proving.n)
    for client, context, enclosed in claims:
        ciphertexts, proof = _parts(proving, enclosed)
        if not _in_range(ciphertexts, n * n):
            refused.append(OutOfRangeError(client, "a ciphertext is not in 1 … n² - 1"))
        elif not plaintext_proofs.holds(proving, context, ciphertexts, proof):
            # No proof holds of what is not invertible; only now is it worth the time to look.
            refused.append(
                UnprovedError(
                    client,
                    "its proof does not show that it knows what it encrypted: it may have sent "
                    "what others encrypted",
                )
                if _invertible(ciphertexts, n)
                else NotInvertibleError(client, "a ciphertext has a factor in common with n")
            )
    return refused


def _parts(proving: Proving, enclosed: bytes) -> tuple[list[mpz], bytes]:
    """The ciphertexts and the proof."""
    size, end = 2 * -(-proving.n.bit_length() // 8), len(enclosed) - proving.size
    return split(enclosed[:end], size), enclosed[end:]


def _in_range(ciphertexts: Sequence[mpz], square: mpz) -> bool:
    return min(ciphertexts) > 0 and max(ciphertexts) < square


def _invertible(ciphertexts: Sequence[mpz], n: mpz) -> bool:
    return all(gmpy2.gcd(ciphertext, n) == 1 for ciphertext in ciphertexts)
