"""Flower's federated averaging of a PyTorch model in its simulation, on Ray."""

# pyright: reportMissingImports=false

import sys
from collections.abc import Iterator

import asked
import torch
import torch_networks
from asked import Arrays, Task
from flower_client import client_app, summed_client_app
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.common import ndarrays_to_parameters
from flwr.server import LegacyContext, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from flwr.simulation import run_simulation
from torch import nn

_SHARES, _THRESHOLD = 3, 2
"""Of a client's key, and how many of these open it."""


class Timed:
    """Lets Flower's own loop go on to the next round when one is asked for.

    Flower evaluates the model before the first round and after each one: there it waits.
    """

    def __init__(self, task: Task, arrays: Arrays) -> None:
        self.model: nn.Module = torch_networks.network(task, arrays.weights)
        self.rounds: Iterator[None] = asked.rounds(
            lambda: torch_networks.accuracy(self.model, task, arrays),
            torch_networks.num_parameters(self.model),
            "flwr",
            "ray",
            "torch",
        )

    def evaluate(self, number: int, arrays: ArrayRecord) -> MetricRecord:
        """Waits for the next round."""
        del number
        self.model.load_state_dict(arrays.to_torch_state_dict())
        next(self.rounds, None)
        return MetricRecord({})

    def evaluate_parameters(
        self, number: int, parameters: list, config: dict
    ) -> tuple[float, dict]:
        """The same in the older interface."""
        del number, config
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), parameters, strict=True):
                parameter.copy_(torch.from_numpy(value))
        next(self.rounds, None)
        return 0.0, {}


def server_app(task: Task, arrays: Arrays) -> ServerApp:
    """Federated averaging, with noise if the task asks for it."""
    timed, app, clients = Timed(task, arrays), ServerApp(), len(arrays.index)

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        strategy = FedAvg(
            fraction_train=task.cohort / clients,
            fraction_evaluate=0.0,
            min_available_nodes=clients,
        )
        if task.protection == "gaussian":
            strategy = DifferentialPrivacyServerSideFixedClipping(
                strategy, task.noise_multiplier, task.norm, task.cohort
            )
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(timed.model.state_dict()),
            num_rounds=task.rounds,
            evaluate_fn=timed.evaluate,
        )

    return app


def summing_server_app(task: Task, arrays: Arrays) -> ServerApp:
    """Federated averaging by SecAgg+."""
    timed, app, clients = Timed(task, arrays), ServerApp(), len(arrays.index)

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        first = [each.detach().numpy() for each in timed.model.parameters()]
        strategy = LegacyFedAvg(
            fraction_fit=task.cohort / clients,
            fraction_evaluate=0.0,
            min_available_clients=clients,
            evaluate_fn=timed.evaluate_parameters,
            initial_parameters=ndarrays_to_parameters(first),
        )
        workflow = DefaultWorkflow(SecAggPlusWorkflow(_SHARES, _THRESHOLD))
        config = ServerConfig(num_rounds=task.rounds)
        workflow(grid, LegacyContext(context, config=config, strategy=strategy))

    return app


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    torch.set_num_threads(len(task.cores))
    arrays = asked.read_arrays(task)
    summed = task.protection == "secagg+"
    path = sys.argv[1]
    run_simulation(
        summing_server_app(task, arrays) if summed else server_app(task, arrays),
        summed_client_app(path) if summed else client_app(path),
        num_supernodes=len(arrays.index),
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": len(task.cores), "include_dashboard": False},
        },
    )


if __name__ == "__main__":
    main()
