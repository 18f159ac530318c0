"""What clients add to their integers before they protect them: a share of the noise, or nothing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, Integer

from pride_jax.errors import ProtocolError
from pride_jax.privacy.mechanisms.share_noise import centre

Rows = Integer[np.ndarray, "clients length"]
"""Integers of some clients, one a row."""


class Shares(NamedTuple):
    """How clients noise their integers, and what is made of the opened sum.

    Attributes:
      extra_bits: by which what is sent is wider than the integers, or narrower if less than 0.
      draw: number of clients announced, at least the plan's smallest cohort, and how many of them
        draw here -> these clients' shares. It can run while the device trains.
      add: clients' integers and their shares -> what they send; raises ProtocolError where an
        update exceeds the integers' range, which noise would hide from the protocol.
      centred: the opened sum of what was sent -> the integers' sum, with the noise in it.
    """

    extra_bits: int
    draw: Callable[[int, int], Any]
    add: Callable[[Rows, Any], Rows]
    centred: Callable[[Int64[np.ndarray, "length"]], Int64[np.ndarray, "length"]]


NO_SHARES = Shares(
    extra_bits=0,
    draw=lambda announced, here: (),
    add=lambda integers, shares: integers,
    centred=lambda total: total,
)
"""Clients send their integers as they are: the server adds the noise, or there is none."""


def integer_shares(
    largest: int,
    bits: int,
    extra_bits: int,
    draw: Callable[[int, int], Int64[np.ndarray, "clients length"]],
) -> Shares:
    """Shares that are integers themselves; what is sent are residues with room for the whole sum.

    Args:
      largest: most that a client's integer is, in magnitude.
      bits: of the residues.
      extra_bits: by which these are wider than the integers; less than 0 where they are narrower.
      draw: see `Shares`.
    """

    def add(integers: Rows, shares: Int64[np.ndarray, "clients length"]) -> Rows:
        if integers.size and not -largest <= integers.min() <= integers.max() <= largest:
            raise ProtocolError(
                f"An update exceeds the integers ±{largest}: expected at most the clipping norm, "
                "which the noise is made for"
            )
        return centre(integers + shares, bits)

    return Shares(extra_bits, draw, add, lambda total: centre(total, bits))
