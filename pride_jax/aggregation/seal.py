"""BFV by TenSEAL: contexts, and ciphertexts as their coefficients in fixed width.

A ciphertext is 2 polynomials of 4096 coefficients modulo a prime q, and adding ciphertexts adds
coefficients modulo q. So a ciphertext travels as those coefficients, little-endian: whoever adds
ciphertexts does so with numpy, and nothing that a client sent reaches TenSEAL before it has been
checked.
"""

import functools
import importlib
import struct
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt64

from pride_jax.errors import ConfigError, ProtocolError

SLOTS = 4096
"""Values in a ciphertext, which is also the degree of its polynomials."""
COEFFICIENTS = 2 * SLOTS
MODULUS = 281474976694273
"""q, the largest prime of 48 bits that is 1 modulo 8192: SEAL finds the same."""
COEFFICIENT_BYTES = 6
CIPHERTEXT_BYTES = COEFFICIENTS * COEFFICIENT_BYTES
PLAIN_MODULUS = 16801793
"""t, the smallest prime above 2^24 that is 1 modulo 8192: 256 clients' 16-bit values fit a slot."""

_SPECIAL_PRIME_BITS = 60
_SEAL = struct.Struct("<HBBBBHQ")
_SEAL_MAGIC = 0xA15E


def new_context() -> Any:
    """TenSEAL's context with a new key pair, from SEAL's own random numbers of the system."""
    tenseal = extra("tenseal")
    return tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        SLOTS,
        plain_modulus=PLAIN_MODULUS,
        coeff_mod_bit_sizes=[MODULUS.bit_length(), _SPECIAL_PRIME_BITS],
        n_threads=1,
    )


def context_bytes(context: Any, with_secret: bool) -> bytes:
    """A context with its public key, and with its secret one or without."""
    # Not make_context_public, which leaves the secret key in the context's decryptor.
    return context.serialize(
        save_public_key=True,
        save_secret_key=with_secret,
        save_galois_keys=False,
        save_relin_keys=False,
    )


@functools.lru_cache(maxsize=4)
def public_context(data: bytes) -> Any:
    """The context in ``data``, of a public key; TenSEAL reads it, in C++."""
    return read_context(data)


def read_context(data: bytes) -> Any:
    """The context in ``data``; kept nowhere, since it may hold a secret."""
    return extra("tenseal").context_from(data, 1)


def encrypted(context: Any, row: Int64[np.ndarray, "slots"]) -> Any:
    """A row of residues modulo t, as TenSEAL's vector."""
    return extra("tenseal").bfv_vector(context, row.tolist())


def coefficients_of(vector: Any) -> UInt64[np.ndarray, "coefficients"]:
    """The coefficients of a vector that TenSEAL encrypted in this process."""
    return Template.of(vector.serialize()).coefficients


def decrypted(
    context: Any, ciphertexts: UInt64[np.ndarray, "rows coefficients"]
) -> Int64[np.ndarray, "rows slots"]:
    """What each row of coefficients below q decrypts to: residues modulo t around zero.

    Args:
      context: with the secret key.
      ciphertexts: one a row; the caller has checked them.
    """
    template = Template.of(encrypted(context, np.zeros(SLOTS, np.int64)).serialize())
    load = extra("tenseal").bfv_vector_from
    return np.array([load(context, template.filled(row)).decrypt() for row in ciphertexts])


def to_fixed_width(coefficients: UInt64[np.ndarray, "coefficients"]) -> bytes:
    """Coefficients as they travel."""
    octets = coefficients.astype("<u8").view(np.uint8).reshape(-1, 8)
    return octets[:, :COEFFICIENT_BYTES].tobytes()


def from_fixed_width(data: bytes) -> UInt64[np.ndarray, "coefficients"]:
    """Coefficients as they travelled; not all of them need be below q."""
    octets = np.frombuffer(data, np.uint8).reshape(-1, COEFFICIENT_BYTES)
    words = np.zeros((len(octets), 8), np.uint8)
    words[:, :COEFFICIENT_BYTES] = octets
    return words.view("<u8")[:, 0].astype(np.uint64)


class Template(NamedTuple):
    """TenSEAL's serialised vector of one ciphertext, taken apart.

    It is a protocol buffer: the vector's size, then the ciphertext as a field of bytes. The
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
    def of(cls, data: bytes) -> "Template":
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
        content = extra("zstandard").ZstdDecompressor().decompressobj().decompress(compressed)
        end = len(content) - 8 * COEFFICIENTS
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


def extra(module: str) -> Any:
    """A library of the extra ``lattice``.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"BFV needs {module}, which cannot be imported ({error}): pip install -e '.[lattice]'"
        ) from None
