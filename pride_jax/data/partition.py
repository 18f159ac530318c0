"""Which client holds which examples: the ways of dividing a training set among clients."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from pride_jax.data.examples import are_classes
from pride_jax.errors import ConfigError
from pride_jax.validated import expect, expect_number, expect_whole


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
    expect_whole("num_examples", num_examples, 0)
    sizes = np.full(num_clients, num_examples // num_clients)
    sizes[: num_examples % num_clients] += 1
    return by_sizes(rng, num_examples, sizes.tolist())


def by_sizes(rng: np.random.Generator, num_examples: int, sizes: Sequence[int]) -> Partition:
    """Shuffled, then cut to the given sizes; examples beyond their sum stay unused.

    Raises:
      ConfigError: no clients, a negative size, or more than there are examples.
    """
    _check_rng(rng)
    expect("sizes", sizes, (Sequence, np.ndarray), "a number of examples for each client")
    _check_clients(len(sizes))
    for size in sizes:
        expect("a client's size", size, (int, np.integer), "a whole number of examples")
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
      ConfigError: the shards cannot be dealt evenly, there are more shards than examples, or the
        targets are not one class an example.
    """
    _check_rng(rng)
    _check_clients(num_clients)
    labels = np.asarray(labels)
    _check_classes(labels, "Label shards")
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
      ConfigError: ``alpha`` is not positive, or the targets are not one class an example.
    """
    _check_rng(rng)
    _check_clients(num_clients)
    labels = np.asarray(labels)
    _check_classes(labels, "A Dirichlet partition")
    expect_number("alpha", alpha, "a finite number above 0, such as 0.5")
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
    """One client for each value of ``groups``, in ascending order, such as MNIST's writers.

    Raises:
      ConfigError: groups are not one whole number or text an example.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups) or groups.dtype.kind not in "iuU":
        raise ConfigError(
            f"groups of type {groups.dtype} and shape {groups.shape}: expected one whole number or "
            "text an example, who made it; divide a set without groups by `iid` or another way"
        )
    _, sizes = np.unique(groups, return_counts=True)
    return _partition(np.argsort(groups, kind="stable"), sizes.tolist())


def hold_out_of_each(
    rng: np.random.Generator, partition: Partition, share: float
) -> tuple[Partition, Partition]:
    """Keeps a share of each client's own examples for its own test.

    Of ``n`` examples a client holds out ``share · n``, rounded to the nearest number (a half up),
    but never its last: a client with one example trains on it.

    Args:
      rng: draws them.
      partition: whose each example is.
      share: of each client's examples, at least 0 and below 1.

    Returns:
      What clients train on, and what they hold out: of the same clients, each one's examples in the
      order in which it held them.

    Raises:
      ConfigError: an impossible share, or an example that is held twice: held out by one client, it
        would be trained on by another.
    """
    _check_rng(rng)
    expect("partition", partition, Partition, "a Partition, such as iid(rng, examples, clients)")
    expect("share", share, (int, float), "a number from 0 to below 1")
    index, sizes = partition
    if not 0 <= share < 1:
        raise ConfigError(f"Expected a held-out share of at least 0 and below 1, got {share}")
    if share and len(np.unique(index)) < len(index):
        raise ConfigError(
            f"{len(index) - len(np.unique(index))} examples are held more than once, so that some "
            f"would be held out here and trained on there: expected one copy of each to hold out "
            f"{share} of them"
        )
    counts = np.minimum(np.floor(share * sizes + 0.5).astype(np.int32), np.maximum(sizes - 1, 0))
    owners = np.repeat(np.arange(len(sizes)), sizes)
    ranks = np.empty(len(index), np.int64)
    ranks[np.lexsort((rng.random(len(index)), owners))] = np.arange(len(index))
    ends = np.cumsum(sizes)
    held = ranks >= (ends - counts)[owners]
    return _partition(index[~held], (sizes - counts).tolist()), _partition(
        index[held], counts.tolist()
    )


def most_holders(partition: Partition) -> int:
    """The most clients that hold one same example, each client counted once."""
    owners = np.repeat(np.arange(len(partition.sizes)), partition.sizes)
    count = int(partition.index.max()) + 1
    held = np.unique(owners * count + partition.index) % count
    return int(np.bincount(held).max())


def with_pooled(partition: Partition) -> Partition:
    """One more client, the last, that holds what all hold: whom a central model is trained for."""
    index, sizes = partition
    return Partition(np.concatenate([index, index]), np.append(sizes, np.int32(len(index))))


def label_counts(
    partition: Partition, labels: Int[np.ndarray, "examples"], outputs: int
) -> Int[np.ndarray, "clients classes"]:
    """How many examples of each class each client holds.

    Raises:
      ConfigError: the targets are not one class an example.
    """
    _check_classes(labels, "Counts by class")
    owners = np.repeat(np.arange(len(partition.sizes)), partition.sizes)
    counts = np.zeros((len(partition.sizes), outputs), np.int64)
    np.add.at(counts, (owners, labels[partition.index]), 1)
    return counts


def _partition(index: np.ndarray, sizes: Sequence[int]) -> Partition:
    return Partition(index.astype(np.int32), np.asarray(sizes, np.int32))


def _check_classes(targets: np.ndarray, what: str) -> None:
    if not are_classes(targets):
        raise ConfigError(
            f"{what} cannot be had of targets of type {targets.dtype} and shape {targets.shape}: "
            "expected one class an example. Divide quantities and sequences by `iid`, `sizes` or "
            "`groups`"
        )


def _check_clients(num_clients: int) -> None:
    if isinstance(num_clients, int | np.integer) and num_clients < 1:
        raise ConfigError(f"Expected at least one client, got {num_clients}")
    expect_whole("num_clients", num_clients)


def _check_rng(rng: object) -> None:
    expect("rng", rng, np.random.Generator, "a generator, such as np.random.default_rng(0)")
