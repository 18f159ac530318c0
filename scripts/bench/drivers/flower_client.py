"""What runs in the processes of Flower's simulation: a client's training, by two interfaces."""

# pyright: reportMissingImports=false

import functools
import json
from pathlib import Path

import asked
import torch
import torch_networks
from asked import Task
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import Client, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from torch import nn
from torch_networks import Examples


class _Loaded:
    """What every client of a process shares."""

    def __init__(self, path: str) -> None:
        self.task = Task(**json.loads(Path(path).read_text()))
        torch.set_num_threads(1)
        arrays = asked.read_arrays(self.task)
        self.model: nn.Module = torch_networks.network(self.task, arrays.weights)
        self.clients: list[Examples] = torch_networks.clients_of(self.task, arrays)


@functools.cache
def _loaded(path: str) -> _Loaded:
    return _Loaded(path)


def client_app(path: str) -> ClientApp:
    """Clients that answer `Message`s, as Flower's guides write them."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        loaded = _loaded(path)
        examples = loaded.clients[int(context.node_config["partition-id"])]
        loaded.model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
        torch_networks.train(loaded.model, examples, loaded.task)
        content = RecordDict(
            {
                "arrays": ArrayRecord(loaded.model.state_dict()),
                "metrics": MetricRecord({"num-examples": len(examples[1])}),
            }
        )
        return Message(content=content, reply_to=message)

    return app


class _Summed(NumPyClient):
    """A client of Flower's older interface, the one that has SecAgg+."""

    def __init__(self, path: str, number: int) -> None:
        self.loaded = _loaded(path)
        self.examples = self.loaded.clients[number]

    def fit(self, parameters: list, config: dict) -> tuple[list, int, dict]:
        """Trains."""
        del config
        model = self.loaded.model
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), parameters, strict=True):
                parameter.copy_(torch.from_numpy(value))
        torch_networks.train(model, self.examples, self.loaded.task)
        trained = [each.detach().numpy() for each in model.parameters()]
        return trained, len(self.examples[1]), {}


def summed_client_app(path: str) -> ClientApp:
    """Clients whose updates SecAgg+ adds unseen."""

    def client(context: Context) -> Client:
        return _Summed(path, int(context.node_config["partition-id"])).to_client()

    return ClientApp(client_fn=client, mods=[secaggplus_mod])
