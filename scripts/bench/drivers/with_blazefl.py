"""BlazeFL's federated averaging of a PyTorch model, in its fastest mode for the cores there are.

One core trains in its own process. Several have threads where the interpreter has no global lock,
and processes otherwise, as in BlazeFL's own benchmark.
"""

# pyright: reportMissingImports=false, reportGeneralTypeIssues=false

import sys
import tempfile
from pathlib import Path
from typing import Any

import asked
import torch
import torch_networks
from asked import Arrays, Task
from blazefl.contrib import (
    FedAvgBaseClientTrainer,
    FedAvgBaseServerHandler,
    FedAvgProcessPoolClientTrainer,
    FedAvgThreadPoolClientTrainer,
)
from blazefl.core import IPCMode, ModelSelector, PartitionedDataset
from torch import multiprocessing, nn
from torch.utils.data import DataLoader, Dataset
from torch_networks import Examples


class Client(Dataset):
    """One client's examples, taken by the batch."""

    def __init__(self, examples: Examples) -> None:
        self.images, self.labels = examples

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, rows: list[int]) -> Examples:
        return self.images[rows], self.labels[rows]


def _as_it_is(batch: Examples) -> Examples:
    return batch


class Files(PartitionedDataset):
    """A file for each client, since processes are sent this object again and again."""

    def __init__(self, folder: Path, task: Task, arrays: Arrays) -> None:
        self.folder = folder
        for client, examples in enumerate(torch_networks.clients_of(task, arrays)):
            torch.save(examples, folder / f"{client}.pt")

    def get_dataset(self, type_: str, cid: int | None) -> Client:
        """A client's."""
        del type_
        return Client(torch.load(self.folder / f"{cid}.pt"))

    def set_dataset(self, type_: str, cid: int | None, dataset: Dataset) -> None:
        """Nothing: examples do not change."""

    def get_dataloader(
        self,
        type_: str,
        cid: int | None,
        batch_size: int | None = None,
        generator: torch.Generator | None = None,
    ) -> DataLoader:
        """A client's examples in an order drawn anew each epoch."""
        return DataLoader(
            self.get_dataset(type_, cid),
            batch_size=batch_size,
            shuffle=True,
            generator=generator,
            collate_fn=_as_it_is,
        )


class Selector(ModelSelector):
    """The task's network with its first weights."""

    def __init__(self, task: Task, arrays: Arrays) -> None:
        self.task = task
        self.weights = arrays.weights

    def select_model(self, model_name: str) -> nn.Module:
        """The one there is."""
        del model_name
        return torch_networks.network(self.task, self.weights)


def _trainer(task: Task, files: Files, selector: Selector, clients: int, folder: Path) -> Any:
    common = {
        "model_selector": selector,
        "model_name": task.network,
        "dataset": files,
        "device": "cpu",
        "num_clients": clients,
        "epochs": task.epochs,
        "batch_size": task.batch_size,
        "lr": task.rate,
        "seed": 0,
    }
    if len(task.cores) == 1:
        return FedAvgBaseClientTrainer(**common)
    common["num_parallels"] = len(task.cores)
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return FedAvgThreadPoolClientTrainer(**common)
    return FedAvgProcessPoolClientTrainer(
        **common,
        share_dir=folder / "share",
        state_dir=folder / "state",
        ipc_mode=IPCMode.SHARED_MEMORY,
    )


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    torch.set_num_threads(1)
    arrays = asked.read_arrays(task)
    clients = len(arrays.index)
    selector = Selector(task, arrays)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = Files(folder, task, arrays)
        server = FedAvgBaseServerHandler(
            model_selector=selector,
            model_name=task.network,
            dataset=files,
            global_round=task.rounds,
            num_clients=clients,
            sample_ratio=task.cohort / clients,
            device="cpu",
            batch_size=task.batch_size,
            seed=0,
        )
        trainer = _trainer(task, files, selector, clients, folder)
        asked_for = asked.rounds(
            lambda: torch_networks.accuracy(server.model, task, arrays),
            torch_networks.num_parameters(server.model),
            "blazefl",
            "torch",
        )
        for _ in asked_for:
            trainer.local_process(server.downlink_package(), server.sample_clients())
            for package in trainer.uplink_package():
                server.load(package)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
