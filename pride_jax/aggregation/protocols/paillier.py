"""Packed Paillier: clients encrypt, the aggregator adds, a key holder apart from it decrypts.

Formal guarantees:
  Under the decisional composite residuosity assumption, and the one that ``exponent_bits`` states,
  the aggregator learns nothing from the messages but who sent them. The key holder learns the sum.
  The two together learn every vector.

Edge cases:
  An aggregator that cheats could raise a single message to a power and have it pass for a cohort's:
  ``share`` alone cannot tell. So the key holder adds the signed messages itself, with
  ``holder.help_open``. Nothing runs in constant time.

References:
  Paillier 1999, Public-key cryptosystems based on composite degree residuosity classes.
  Damgård, Jurik & Nielsen 2010, A generalization of Paillier's public-key system with applications
  to electronic voting.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Generic, Literal, NamedTuple, TypeVar

import gmpy2
import numpy as np
from gmpy2 import mpz
from jaxtyping import Int, Int64

from pride_jax.aggregation.checks import (
    check_enclosed,
    check_messages,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.obfuscators import obfuscators
from pride_jax.aggregation.packing import Layout, layout, pack, unpack
from pride_jax.aggregation.paillier_keys import (
    PaillierPublic,
    PaillierSecret,
    ciphertext_bytes,
    generate,
)
from pride_jax.aggregation.refusals import NotInvertibleError, OutOfRangeError
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
from pride_jax.errors import ConfigError, ProtocolError

SECURITY_BITS = {1024: 80, 2048: 112, 3072: 128}
"""Key bits -> symmetric security bits (NIST SP 800-57). 1024 is for tests and benchmarks only."""

Exponent = Literal["default", "strict"]

_SUM = np.dtype("<i8")
_WORTH_A_PROCESS = 64
"""Fewer ciphertexts than this are made sooner than a worker process starts."""
_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=PaillierPublic)


def exponent_bits(key_bits: int, exponent: Exponent) -> int:
    """Bits of an obfuscator's random exponent.

    ``"strict"`` is |n|/2, as Damgård, Jurik & Nielsen have it: an obfuscator is then
    indistinguishable from a random power under their assumptions alone. ``"default"`` is four times
    the security level, 448 at 2048 and 512 at 3072: it rests on the further assumption that a power
    with such a short exponent looks random (discrete logarithms with short exponents), whose
    generic attacks need an exponent of only twice the level.
    """
    return key_bits // 2 if exponent == "strict" else 4 * SECURITY_BITS[key_bits]


def paillier(key_bits: int = 3072, exponent: Exponent = "default", workers: int = 1) -> SecureSum:
    """Packed Paillier encryption with one key holder.

    With more than one worker, obfuscators of large vectors are computed in processes, and
    decryption runs in threads.
    The processes are spawned at first use, shared by all protocols with as many workers, and end
    with the program; they receive the public key and the exponents, never a vector or a secret key.
    As with any spawned process, a script that uses them needs ``if __name__ == "__main__":``.

    Args:
      key_bits: bit length of n: 3072 or 2048; 1024 is breakable and says so in its name.
      exponent: length of the obfuscators' exponents, see ``exponent_bits``.
      workers: processes that encrypt, and threads that decrypt; 1 stays in this process.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``PaillierSecret``; clients hold no
      key.

    Raises:
      ConfigError: another key size or exponent, or less than one worker.
    """
    packed = packed_paillier("paillier", PaillierPublic, key_bits, exponent, workers)

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        if role != Role.KEY_HOLDER:
            return Secret(), Public()
        secret = generate(rng, key_bits)
        return secret, secret.public

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        if not isinstance(secret, PaillierSecret) or secret.public != packed.public(directory):
            raise ProtocolError(
                f"The secret is not that of the key holder's public key in the directory of round "
                f"{directory.round}: load the key that the directory was made with"
            )
        ciphertexts = packed.asked(directory, question)
        plaintexts = decrypt(secret, ciphertexts, workers)
        sums = packed.read(directory, question.contributors, plaintexts)
        return Share(question.header, question.contributors, sums.astype(_SUM).tobytes())

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        packed.check(directory, total)
        check_shares(total, shares, 1, _SUM.itemsize * directory.terms.length)
        return np.frombuffer(shares[0].body, _SUM).astype(np.int64)

    return SecureSum(
        packed.name,
        keygen,
        packed.prepare,
        packed.protect,
        packed.combine,
        share,
        open_total,
    )


class PackedPaillier(NamedTuple, Generic[_Key]):
    """What clients and the aggregator do, whoever holds the key, and what opening begins with.

    Attributes:
      name: the scheme and its key size, as in ``Header.protocol``.
      prepare: as in ``SecureSum``.
      protect: as in ``SecureSum``.
      combine: as in ``SecureSum``.
      public: directory -> the public key in it.
      check: directory, total -> nothing, once the total may be opened.
      ciphertexts: directory, total -> its ciphertexts, checked as ``check`` does, all invertible.
      asked: directory, question -> the products of what its contributors enclosed, checked.
      read: directory, contributors, plaintexts -> the sum, once its slots are possible.
    """

    name: str
    prepare: Callable[[Rng, Directory, Secret, int], Prepared[list[mpz]]]
    protect: Callable[[Directory, Prepared[list[mpz]], Int[np.ndarray, "length"]], Message]
    combine: Callable[[Directory, Sequence[Message]], Total]
    public: Callable[[Directory], _Key]
    check: Callable[[Directory, Total], None]
    ciphertexts: Callable[[Directory, Total], list[mpz]]
    asked: Callable[[Directory, Question], list[mpz]]
    read: Callable[[Directory, tuple[int, ...], list[int]], Int64[np.ndarray, "length"]]


def packed_paillier(
    scheme: str, kind: type[_Key], key_bits: int, exponent: Exponent, workers: int
) -> PackedPaillier[_Key]:
    """The part of packed Paillier that does not depend on who holds the key.

    Args:
      scheme: what the protocol is called, without its key size.
      kind: type of its public key.
      key_bits: as for ``paillier``.
      exponent: as for ``paillier``.
      workers: as for ``paillier``.

    Raises:
      ConfigError: as for ``paillier``.
    """
    if key_bits not in SECURITY_BITS:
        raise ConfigError(
            f"{scheme}: key_bits={key_bits}, expected 3072 or 2048 (1024 for tests only)"
        )
    if exponent not in ("default", "strict"):
        raise ConfigError(f'{scheme}: exponent={exponent!r}, expected "default" or "strict"')
    if workers < 1:
        raise ConfigError(f"{scheme}: workers={workers}, expected at least 1")
    name = f"{scheme}-{key_bits}" + ("-breakable" if key_bits == 1024 else "")
    exponent_bytes = exponent_bits(key_bits, exponent) // 8

    def layout_of(directory: Directory) -> Layout:
        return layout(key_bits, directory.terms.bits, directory.terms.largest_cohort)

    def public_of(directory: Directory) -> _Key:
        public = directory.keys.get(Role.KEY_HOLDER)
        if not isinstance(public, kind) or public.key.n.bit_length() != key_bits:
            raise ProtocolError(
                f"The directory of round {directory.round} has no {key_bits}-bit "
                f"{kind.__name__}: put what keygen returned under Role.KEY_HOLDER"
            )
        return public

    def prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[list[mpz]]:
        del secret
        public = public_of(directory)
        count = layout_of(directory).plaintexts(directory.terms.length)
        exponents = [rng(exponent_bytes) for _ in range(count)]
        compute = functools.partial(obfuscators, public.key.n, public.obfuscation_base)
        if workers == 1 or count < _WORTH_A_PROCESS:
            material = compute(exponents)
        else:
            parts = _processes(workers).map(compute, _chunks(exponents, 4 * workers))
            material = _concatenate(parts)
        return Prepared(header(directory, name), client, material)

    def protect(
        directory: Directory, prepared: Prepared[list[mpz]], vector: Int[np.ndarray, "length"]
    ) -> Message:
        public = public_of(directory)
        values = check_vector(directory, prepared.client, vector)
        about = header(directory, name)
        factors = prepared.take(about)
        n, square = mpz(public.key.n), mpz(public.key.nsquare)
        ciphertexts = [
            (1 + n * plaintext) * factor % square
            for plaintext, factor in zip(pack(layout_of(directory), values), factors, strict=True)
        ]
        return Message(about, prepared.client, b"", join(public, ciphertexts))

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        accepted = check_messages(directory, name, messages, 0, enclosed_size(directory))
        products = add(directory, accepted)
        contributors = tuple(message.client for message in accepted)
        return Total(header(directory, name), contributors, join(public_of(directory), products))

    def asked(directory: Directory, question: Question) -> list[mpz]:
        check_enclosed(directory, name, question, enclosed_size(directory))
        return add(directory, question.enclosed)

    def add(directory: Directory, given: Sequence[Message] | Sequence[Enclosed]) -> list[mpz]:
        """Products of the ciphertexts that each encloses."""
        public = public_of(directory)
        n, square = mpz(public.key.n), mpz(public.key.nsquare)
        products = [mpz(1)] * layout_of(directory).plaintexts(directory.terms.length)
        for each in given:
            ciphertexts = split(public, each.enclosed)
            if not _in_range(ciphertexts, square):
                raise OutOfRangeError(each.client, "a ciphertext is not in 1 … n² - 1")
            products = [
                product * ciphertext % square
                for product, ciphertext in zip(products, ciphertexts, strict=True)
            ]
        # A product is invertible if and only if all its factors are: one test does for all clients.
        if not _invertible(products, n):
            culprit = next(
                each for each in given if not _invertible(split(public, each.enclosed), n)
            )
            raise NotInvertibleError(culprit.client, "a ciphertext has a factor in common with n")
        return products

    def check(directory: Directory, total: Total) -> None:
        check_total(directory, name, total, enclosed_size(directory))

    def ciphertexts_of(directory: Directory, total: Total) -> list[mpz]:
        check(directory, total)
        public = public_of(directory)
        ciphertexts = split(public, total.body)
        if not are_ciphertexts(public, ciphertexts):
            raise ProtocolError(
                f"Refused a total of round {directory.round}: it holds what is not a ciphertext"
            )
        return ciphertexts

    def read(
        directory: Directory, contributors: tuple[int, ...], plaintexts: list[int]
    ) -> Int64[np.ndarray, "length"]:
        return unpack(layout_of(directory), plaintexts, directory.terms.length, len(contributors))

    def enclosed_size(directory: Directory) -> int:
        ciphertexts = layout_of(directory).plaintexts(directory.terms.length)
        return ciphertexts * ciphertext_bytes(public_of(directory))

    return PackedPaillier(
        name, prepare, protect, combine, public_of, check, ciphertexts_of, asked, read
    )


def decrypt(secret: PaillierSecret, ciphertexts: Sequence[mpz], workers: int = 1) -> list[int]:
    """The plaintexts, below n, of any Paillier ciphertexts: modulo p and q apart, then joined.

    Args:
      secret: the key.
      ciphertexts: invertible numbers in 1 … n² - 1; the caller has checked it.
      workers: threads; GMP's list powers do not hold the interpreter's lock.
    """
    return in_threads(functools.partial(_decrypt, secret), ciphertexts, workers)


def in_threads(
    compute: Callable[[Sequence[mpz]], list[_Item]], ciphertexts: Sequence[mpz], workers: int
) -> list[_Item]:
    """``compute`` on all ciphertexts, an equal part of them in each of ``workers`` threads."""
    if workers == 1:
        return compute(ciphertexts)
    with ThreadPoolExecutor(workers) as threads:
        return _concatenate(threads.map(compute, _chunks(ciphertexts, workers)))


def are_ciphertexts(public: PaillierPublic, numbers: Sequence[mpz]) -> bool:
    """Whether all numbers are invertible and in 1 … n² - 1."""
    in_range = _in_range(numbers, mpz(public.key.nsquare))
    return in_range and _invertible(numbers, mpz(public.key.n))


def join(public: PaillierPublic, ciphertexts: Sequence[mpz]) -> bytes:
    """Ciphertexts as bytes of fixed width."""
    size = ciphertext_bytes(public)
    return b"".join(ciphertext.to_bytes(size, "big") for ciphertext in ciphertexts)


def split(public: PaillierPublic, body: bytes) -> list[mpz]:
    """What ``join`` was given."""
    size = ciphertext_bytes(public)
    return [mpz.from_bytes(body[at : at + size], "big") for at in range(0, len(body), size)]


@functools.cache
def _processes(workers: int) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, initializer=_end_with_the_program)


def _end_with_the_program() -> None:
    """Makes a worker leave Ctrl-C to the program, and end when the program was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = multiprocessing.parent_process()
    assert program is not None

    def wait() -> None:
        program.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _decrypt(secret: PaillierSecret, ciphertexts: Sequence[mpz]) -> list[int]:
    p, q = mpz(secret.key.p), mpz(secret.key.q)
    hp, hq, p_inverse = mpz(secret.key.hp), mpz(secret.key.hq), mpz(secret.key.p_inverse)
    modulo_p = _logarithms(ciphertexts, p, hp)
    modulo_q = _logarithms(ciphertexts, q, hq)
    return [
        int(at_p + p * ((at_q - at_p) * p_inverse % q))
        for at_p, at_q in zip(modulo_p, modulo_q, strict=True)
    ]


def _logarithms(ciphertexts: Sequence[mpz], prime: mpz, factor: mpz) -> list[mpz]:
    """L(c^(prime-1) mod prime²) · factor mod prime, Paillier's plaintext modulo one prime."""
    powers = gmpy2.powmod_base_list(list(ciphertexts), prime - 1, prime * prime)
    return [(power - 1) // prime * factor % prime for power in powers]


def _in_range(ciphertexts: Sequence[mpz], square: mpz) -> bool:
    return min(ciphertexts) > 0 and max(ciphertexts) < square


def _invertible(ciphertexts: Sequence[mpz], n: mpz) -> bool:
    return all(gmpy2.gcd(ciphertext, n) == 1 for ciphertext in ciphertexts)


def _chunks(items: Sequence[_Item], parts: int) -> list[Sequence[_Item]]:
    size = -(-len(items) // parts)
    return [items[at : at + size] for at in range(0, len(items), size)]


def _concatenate(parts: Iterable[list[_Item]]) -> list[_Item]:
    return list(itertools.chain.from_iterable(parts))
