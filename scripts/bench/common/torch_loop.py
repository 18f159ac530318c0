"""The networks of ``bench/networks.py`` in a plain PyTorch loop: run by an interpreter that has it.

``python torch_loop.py WORK.npz`` reads the work (see `networks`), says ``ready`` and, for each line
on its input, trains every client once, one after the other, and prints processor seconds and the
mean loss.
"""

# pyright: reportMissingImports=false

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class LeNet(nn.Module):
    """Two valid 5×5 convolutions, each followed by 2×2 max pooling, and three dense layers."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.dense1 = nn.Linear(400, 120)
        self.dense2 = nn.Linear(120, 84)
        self.logits = nn.Linear(84, 10)

    def forward(self, x):
        """Logits or features of images, channels first."""
        x = functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        # Flax's order of features, so that the dense layers are the same.
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.logits(torch.relu(self.dense2(torch.relu(self.dense1(x)))))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut, with group normalisation."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(8, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, outputs, eps=1e-6)
        narrows = stride > 1 or inputs != outputs
        self.shortcut = (
            nn.Conv2d(inputs, outputs, 1, stride, bias=False) if narrows else nn.Identity()
        )

    def forward(self, x):
        """Logits or features of images, channels first."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """`pride_jax.models.networks.ResNet` of width 16."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(8, 16, eps=1e-6)
        self.blocks = nn.ModuleList([Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)])
        self.dense = nn.Linear(64, 10)

    def forward(self, x):
        """Logits or features of images, channels first."""
        x = torch.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.dense(x.mean((2, 3)))


class Depthwise(nn.Module):
    """A 3×3 convolution, then three depthwise ones, each followed by a 1×1 convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, 1, 1)
        widths = [(32, 64, 1), (64, 128, 2), (128, 128, 1)]
        self.depths = nn.ModuleList(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs) for inputs, _, stride in widths
        )
        self.points = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for inputs, outputs, _ in widths)
        self.dense = nn.Linear(128, 10)

    def forward(self, x):
        """Logits or features of images, channels first."""
        x = torch.relu(self.conv(x))
        for depth, point in zip(self.depths, self.points, strict=True):
            x = torch.relu(point(torch.relu(depth(x))))
        return self.dense(x.mean((2, 3)))


NETWORKS = {"lenet": LeNet, "resnet": ResNet, "depthwise": Depthwise}


def main():
    """Trains for as many lines as come in."""
    torch.set_num_threads(1)
    work = np.load(sys.argv[1])
    steps, batch, rate = int(work["steps"]), int(work["batch"]), float(work["rate"])
    given = {
        name.removeprefix("param "): torch.from_numpy(work[name])
        for name in work.files
        if name.startswith("param ")
    }
    images = torch.from_numpy(work["images"].transpose(0, 1, 4, 2, 3).copy())
    targets = torch.from_numpy(work["targets"].astype(np.int64))
    model = NETWORKS[str(work["network"])]()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)

    def train():
        total = {name: torch.zeros_like(value) for name, value in given.items()}
        losses = 0.0
        for client in range(len(images)):
            model.load_state_dict(given)
            for _ in range(steps):
                order = torch.randperm(len(images[client]))[:batch]
                inputs = (images[client][order].float() - 127.0) / 255.0
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(inputs), targets[client][order])
                loss.backward()
                optimizer.step()
                losses += float(loss.detach())
            for name, value in model.state_dict().items():
                total[name] += value
        mean = {name: value / len(images) for name, value in total.items()}
        return mean, losses / (len(images) * steps)

    train()
    print("ready", torch.__version__, flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        _, loss = train()
        print(time.process_time() - start, loss, flush=True)


if __name__ == "__main__":
    main()
