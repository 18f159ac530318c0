"""The networks in PyTorch, and a client's training, for every framework on top of PyTorch."""

# pyright: reportMissingImports=false

from collections.abc import Sequence

import asked
import numpy as np
import torch
from asked import CLASSES, Arrays, Task
from torch import nn
from torch.nn import functional


def network(task: Task, weights: Sequence[np.ndarray]) -> nn.Module:
    """The task's network with its first weights; images have their channels first."""
    made = _NETWORKS[task.network]()
    layers = [layer for layer in made.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    with torch.no_grad():
        for layer, weight in zip(layers, weights, strict=True):
            assert layer.bias is not None
            axes = (1, 0) if weight.ndim == 2 else (3, 2, 0, 1)
            layer.weight.copy_(torch.from_numpy(weight).permute(axes))
            layer.bias.zero_()
    return made


def _two_nn() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200),
        nn.ReLU(),
        nn.Linear(200, 200),
        nn.ReLU(),
        nn.Linear(200, CLASSES),
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, CLASSES),
    )


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, CLASSES),
    )


def _two_convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(12544, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, CLASSES),
    )


_NETWORKS = {
    "2nn": _two_nn,
    "cnn": _cnn,
    "lenet": _lenet,
    "two_convolutions": _two_convolutions,
}

Examples = tuple[torch.Tensor, torch.Tensor]
"""Images ``[n, channels, height, width]`` and labels ``[n]``."""


def clients_of(task: Task, arrays: Arrays) -> list[Examples]:
    """Each client's examples, together in memory."""
    images = torch.from_numpy(asked.seen(task, arrays.images)).permute(0, 3, 1, 2)
    labels = torch.from_numpy(arrays.labels).long()
    return [
        (images[rows].contiguous(), labels[rows]) for rows in map(torch.from_numpy, arrays.index)
    ]


def accuracy(model: nn.Module, task: Task, arrays: Arrays) -> float:
    """On the test examples."""
    model.eval()
    images = torch.from_numpy(asked.seen(task, arrays.test_images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        guesses = torch.cat([model(batch).argmax(1) for batch in images.split(500)])
    return float((guesses == torch.from_numpy(arrays.test_labels)).float().mean())


def train(model: nn.Module, examples: Examples, task: Task) -> None:
    """One client's epochs of plain SGD, in place."""
    model.train()
    images, labels = examples
    optimizer = torch.optim.SGD(model.parameters(), lr=task.rate)
    for _ in range(task.epochs):
        for batch in torch.randperm(len(labels)).split(task.batch_size):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def num_parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(each.numel() for each in model.parameters())
