"""Rotations by public signs, after which no value of an update is large.

A Hadamard transform of m values, m a power of two, adds them up with signs, each sum over √m. With
other signs before, drawn by chance, it is the randomised Hadamard transform of Ailon & Chazelle
2009, The Fast Johnson-Lindenstrauss Transform. An update is not padded to a power of two, which
would make it longer to send: its first m values are transformed, for the largest m that it has, and
then, with other signs, its last m. Both are orthogonal, and so is what they make together.

**No value is large.** Let x be an update that was made without regard to the signs. A value of the
last m is Σ ± u_j/√m, with signs that are independent of u, what the first transform made, of which
|u| <= |x|. So it exceeds k |x|/√m with probability at most 2 exp(−k²/2) (Hoeffding 1963). Each
of the others is such a sum of the first m values of x, by the first signs.

Nothing here is secret: everybody makes a round's signs from its number. They hide nothing, and
privacy asks nothing of them: an update that was made with regard to the signs is scaled down as any
other that leaves the integers' range is.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int

from pride_jax.privacy.values import block_of

_SEED = 0
"""Of the signs of all rounds of all runs."""


def rotate(round_: Int[Array, ""], vector: Float32[Array, "length"]) -> Float32[Array, "length"]:
    """An update, rotated by the signs of a round.

    Args:
      round_: the round.
      vector: an update, flat.
    """
    first, last = _signs(round_, vector.size)
    block = block_of(vector.size)
    vector = jnp.concatenate([_hadamard(first * vector[:block]), vector[block:]])
    return jnp.concatenate([vector[:-block], _hadamard(last * vector[-block:])])


def rotate_back(
    round_: Int[Array, ""], vector: Float32[Array, "length"]
) -> Float32[Array, "length"]:
    """Undoes `rotate`, of an update as of a sum of updates.

    Args:
      round_: the round.
      vector: what `rotate` made, or a sum of such.
    """
    first, last = _signs(round_, vector.size)
    block = block_of(vector.size)
    vector = jnp.concatenate([vector[:-block], last * _hadamard(vector[-block:])])
    return jnp.concatenate([first * _hadamard(vector[:block]), vector[block:]])


def _signs(round_: Int[Array, ""], length: int) -> Float32[Array, "2 block"]:
    """Signs of the two transforms."""
    key = jax.random.fold_in(jax.random.key(_SEED), round_)
    return jax.random.rademacher(key, (2, block_of(length)), jnp.float32)


def _hadamard(vector: Float32[Array, "block"]) -> Float32[Array, "block"]:
    """Sums with the signs of Hadamard's matrix, over the root of their number: its own inverse.

    Each step adds and subtracts neighbours, and puts sums before differences. So the last bit of an
    index becomes the first, and after as many steps as there are bits all are in place again.
    """

    def step(_: Array, values: Float32[Array, "block"]) -> Float32[Array, "block"]:
        even, odd = values.reshape(-1, 2).T
        return jnp.concatenate([even + odd, even - odd])

    steps = vector.size.bit_length() - 1
    return jax.lax.fori_loop(0, steps, step, vector) * jnp.float32(vector.size**-0.5)
