"""What a moving window sees: where it stands, and the pieces of images that it cuts out."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Padding = tuple[tuple[int, int], ...]


class Moves(NamedTuple):
    """How a window moves over images, one entry a spatial axis.

    Attributes:
      strides: between the places where it stands.
      padding: of the images before and after.
      dilation: between the pixels that it sees, 1 of neighbours.
    """

    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]

    @property
    def strided(self) -> bool:
        """Whether the window skips places."""
        return set(self.strides) != {1}


def step_by_step(padding: Padding, dilation: tuple[int, ...]) -> Moves:
    """A window that skips no place."""
    return Moves((1,) * len(padding), padding, dilation)


def places(size: Sequence[int], window: Sequence[int], moves: Moves) -> tuple[int, ...]:
    """In how many places a window stands, on each axis."""
    return tuple(
        (side + sum(pad) - (reach - 1) * apart - 1) // stride + 1
        for side, reach, stride, pad, apart in zip(size, window, *moves, strict=True)
    )


def by_offset(x: Array, window: Sequence[int], moves: Moves, fill: float = 0.0) -> list[Array]:
    """Of images ``[batch, *space, channels]``, what each pixel of the window sees.

    The gradient puts the pieces between each other: no pixel is added to zeros.

    Args:
      x: images.
      window: its pixels on each axis.
      moves: how it moves.
      fill: what padding holds.
    """

    @jax.custom_vjp
    def cut(x: Array) -> list[Array]:
        counts = places(x.shape[1:-1], window, moves)
        reached = [
            (count - 1) * stride + 1 for count, stride in zip(counts, moves.strides, strict=True)
        ]
        pixels = (
            range(0, reach * apart, apart)
            for reach, apart in zip(window, moves.dilation, strict=True)
        )
        return _cut(x, itertools.product(*pixels), reached, moves.strides, moves.padding, fill)

    size = x.shape[1:-1]
    cut.defvjp(lambda x: (cut(x), None), lambda _, pieces: (onto(size, pieces, window, moves),))
    return cut(x)


def onto(
    size: Sequence[int], pieces: Sequence[Array], window: Sequence[int], moves: Moves
) -> Array:
    """Images of this size, each pixel the sum of the pieces that saw it: `by_offset`, transposed.

    Pixels that lie a stride apart are seen by the same pixels of the window. They are summed
    first, those of the window's first places first, and then put between the others.
    """
    counts = pieces[0].shape[1:-1]
    reached = [
        count + (reach - 1) * apart // stride
        for count, reach, stride, apart in zip(
            counts, window, moves.strides, moves.dilation, strict=True
        )
    ]
    zero = jnp.zeros((), pieces[0].dtype)
    parts: dict[tuple[int, ...], Array] = {}
    pixels = itertools.product(*map(range, window))
    for pixel, piece in reversed(list(zip(pixels, pieces, strict=True))):
        whole = [
            divmod(place * apart, stride)
            for place, apart, stride in zip(pixel, moves.dilation, moves.strides, strict=True)
        ]
        sides = [
            (shift, reach - count - shift, 0)
            for (shift, _), reach, count in zip(whole, reached, counts, strict=True)
        ]
        moved = lax.pad(piece, zero, [(0, 0, 0), *sides, (0, 0, 0)])
        phase = tuple(rest for _, rest in whole)
        parts[phase] = parts[phase] + moved if phase in parts else moved
    unseen = jnp.zeros_like(next(iter(parts.values())))
    phases = itertools.product(*map(range, moves.strides))
    apart = jnp.stack([parts.get(phase, unseen) for phase in phases])
    return interleaved(apart, size, moves)


def interleaved(apart: Array, size: Sequence[int], moves: Moves) -> Array:
    """Images of this size from parts ``[prod(strides), batch, *space, channels]``.

    A part holds the pixels that lie a stride apart, the first part those from the first on. The
    parts are of padded images, and pixels beyond them are zeros.
    """
    _, batch, *space, channels = apart.shape
    axes = range(len(space))
    split = apart.reshape(*moves.strides, batch, *space, channels)
    order = itertools.chain(*((len(space) + 1 + axis, axis) for axis in axes))
    reached = [count * stride for count, stride in zip(space, moves.strides, strict=True)]
    padded = split.transpose(len(space), *order, split.ndim - 1).reshape(batch, *reached, channels)
    cut = [
        (-before, side + before - reach, 0)
        for (before, _), side, reach in zip(moves.padding, size, reached, strict=True)
    ]
    return lax.pad(padded, jnp.zeros((), padded.dtype), [(0, 0, 0), *cut, (0, 0, 0)])


def by_place(x: Array, window: Sequence[int], moves: Moves) -> list[Array]:
    """Of images ``[batch, *space, channels]``, the whole window wherever it stands."""
    counts = places(x.shape[1:-1], window, moves)
    starts = (
        range(0, count * stride, stride)
        for count, stride in zip(counts, moves.strides, strict=True)
    )
    sides = [(reach - 1) * apart + 1 for reach, apart in zip(window, moves.dilation, strict=True)]
    return _cut(x, itertools.product(*starts), sides, moves.dilation, moves.padding, 0.0)


def _cut(
    x: Array,
    starts: Iterable[tuple[int, ...]],
    sides: Sequence[int],
    steps: Sequence[int],
    padding: Padding,
    fill: float,
) -> list[Array]:
    filling = jnp.asarray(fill, x.dtype)
    padded = lax.pad(x, filling, [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)])
    return [
        lax.slice(
            padded,
            (0, *start, 0),
            (x.shape[0], *map(sum, zip(start, sides, strict=True)), x.shape[-1]),
            (1, *steps, 1),
        )
        for start in starts
    ]
