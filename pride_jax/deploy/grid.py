"""Requests to nodes and their replies, as Flower's messages."""

# pyright: reportMissingImports=false
# Flower is an extra.

import time
from collections.abc import Iterator, Mapping

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from pride_jax.deploy.agreement import Record
from pride_jax.deploy.network import UNREACHED, Network
from pride_jax.deploy.wire import RECORD

POLL_SECONDS = 0.1
"""From one look for replies to the next."""


def network(grid: Grid) -> Network:
    """Requests to nodes and their replies, over a run's grid."""

    def nodes() -> list[int]:
        return list(grid.get_node_ids())

    def exchange(requests: Mapping[int, Record], seconds: float) -> Iterator[tuple[int, Record]]:
        messages = [
            Message(
                RecordDict({RECORD: ConfigRecord(request)}),
                message_type="query",
                dst_node_id=node,
                ttl=seconds,
            )
            for node, request in requests.items()
        ]
        # Of replies that Flower makes in a node's place, only this tells whose they are.
        sent = zip(grid.push_messages(messages), requests, strict=True)
        waiting = {id_: node for id_, node in sent if id_}
        end = time.monotonic() + seconds
        while waiting and time.monotonic() < end:
            for reply in grid.pull_messages(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id)
                if reply.has_error():
                    yield node, {UNREACHED: str(reply.error.reason)}
                else:
                    yield node, dict(reply.content.get(RECORD, {}))
            if waiting:
                time.sleep(POLL_SECONDS)

    return Network(nodes, exchange)
