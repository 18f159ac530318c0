"""The Flower app: what Flower starts for a message, and the server of a run.

Flower starts a process for every message. That of a node passes the request on to the role's own
process, see `resident`, and its reply back: it has no key and no example, and imports little.
"""

# pyright: reportMissingImports=false
# Flower is an extra.

import os
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from pride_jax.deploy.wire import RECORD, ask

client = ClientApp()
server = ServerApp()


@client.query()
def answer(message: Message, context: Context) -> Message:
    """A node's reply, which the process of its role gives; a refusal is a reply, too."""
    request = dict(message.content.get(RECORD, {}))
    reply = ask(Path(str(context.node_config["folder"])), request)
    return Message(RecordDict({RECORD: ConfigRecord(reply)}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Serves the run that the folder describes, if the SuperLink's owner began it.

    Raises:
      RunError: somebody else has.
    """
    from pride_jax.deploy.grid import network
    from pride_jax.deploy.seal import check_seal
    from pride_jax.deploy.server import serve

    folder = Path(str(context.run_config["folder"]))
    # Of this process's environment, which no request changes.
    check_seal(Path(os.environ["FLWR_HOME"]).parent, folder, str(context.run_config["seal"]))
    serve(folder, network(grid))
