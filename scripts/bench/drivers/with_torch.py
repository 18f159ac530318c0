"""A plain PyTorch loop: client after client, batch after batch, then the mean."""

# pyright: reportMissingImports=false

import asked
import numpy as np
import torch
import torch_networks


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    torch.set_num_threads(len(task.cores))
    arrays = asked.read_arrays(task)
    clients = torch_networks.clients_of(task, arrays)
    server = torch_networks.network(task, arrays.weights)
    local = torch_networks.network(task, arrays.weights)
    rng = np.random.default_rng(0)
    asked_for = asked.rounds(
        lambda: torch_networks.accuracy(server, task, arrays),
        torch_networks.num_parameters(server),
        "torch",
    )
    for _ in asked_for:
        sums = [torch.zeros_like(each) for each in server.parameters()]
        for client in rng.choice(len(clients), task.cohort, replace=False):
            local.load_state_dict(server.state_dict())
            torch_networks.train(local, clients[client], task)
            for total, trained in zip(sums, local.parameters(), strict=True):
                total += trained.detach()
        with torch.no_grad():
            for parameter, total in zip(server.parameters(), sums, strict=True):
                parameter.copy_(total / task.cohort)


if __name__ == "__main__":
    main()
