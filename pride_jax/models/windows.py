"""What a convolution's window sees: where it stands, and the pieces of images that it cuts out."""

import itertools
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Padding = tuple[tuple[int, int], ...]


def places(
    size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Padding
) -> tuple[int, ...]:
    """In how many places a window stands, on each axis."""
    return tuple(
        (side + sum(pad) - reach) // stride + 1
        for side, pad, reach, stride in zip(size, padding, window, strides, strict=True)
    )


def by_offset(
    x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding
) -> list[Array]:
    """Of images ``[batch, *space, channels]``, what each place in the window sees."""
    reached = _reached(x, window, strides, padding)
    return _cut(x, itertools.product(*map(range, window)), reached, strides, padding)


def by_place(
    x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding
) -> list[Array]:
    """Of images ``[batch, *space, channels]``, the whole window wherever it stands."""
    reached = _reached(x, window, strides, padding)
    starts = (range(0, reach, stride) for reach, stride in zip(reached, strides, strict=True))
    return _cut(x, itertools.product(*starts), window, (1,) * len(strides), padding)


def _reached(
    x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding
) -> list[int]:
    """How far the window's first corner goes."""
    counts = places(x.shape[1:-1], window, strides, padding)
    return [(count - 1) * stride + 1 for count, stride in zip(counts, strides, strict=True)]


def _cut(
    x: Array,
    starts: Iterable[tuple[int, ...]],
    sides: Sequence[int],
    steps: Sequence[int],
    padding: Padding,
) -> list[Array]:
    padded = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*p, 0) for p in padding), (0, 0, 0)])
    return [
        lax.slice(
            padded,
            (0, *start, 0),
            (x.shape[0], *map(sum, zip(start, sides, strict=True)), x.shape[-1]),
            (1, *steps, 1),
        )
        for start in starts
    ]
