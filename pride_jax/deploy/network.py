"""How the server reaches nodes, whatever carries its requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pride_jax.deploy.agreement import Record

UNREACHED = "unreached"
"""In a reply that is not the node's, but says why there is none."""


class Network(NamedTuple):
    """How requests reach nodes.

    Attributes:
      nodes: -> those that are connected.
      exchange: requests by node, seconds to wait -> node and reply, as each comes by then.
    """

    nodes: Callable[[], Sequence[int]]
    exchange: Callable[[Mapping[int, Record], float], Iterator[tuple[int, Record]]]
