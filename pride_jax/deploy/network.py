"""How the server reaches nodes, whatever carries its requests."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pride_jax.deploy.agreement import Record


class Network(NamedTuple):
    """How requests reach nodes.

    Attributes:
      nodes: -> those that are connected.
      exchange: requests by node, seconds to wait -> the replies that came by then, by node.
    """

    nodes: Callable[[], Sequence[int]]
    exchange: Callable[[Mapping[int, Record], float], dict[int, Record]]
