"""Which client holds which examples: the ways of dividing a training set among clients."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from pride_jax.errors import ConfigError


class Partition(NamedTuple):
    """A division of examples among clients.

    Client ``k`` holds the ``sizes[k]`` rows of ``index`` that follow those of clients ``0 … k−1``.

    Attributes:
      index: example numbers, client after client.
      sizes: examples a client; zero is allowed.
    """

    index: Int[np.ndarray, "examples"]
    sizes: Int[np.ndarray, "clients"]


def iid(rng: np.random.Generator, num_examples: int, num_clients: int) -> Partition:
    """Shuffled and dealt evenly: sizes differ by one at most.

    Raises:
      ConfigError: fewer than one client.
    """
    _check_clients(num_clients)
    sizes = np.full(num_clients, num_examples // num_clients)
    sizes[: num_examples % num_clients] += 1
    return by_sizes(rng, num_examples, sizes.tolist())


def by_sizes(rng: np.random.Generator, num_examples: int, sizes: Sequence[int]) -> Partition:
    """Shuffled, then cut to the given sizes; examples beyond their sum stay unused.

    Raises:
      ConfigError: no clients, a negative size, or more than there are examples.
    """
    _check_clients(len(sizes))
    if min(sizes) < 0:
        raise ConfigError(f"Expected client sizes of at least 0, got {min(sizes)}: correct `sizes`")
    if sum(sizes) > num_examples:
        raise ConfigError(
            f"The client sizes add up to {sum(sizes)}, but there are {num_examples} training "
            "examples: reduce `sizes`"
        )
    return _partition(rng.permutation(num_examples)[: sum(sizes)], sizes)


def label_shards(
    rng: np.random.Generator,
    labels: Int[np.ndarray, "examples"],
    num_clients: int,
    shards_per_client: int = 2,
    copies: int = 1,
) -> Partition:
    """Sorted by label, cut into equal shards, a few shards a client: McMahan et al. (2016).

    Args:
      rng: deals the shards.
      labels: one a training example.
      num_clients: clients, ``shards_per_client`` shards each.
      shards_per_client: 2 in the paper, so that most clients see two classes.
      copies: how often the training set is repeated before it is dealt. Geyer et al. (2017) use
        ``num_clients / 100`` copies of MNIST beyond 100 clients, to keep 600 examples a client; an
        example then lies with several clients.

    Raises:
      ConfigError: the shards cannot be dealt evenly, or there are more shards than examples.
    """
    _check_clients(num_clients)
    num_shards = num_clients * shards_per_client
    if shards_per_client < 1 or copies < 1 or num_shards % copies:
        raise ConfigError(
            f"Expected {copies} copies to divide {num_clients} clients × {shards_per_client} "
            "shards: change `num_clients`, `shards_per_client` or `copies`"
        )
    shards_a_copy = num_shards // copies
    if shards_a_copy > len(labels):
        raise ConfigError(
            f"{shards_a_copy} shards were asked of {len(labels)} examples: use fewer clients, "
            "fewer shards a client or more copies"
        )
    shards = np.array_split(np.argsort(labels, kind="stable"), shards_a_copy) * copies
    dealt = rng.permutation(num_shards).reshape(num_clients, shards_per_client)
    clients = [np.concatenate([shards[shard] for shard in row]) for row in dealt]
    return _partition(np.concatenate(clients), [len(client) for client in clients])


def dirichlet(
    rng: np.random.Generator,
    labels: Int[np.ndarray, "examples"],
    num_clients: int,
    alpha: float,
) -> Partition:
    """Each class divided among clients in proportions from Dirichlet(α): Yurochkin et al. (2019).

    Small ``alpha`` gives clients of few classes and of very uneven, possibly zero, sizes; large
    ``alpha`` approaches IID.

    Raises:
      ConfigError: ``alpha`` is not positive.
    """
    _check_clients(num_clients)
    if not alpha > 0:
        raise ConfigError(f"Expected alpha > 0, got {alpha}: use e.g. 0.5")
    clients: list[list[np.ndarray]] = [[] for _ in range(num_clients)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        shares = rng.dirichlet(np.full(num_clients, alpha))
        cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for client, part in zip(clients, np.split(members, cuts), strict=True):
            client.append(part)
    joined = [np.concatenate(client) for client in clients]
    return _partition(np.concatenate(joined), [len(client) for client in joined])


def by_group(groups: Int[np.ndarray, "examples"]) -> Partition:
    """One client for each value of ``groups``, in ascending order, such as MNIST's writers."""
    _, sizes = np.unique(groups, return_counts=True)
    return _partition(np.argsort(groups, kind="stable"), sizes.tolist())


def with_pooled(partition: Partition) -> Partition:
    """One more client, the last, that holds what all hold: whom a central model is trained for."""
    index, sizes = partition
    return Partition(np.concatenate([index, index]), np.append(sizes, np.int32(len(index))))


def label_counts(
    partition: Partition, labels: Int[np.ndarray, "examples"], outputs: int
) -> Int[np.ndarray, "clients classes"]:
    """How many examples of each class each client holds."""
    owners = np.repeat(np.arange(len(partition.sizes)), partition.sizes)
    counts = np.zeros((len(partition.sizes), outputs), np.int64)
    np.add.at(counts, (owners, labels[partition.index]), 1)
    return counts


def _partition(index: np.ndarray, sizes: Sequence[int]) -> Partition:
    return Partition(index.astype(np.int32), np.asarray(sizes, np.int32))


def _check_clients(num_clients: int) -> None:
    if num_clients < 1:
        raise ConfigError(f"Expected at least one client, got {num_clients}")
