"""What peers are measured at: published workloads, their first weights, and their arithmetic."""

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from pride_jax.data.dataset import Dataset
from pride_jax.data.partition import iid, label_shards

Network = Literal["2nn", "cnn", "lenet", "two_convolutions"]


class Layer(NamedTuple):
    """A product of matrices.

    Attributes:
      places: of an example at which the weights are used: 1 for a dense layer.
      shape: of the weights, ``(inputs, outputs)`` or ``(height, width, inputs, outputs)``.
    """

    places: int
    shape: tuple[int, ...]


NETWORKS: dict[Network, tuple[Layer, ...]] = {
    "2nn": (Layer(1, (784, 200)), Layer(1, (200, 200)), Layer(1, (200, 10))),
    "cnn": (
        Layer(28 * 28, (5, 5, 1, 32)),
        Layer(14 * 14, (5, 5, 32, 64)),
        Layer(1, (3136, 512)),
        Layer(1, (512, 10)),
    ),
    "lenet": (
        Layer(28 * 28, (5, 5, 3, 6)),
        Layer(10 * 10, (5, 5, 6, 16)),
        Layer(1, (400, 120)),
        Layer(1, (120, 84)),
        Layer(1, (84, 10)),
    ),
    "two_convolutions": (
        Layer(30 * 30, (3, 3, 3, 32)),
        Layer(28 * 28, (3, 3, 32, 64)),
        Layer(1, (12544, 128)),
        Layer(1, (128, 10)),
    ),
}


class Work(NamedTuple):
    """A workload, the same for every peer.

    Attributes:
      network: what is trained; plain SGD, mean cross-entropy, float32.
      dataset: which examples, by their name in `load_dataset`.
      partition: ``iid``, or ``shards`` of two classes a client.
      clients: all of them.
      examples: of a client.
      cohort: clients a round.
      epochs: of a client.
      batch_size: examples a step.
      rate: of SGD.
      shift: a network sees ``(bytes - shift) * scale``.
      scale: see there.
      rounds: in all; the first, in which programs are compiled and processes start, is told apart.
    """

    network: Network
    dataset: str
    partition: Literal["iid", "shards"]
    clients: int
    examples: int
    cohort: int
    epochs: int
    batch_size: int
    rate: float
    shift: float
    scale: float
    rounds: int


_MNIST = Work("2nn", "mnist", "iid", 100, 600, 10, 1, 10, 0.1, 0.0, 1 / 255, 16)
_CIFAR = _MNIST._replace(dataset="cifar10_jpeg", shift=127.5, scale=1 / 127.5)
WORKS = {
    # McMahan et al. 2016.
    "2nn": _MNIST,
    "cnn": _MNIST._replace(network="cnn", rounds=4),
    # The benchmark in BlazeFL's repository, without its flips and crops; it has 5 rounds.
    "blazefl": _CIFAR._replace(
        network="lenet",
        partition="shards",
        examples=500,
        cohort=100,
        epochs=5,
        batch_size=50,
        rounds=3,
    ),
    # Granqvist et al. 2024, the benchmark of pfl-research; it has 1,500 rounds.
    "pfl": _CIFAR._replace(
        network="two_convolutions", clients=1000, examples=50, cohort=50, rounds=6
    ),
}


def num_parameters(network: Network) -> int:
    """Weights and biases."""
    return sum(math.prod(layer.shape) + layer.shape[-1] for layer in NETWORKS[network])


def operations(work: Work) -> int:
    """Floating-point operations of a round's products: those that any framework has to do.

    Of each layer one product forward and two backward, except that nobody asks for the gradient of
    the images.
    """
    forward = [2 * layer.places * math.prod(layer.shape) for layer in NETWORKS[work.network]]
    examples = work.cohort * work.examples * work.epochs
    return examples * (3 * sum(forward) - forward[0])


def first_weights(network: Network, rng: np.random.Generator) -> list[np.ndarray]:
    """Uniform as by Glorot & Bengio (2010), float32."""
    weights = []
    for layer in NETWORKS[network]:
        *window, inputs, outputs = layer.shape
        bound = math.sqrt(6 / (math.prod(window) * (inputs + outputs)))
        weights.append(rng.uniform(-bound, bound, layer.shape).astype(np.float32))
    return weights


def write_arrays(path: Path, work: Work, dataset: Dataset, seed: int = 0) -> None:
    """What a driver reads: examples, whose they are, and first weights; the same for a seed."""
    rng = np.random.default_rng(seed)
    if work.partition == "iid":
        division = iid(rng, len(dataset.train_targets), work.clients)
    else:
        division = label_shards(rng, dataset.train_targets, work.clients)
    weights: dict[str, Any] = {
        f"weights_{number}": each for number, each in enumerate(first_weights(work.network, rng))
    }
    np.savez(
        path,
        images=dataset.train_inputs,
        labels=dataset.train_targets,
        index=division.index.reshape(work.clients, work.examples),
        test_images=dataset.test_inputs,
        test_labels=dataset.test_targets,
        **weights,
    )
