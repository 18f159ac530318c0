"""Lattice encryption with TenSEAL: BFV, which is exact, and CKKS, which is so after rounding.

Clients encrypt under the key holder's public key, the aggregator adds, the key holder decrypts. A
vector is cut into rows, one ciphertext each; a row has 4096 values in BFV and 2048 in CKKS. Values
too wide for one slot are split into digits in base 2^w, balanced around zero, which are encrypted
and added apart.

A ciphertext is 2 polynomials of 4096 coefficients modulo a prime q, and adding ciphertexts adds
coefficients modulo q. So a message is those coefficients in fixed width, little-endian: the
aggregator adds them with numpy, every number below q is a coefficient, and nothing that a client
sent reaches TenSEAL before it has been checked. TenSEAL makes keys, encrypts and decrypts.

Formal guarantees:
  Under ring learning with errors (degree 4096, ternary secrets, moduli of at most 109 bits: 128
  bits of classical security after Albrecht et al.), the aggregator learns nothing from the messages
  but who sent them. The key holder learns the sum. The two together learn every vector.

  BFV: a client's error is at most ν = N/2 + 2 after SEAL has divided by the special prime, and
  decryption is exact while clients · ν < q / (2t). ``bfv`` leaves a factor of 2, so honest sums are
  always exact.

  CKKS: a decrypted value is off by at most ``ckks_error``, but for a chance below 2^-80 a
  ciphertext. Where that could reach 1/2 a digit is made narrower, so that rounding gives the sum
  itself.

Edge cases:
  A decrypted CKKS value less its exact value is an equation for the key: publishing enough of them
  publishes the key (Li & Micciancio). The key holder therefore rounds before it shares anything,
  and what it shares is a function of the sum alone.

  The aggregator is semi-honest: one that cheats could present a multiple of one client's message as
  a cohort's total. A key holder that distrusts it adds the messages itself
  (``holder.help_open``).

  A BFV or CKKS sum carries an error that the key holder can see. It is dominated by the clients'
  encryption randomness, but that it hides their rounding perfectly is not claimed.

  The random numbers are SEAL's own, from the operating system: ``rng`` is not used.

References:
  Fan & Vercauteren 2012, Somewhat practical fully homomorphic encryption.
  Cheon, Kim, Kim & Song 2017, Homomorphic encryption for arithmetic of approximate numbers.
  Li & Micciancio 2021, On the security of homomorphic encryption on approximate numbers.
  Albrecht et al. 2018, Homomorphic encryption security standard.
"""

import functools
import hashlib
import importlib
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt64

from pride_jax.aggregation.checks import (
    check_enclosed,
    check_messages,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.refusals import OutOfRangeError
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
    Terms,
    Total,
    header,
)
from pride_jax.errors import ConfigError, ProtocolError

_DEGREE = 4096
_COEFFICIENTS = 2 * _DEGREE
# The smallest prime above 2^24 that is 1 modulo 8192: 256 clients' 16-bit values fit one slot.
_PLAIN_PRIME = 16801793
_CLIENT_ERROR = _DEGREE // 2 + 2
# A subgaussian variable leaves ±12 deviations with a chance of at most 2 exp(-72) < 2^-102.
_DEVIATIONS = 12

_SUM = np.dtype("<i8")
_FILE = "lattice-key"
_SEAL = struct.Struct("<HBBBBHQ")
_SEAL_MAGIC = 0xA15E


