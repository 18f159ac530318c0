"""The Flower app: requests and replies as Flower's messages, to and from each node's own folder."""

# pyright: reportMissingImports=false
# Flower is an extra.

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from pride_jax.deploy.agreement import Record
from pride_jax.deploy.network import UNREACHED, Network
from pride_jax.deploy.roles import respond
from pride_jax.errors import PrideError
from pride_jax.reporting import metrics

_RECORD = "pride"
ANSWERS = "answers.jsonl"
"""In a node's own folder: what each of its answers took of a processor."""
_LONGEST_KIND = 20
_POLL_SECONDS = 0.2

client = ClientApp()
server = ServerApp()


@client.query()
def answer(message: Message, context: Context) -> Message:
    """A node's reply, from its own folder; a refusal is a reply, too.

    What the reply took of a processor is for the node's owner: whoever asked could learn something
    of a secret from it.
    """
    folder = Path(str(context.node_config["folder"]))
    request: Record = dict(message.content.get(_RECORD, {}))
    reply: Record
    try:
        reply = respond(folder, request)
    except PrideError as error:
        reply = {"refused": str(error)}
    kind = str(request.get("kind"))[:_LONGEST_KIND]
    metrics.append(folder / ANSWERS, {"kind": kind, "processor_seconds": sum(os.times()[:4])})
    return Message(RecordDict({_RECORD: ConfigRecord(reply)}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Serves the run that the folder describes."""
    # Nodes, which start a process for every message, do without JAX where they can.
    from pride_jax.deploy.server import serve

    serve(Path(str(context.run_config["folder"])), network(grid))


def network(grid: Grid) -> Network:
    """Requests to nodes and their replies, over a run's grid."""

    def nodes() -> list[int]:
        return list(grid.get_node_ids())

    def exchange(requests: Mapping[int, Record], seconds: float) -> Iterator[tuple[int, Record]]:
        messages = [
            Message(
                RecordDict({_RECORD: ConfigRecord(request)}),
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
                    yield node, dict(reply.content.get(_RECORD, {}))
            if waiting:
                time.sleep(_POLL_SECONDS)

    return Network(nodes, exchange)
