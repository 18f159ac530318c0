"""Secret keys of 256 bits, and what is drawn from them on a device: ChaCha20 as JAX's generator.

ChaCha20 (RFC 8439) is a pseudorandom function of a counter and a nonce under a key: whoever does
not have the key cannot tell what it gives from independent random bits. JAX asks a generator for
three things, which differ in the first word of the nonce, so that no block serves two of them, nor
two times. With such a key all of ``jax.random`` draws from this stream.
"""

import hashlib
import math
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import Array, UInt, UInt32

from pride_jax.errors import ConfigError
from pride_jax.types import Key
from pride_jax.validated import expect

SECRET_BYTES = 32
"""Of a secret key: 256 bits."""

_BLOCK = 16
"""Words of a block."""
_CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4").astype(np.uint32)
_BITS, _SPLIT, _FOLD = 1, 2, 3
_DOMAIN = b"pride_jax: noise and cohorts of a study"


def secret_key(secret: bytes | None = None) -> Key:
    """A secret key for cohorts and noise.

    Args:
      secret: 32 random bytes; the operating system's if None.

    Raises:
      ConfigError: they are not 32.
    """
    secret = os.urandom(SECRET_BYTES) if secret is None else secret
    if len(secret) != SECRET_BYTES:
        raise ConfigError(
            f"secret_key of {len(secret)} bytes: expected {SECRET_BYTES}, from os.urandom"
        )
    words = np.frombuffer(secret, "<u4").astype(np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl=CHACHA20)


def study_key(seed: int | Key) -> Key:
    """A key for cohorts and noise that follows from a seed: no secret, for studies.

    Args:
      seed: a number; or a key of JAX's own generator, as a compiled program has it.

    Raises:
      ConfigError: another kind of seed.
    """
    expect("seed", seed, (int, jax.Array), "a number, or a key of jax.random.key")
    if isinstance(seed, int):
        return secret_key(hashlib.sha256(_DOMAIN + str(seed).encode()).digest())
    return jax.random.wrap_key_data(jax.random.bits(seed, (8,), jnp.uint32), impl=CHACHA20)


def check_secret(key: Key) -> None:
    """Refuses a key of another generator, which guards no secret.

    Raises:
      ConfigError: as above.
    """
    if jax.random.key_impl(key) != CHACHA20:
        raise ConfigError(
            f"A key of {jax.random.key_impl(key)} for cohorts and noise: expected 256 bits of "
            "ChaCha20; make it with secret_key(), or with study_key(seed) for a study"
        )


@jax.jit
def blocks(
    key: UInt32[Array, "8"], counters: UInt32[Array, "blocks"], nonce: Sequence[int | Array]
) -> UInt32[Array, "16 blocks"]:
    """The ChaCha20 block function (RFC 8439, section 2.3), for many counters at once.

    Args:
      key: 8 words, little-endian in the RFC's bytes.
      counters: of the blocks.
      nonce: 3 words.

    Returns:
      A column a block: its words in the RFC's order.
    """

    def row(words: Array | Sequence[Array]) -> UInt32[Array, "4 blocks"]:
        return jnp.stack([jnp.broadcast_to(word, counters.shape) for word in words])

    public = [jnp.asarray(word, jnp.uint32) for word in nonce]
    start = (row(jnp.asarray(_CONSTANTS)), row(key[:4]), row(key[4:]), row([counters, *public]))
    mixed = jax.lax.fori_loop(0, 10, _two_rounds, start)
    return jnp.concatenate([a + b for a, b in zip(mixed, start, strict=True)])


_Rows = tuple[Array, Array, Array, Array]


def _two_rounds(_: Array, rows: _Rows) -> _Rows:
    # Columns, then diagonals, which are columns once the rows are turned.
    return _turned(_mixed(_turned(_mixed(rows), 1)), -1)


def _mixed(rows: _Rows) -> _Rows:
    """The quarter round of RFC 8439, section 2.1, of all four columns."""
    a, b, c, d = rows
    a = a + b
    d = _rotated(d ^ a, 16)
    c = c + d
    b = _rotated(b ^ c, 12)
    a = a + b
    d = _rotated(d ^ a, 8)
    c = c + d
    b = _rotated(b ^ c, 7)
    return a, b, c, d


def _turned(rows: _Rows, sign: int) -> _Rows:
    a, b, c, d = rows
    return a, jnp.roll(b, -sign, 0), jnp.roll(c, 2, 0), jnp.roll(d, sign, 0)


def _rotated(words: UInt32[Array, "..."], by: int) -> UInt32[Array, "..."]:
    return (words << by) | (words >> (32 - by))


def _random_bits(key: UInt32[Array, "8"], width: int, shape: tuple[int, ...]) -> UInt[Array, "..."]:
    """The stream: first word 0 of every block, then word 1 of every block, …."""
    if width == 64:
        raise ConfigError("Random words of 64 bits: expected 8, 16 or 32; draw two of 32")
    size = math.prod(shape)
    count = -(-size // _BLOCK)
    if count >= 2**32:
        raise ConfigError(f"{size} random words from one key: expected fewer than 2^36")
    words = blocks(key, jnp.arange(count, dtype=jnp.uint32), (_BITS, 0, 0))
    return words.reshape(-1)[:size].reshape(shape).astype(f"uint{width}")


def _split(key: UInt32[Array, "8"], shape: tuple[int, ...]) -> UInt32[Array, "... 8"]:
    counters = jnp.arange(math.prod(shape), dtype=jnp.uint32)
    return blocks(key, counters, (_SPLIT, 0, 0))[:8].T.reshape(*shape, 8)


def _fold_in(key: UInt32[Array, "8"], data: int) -> UInt32[Array, "8"]:
    return blocks(key, jnp.zeros(1, jnp.uint32), (_FOLD, data, 0))[:8, 0]


def _seed(seed: Array) -> UInt32[Array, "8"]:
    del seed
    raise ConfigError(
        "A key of ChaCha20 from an integer: expected secret_key(), or study_key(seed) for a study"
    )


CHACHA20 = define_prng_impl(
    key_shape=(8,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="chacha20",
    tag="cc20",
)
"""JAX's name of the generator, for ``impl=``."""