class Scheme(NamedTuple):
    """What BFV and CKKS do not have in common.

    Attributes:
      name: the protocol's name.
      slots: values in a ciphertext.
      modulus: q, the largest prime of its length that is 1 modulo 8192.
      coefficient_bytes: width of a coefficient in a message.
      context: -> a new TenSEAL context with a new key pair.
      capacity: clients, digit -> whether so many digits of this magnitude always add up right.
      zeros: TenSEAL's context, clients, digit -> an encrypted row of zeros.
      load: TenSEAL's context, a serialised vector -> the vector.
    """

    name: str
    slots: int
    modulus: int
    coefficient_bytes: int
    context: Callable[[], Any]
    capacity: Callable[[int, int], bool]
    zeros: Callable[[Any, int, int], Any]
    load: Callable[[Any, bytes], Any]

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext in a message."""
        return _COEFFICIENTS * self.coefficient_bytes


class Layout(NamedTuple):
    """How a vector is cut.

    Attributes:
      digits: parts of a value.
      width: bits of a part.
      largest: magnitude of a part.
      rows: ciphertexts for one part of all values.
    """

    digits: int
    width: int
    largest: int
    rows: int


@dataclass(frozen=True)
class LatticePublic(Public):
    """What clients need; the aggregator does without.

    Attributes:
      scheme: ``"bfv-4096"`` or ``"ckks-4096"``.
      context: TenSEAL's context with the public key only.
    """

    scheme: str
    context: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The context, after the scheme."""
        return self.scheme.encode() + b"\0" + self.context


@dataclass(frozen=True, repr=False)
class LatticeSecret(Secret):
    """What the key holder has.

    Attributes:
      context: TenSEAL's context with the secret key.
      public: its public part.
    """

    context: Any
    public: LatticePublic


def bfv() -> SecureSum:
    """BFV with one key holder: exact, 12 bytes a value of up to 16 bits and 256 clients.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``LatticeSecret``; clients hold no
      key. Terms with more than 2,043 clients are refused by a ``ConfigError``.
    """
    return _protocol(_BFV)


def ckks() -> SecureSum:
    """CKKS with one key holder: 28 bytes a value of up to 21 bits and 256 clients.

    Values are decrypted with an error of at most ``ckks_error``, which is below 1/2, and rounded by
    the key holder. So the sum is exact but for a chance below 2^-80 a ciphertext.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``LatticeSecret``; clients hold no
      key.
    """
    return _protocol(_CKKS)


def ckks_error(clients: int, largest: int) -> float:
    """The most by which CKKS decrypts a sum wrong, in units of the integers that are added.

    The scale Δ is the largest power of two for which the scaled sum stays below q/4. A client's
    ciphertext has two errors ε₀, ε₁ of SEAL's division by the special prime, uniform in ±1/2 a
    coefficient, which decrypt to ε₀ + ε₁s with the ternary key s. A slot is a polynomial's value at
    a root of unity, where a polynomial with subgaussian coefficients of deviation σ stays within
    τσ√N but for a chance of 4 exp(-τ²/2); τ is 12. Encoding rounds coefficients by up to 1/2 (N/2 a
    slot), and double arithmetic adds 2^-39 of the largest sum.

    Args:
      clients: how many vectors are added.
      largest: magnitude of one client's integers.

    Returns:
      (τ²N√clients/2 + τ√(clients·N)/2 + clients·N/2 + 1)/Δ + clients·largest·2^-39.
    """
    roots = math.sqrt(clients)
    error = (
        _DEVIATIONS**2 * _DEGREE * roots / 2
        + _DEVIATIONS * math.sqrt(_DEGREE) * roots / 2
        + clients * _DEGREE / 2
        + 1
    )
    return error / _scale(clients, largest) + clients * largest * 2.0**-39


def save_secret(folder: Path, secret: LatticeSecret) -> None:
    """Keeps a key pair in a folder that only its owner can enter.

    Args:
      folder: made with mode 0700 if it is missing; the file in it gets mode 0600.
      secret: the key.

    Raises:
      ProtocolError: the folder holds a key already, or is open to others.
    """
    data = secret.public.to_bytes()
    data = len(data).to_bytes(8, "big") + data + _serialize(secret.context, with_secret=True)
    write_owner_only(Path(folder) / _FILE, hashlib.sha256(data).digest() + data)


def load_secret(folder: Path) -> LatticeSecret:
    """The key pair that ``save_secret`` kept.

    Raises:
      ProtocolError: no such key, damaged, or others could read it.
    """
    path = Path(folder) / _FILE
    content = read_owner_only(path)
    digest, data = content[:32], content[32:]
    # TenSEAL is not given damaged bytes.
    if hashlib.sha256(data).digest() != digest:
        raise ProtocolError(
            f"{path} does not hold a lattice key: restore it from a copy; what was encrypted under "
            "it cannot be opened without"
        )
    end = 8 + int.from_bytes(data[:8], "big")
    scheme, context = data[8:end].split(b"\0", 1)
    return LatticeSecret(
        _tenseal().context_from(data[end:], 1), LatticePublic(scheme.decode(), context)
    )


