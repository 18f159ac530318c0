"""The app of real parties with a clock, and beside it an app that does nothing."""

# pyright: reportMissingImports=false
# Flower is an extra.

import json
import os
import time
from pathlib import Path

LOADED = time.time()

from flwr.app import ConfigRecord, Message, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import ServerApp  # noqa: E402

from pride_jax.deploy import flower  # noqa: E402

IMPORTED = time.time()
client = ClientApp()
server = ServerApp()


def _started():
    """When this process began, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    booted = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def _clocked(act, message, context, kind):
    asked = time.time()
    reply = act(message, context)
    row = {"kind": kind, "sent": message.metadata.created_at, "started": _started()}
    row |= {"loaded": LOADED, "imported": IMPORTED, "asked": asked, "answered": time.time()}
    row |= {"processor": sum(os.times()[:4])}
    with (Path(str(context.node_config["folder"])) / "clock.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    return reply


@client.query()
def answer(message, context):
    """A role's reply, timed."""
    kind = str(message.content["pride"]["kind"])
    return _clocked(flower.answer, message, context, kind)


@client.train()
def nothing(message, context):
    """A reply of nothing, timed."""

    def same(message, _):
        return Message(RecordDict({"pride": ConfigRecord({})}), reply_to=message)

    return _clocked(same, message, context, "nothing")


@server.main()
def main(grid, context):
    """Serves the folder's run, or rounds of nothing where it asks for these."""
    folder = Path(str(context.run_config["folder"]))
    null = folder / "null.json"
    if not null.exists():
        return flower.main(grid, context)
    setting, rows = json.loads(null.read_text()), []
    while len(list(grid.get_node_ids())) < setting["nodes"]:
        time.sleep(0.2)
    nodes = list(grid.get_node_ids())
    # The first finds processes that have yet to start.
    for _ in range(setting["rounds"] + 1):
        start, passed = time.time(), []
        for _ in range(setting["messages"]):
            content = RecordDict({"pride": ConfigRecord({"content": bytes(setting["bytes"])})})
            sent = [Message(content, message_type="train", dst_node_id=node) for node in nodes]
            waiting = set(grid.push_messages(sent))
            while waiting:
                for reply in grid.pull_messages(list(waiting)):
                    waiting.discard(reply.metadata.reply_to_message_id)
                if waiting:
                    time.sleep(setting["poll"])
            passed.append(time.time())
        rows.append({"start": start, "passed": passed})
    (folder / "null.rows.json").write_text(json.dumps(rows))
    (folder / "outcome.json").write_text(json.dumps({"error": None}))
    return None