def public_from_bytes(data: bytes) -> LatticePublic:
    """The key in ``data``, as ``to_bytes`` made it.

    TenSEAL reads the context, in C++: give it only what was enrolled.

    Raises:
      ProtocolError: not a key of a known scheme, or one with its secret part.
    """
    scheme, separator, context = data.partition(b"\0")
    known = {_BFV.name.encode(), _CKKS.name.encode()}
    try:
        fits = bool(separator) and scheme in known and not _public_context(context).has_secret_key()
    except (RuntimeError, ValueError):
        fits = False
    if not fits:
        raise ProtocolError(
            f"A lattice key of {len(data)} bytes is none of {sorted(map(bytes.decode, known))}, "
            "or holds its secret part: enrol it again"
        )
    return LatticePublic(scheme.decode(), context)


def layout(scheme: Scheme, terms: Terms) -> Layout:
    """The fewest digits whose sums over the largest cohort are always right.

    Raises:
      ConfigError: the cohort is too large even for digits of 2 bits.
    """
    rows = -(-terms.length // scheme.slots)
    if scheme.capacity(terms.largest_cohort, terms.largest_value):
        return Layout(1, terms.bits, terms.largest_value, rows)
    for digits in range(2, terms.bits // 2 + 1):
        width = -(-terms.bits // digits)
        largest = 2 ** (width - 1)
        if scheme.capacity(terms.largest_cohort, largest):
            return Layout(digits, width, largest, rows)
    raise ConfigError(
        f"{scheme.name}: largest_cohort={terms.largest_cohort} with bits={terms.bits} cannot be "
        "added exactly: announce fewer clients a round, or use paillier"
    )


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


def decrypt_rows(
    scheme: Scheme, secret: LatticeSecret, where: Layout, clients: int, body: bytes
) -> np.ndarray[tuple[int, int], np.dtype[Any]]:
    """What every slot of a total decrypts to: integers with BFV, approximations with CKKS.

    Args:
      scheme: of the key.
      secret: the key; what CKKS decrypts to must not leave its holder before it is rounded.
      where: how the vectors were cut.
      clients: the largest cohort, which sets the scale.
      body: coefficients below the modulus; the caller has checked it.

    Returns:
      A row for each ciphertext.
    """
    template = _Template.of(scheme.zeros(secret.context, clients, where.largest).serialize())
    coefficients = _coefficients(scheme, body).reshape(-1, _COEFFICIENTS)
    vectors = (scheme.load(secret.context, template.filled(row)) for row in coefficients)
    return np.array([vector.decrypt() for vector in vectors])


def _protocol(scheme: Scheme) -> SecureSum:
    name = scheme.name

    def layout_of(directory: Directory) -> Layout:
        return layout(scheme, directory.terms)

    def body_size(directory: Directory) -> int:
        where = layout_of(directory)
        return where.digits * where.rows * scheme.ciphertext_bytes

    def public_of(directory: Directory) -> LatticePublic:
        public = directory.keys.get(Role.KEY_HOLDER)
        if not isinstance(public, LatticePublic) or public.scheme != name:
            raise ProtocolError(
                f"The directory of round {directory.round} has no {name} key of the key holder: "
                "put what keygen returned under Role.KEY_HOLDER"
            )
        return public

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        del rng
        if role != Role.KEY_HOLDER:
            return Secret(), Public()
        context = scheme.context()
        public = LatticePublic(name, _serialize(context, with_secret=False))
        return LatticeSecret(context, public), public

    def prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[list[Any]]:
        del rng, secret
        where = layout_of(directory)
        context = _public_context(public_of(directory).context)
        zeros = [
            scheme.zeros(context, directory.terms.largest_cohort, where.largest)
            for _ in range(where.digits * where.rows)
        ]
        return Prepared(header(directory, name), client, zeros)

    def protect(
        directory: Directory, prepared: Prepared[list[Any]], vector: Int[np.ndarray, "length"]
    ) -> Message:
        values = check_vector(directory, prepared.client, vector)
        about = header(directory, name)
        where = layout_of(directory)
        slots = np.zeros((where.digits, where.rows * scheme.slots), np.int64)
        vectors = prepared.take(about)
        slots[:, : len(values)] = split(where, values)
        body = []
        for encrypted, row in zip(vectors, slots.reshape(-1, scheme.slots), strict=True):
            encrypted.add_(row.tolist())
            body.append(_fixed_width(scheme, _Template.of(encrypted.serialize()).coefficients))
        return Message(about, prepared.client, b"", b"".join(body))

    def add(
        directory: Directory, given: Sequence[Message] | Sequence[Enclosed]
    ) -> UInt64[np.ndarray, "coefficients"]:
        total = np.zeros(body_size(directory) // scheme.coefficient_bytes, np.uint64)
        modulus = np.uint64(scheme.modulus)
        for each in given:
            coefficients = _coefficients(scheme, each.enclosed)
            if coefficients.max() >= modulus:
                raise OutOfRangeError(each.client, f"a coefficient is not below {modulus}")
            total += coefficients
            np.subtract(total, modulus, out=total, where=total >= modulus)
        return total

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        accepted = check_messages(directory, name, messages, 0, body_size(directory))
        add(directory, accepted)
        contributors = tuple(message.client for message in accepted)
        return Total(header(directory, name), contributors, b"")

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        if not isinstance(secret, LatticeSecret) or secret.public != public_of(directory):
            raise ProtocolError(
                f"The secret is not that of the key holder's public key in the directory of round "
                f"{directory.round}: load the key that the directory was made with"
            )
        check_enclosed(directory, name, question, body_size(directory))
        body = _fixed_width(scheme, add(directory, question.enclosed))
        where, terms = layout_of(directory), directory.terms
        opened = decrypt_rows(scheme, secret, where, terms.largest_cohort, body)
        # CKKS's error tells about the key: only whole numbers leave this function.
        digits = np.rint(opened).astype(np.int64).reshape(where.digits, -1)
        count = len(question.contributors)
        sums = join(where, digits[:, : terms.length])
        if (
            digits[:, terms.length :].any()
            or np.abs(digits).max() > count * where.largest
            or np.abs(sums).max() > count * terms.largest_value
        ):
            raise ProtocolError(
                f"A decrypted sum holds a value that {count} clients within their range cannot "
                "reach: a message was forged or damaged; discard the round"
            )
        return Share(question.header, question.contributors, sums.astype(_SUM).tobytes())

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        check_total(directory, name, total, 0)
        check_shares(total, shares, 1, _SUM.itemsize * directory.terms.length)
        return np.frombuffer(shares[0].body, _SUM).astype(np.int64)

    return SecureSum(name, keygen, prepare, protect, combine, share, open_total)


def _tenseal() -> Any:
    return _extra("tenseal")


def _extra(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"BFV and CKKS need {module}, which cannot be imported ({error}): "
            "pip install -e '.[lattice]'"
        ) from None


def _serialize(context: Any, with_secret: bool) -> bytes:
    # Not make_context_public, which leaves the secret key in the context's decryptor.
    return context.serialize(
        save_public_key=True,
        save_secret_key=with_secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )


@functools.lru_cache(maxsize=4)
def _public_context(data: bytes) -> Any:
    return _tenseal().context_from(data, 1)


def _bfv_context() -> Any:
    tenseal = _tenseal()
    return tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        _DEGREE,
        plain_modulus=_PLAIN_PRIME,
        coeff_mod_bit_sizes=[48, 60],
        n_threads=1,
    )


def _bfv_capacity(clients: int, largest: int) -> bool:
    no_wrap = 2 * clients * largest < _PLAIN_PRIME
    return no_wrap and 4 * clients * _CLIENT_ERROR * _PLAIN_PRIME < _BFV.modulus


def _bfv_zeros(context: Any, clients: int, largest: int) -> Any:
    del clients, largest
    return _tenseal().bfv_vector(context, [0] * _BFV.slots)


def _bfv_load(context: Any, data: bytes) -> Any:
    return _tenseal().bfv_vector_from(context, data)


_BFV = Scheme(
    "bfv-4096", _DEGREE, 281474976694273, 6, _bfv_context, _bfv_capacity, _bfv_zeros, _bfv_load
)


def _ckks_context() -> Any:
    tenseal = _tenseal()
    return tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, _DEGREE, coeff_mod_bit_sizes=[54, 55], n_threads=1
    )


def _scale(clients: int, largest: int) -> float:
    return 2.0 ** (52 - (clients * largest).bit_length())


def _ckks_capacity(clients: int, largest: int) -> bool:
    return ckks_error(clients, largest) < 0.5


def _ckks_zeros(context: Any, clients: int, largest: int) -> Any:
    return _tenseal().ckks_vector(context, [0.0] * _CKKS.slots, _scale(clients, largest))


def _ckks_load(context: Any, data: bytes) -> Any:
    return _tenseal().ckks_vector_from(context, data)


_CKKS = Scheme(
    "ckks-4096",
    _DEGREE // 2,
    18014398509309953,
    7,
    _ckks_context,
    _ckks_capacity,
    _ckks_zeros,
    _ckks_load,
)


class _Template(NamedTuple):
    """TenSEAL's serialised vector of one ciphertext, taken apart.

    It is a protocol buffer: the vector's size, the ciphertext as a field of bytes, the scale. The
    ciphertext is SEAL's: a header, then, compressed with Zstandard or not, parameters and
    coefficients.

    Attributes:
      before: of the protocol buffer, up to the ciphertext's field.
      version: of SEAL, as the ciphertext's header has it.
      parameters: of the ciphertext, uncompressed.
      coefficients: of the ciphertext.
      after: of the protocol buffer.
    """

    before: bytes
    version: tuple[int, int]
    parameters: bytes
    coefficients: UInt64[np.ndarray, "coefficients"]
    after: bytes

    @classmethod
    def of(cls, data: bytes) -> "_Template":
        """Takes bytes apart that TenSEAL made in this process."""
        # The vector's size takes 4 bytes, the field's tag 1 and its length 3.
        before, start = data[:4], 8
        magic, header_size, *version, compression, _, size = _SEAL.unpack_from(data, start)
        if (magic, header_size, compression) != (_SEAL_MAGIC, _SEAL.size, 2):
            raise ProtocolError(
                "TenSEAL writes ciphertexts in a form that is not known here: install "
                "tenseal>=0.3.16,<0.4"
            )
        compressed = data[start + _SEAL.size : start + size]
        content = _extra("zstandard").ZstdDecompressor().decompressobj().decompress(compressed)
        end = len(content) - 8 * _COEFFICIENTS
        coefficients = np.frombuffer(content, "<u8", offset=end)
        major, minor = version
        return cls(before, (major, minor), content[:end], coefficients, data[start + size :])

    def filled(self, coefficients: UInt64[np.ndarray, "coefficients"]) -> bytes:
        """A vector with other coefficients, for TenSEAL to load; not compressed."""
        content = self.parameters + coefficients.astype("<u8").tobytes()
        size = _SEAL.size + len(content)
        field = b"\x12" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
        about = _SEAL.pack(_SEAL_MAGIC, _SEAL.size, *self.version, 0, 0, size)
        return self.before + field + about + content + self.after


def _fixed_width(scheme: Scheme, coefficients: UInt64[np.ndarray, "coefficients"]) -> bytes:
    octets = coefficients.astype("<u8").view(np.uint8).reshape(-1, 8)
    return octets[:, : scheme.coefficient_bytes].tobytes()


def _coefficients(scheme: Scheme, body: bytes) -> UInt64[np.ndarray, "coefficients"]:
    octets = np.frombuffer(body, np.uint8).reshape(-1, scheme.coefficient_bytes)
    words = np.zeros((len(octets), 8), np.uint8)
    words[:, : scheme.coefficient_bytes] = octets
    return words.view("<u8")[:, 0].astype(np.uint64)
