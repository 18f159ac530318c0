"""A small federated data set with uneven clients, and FedAvg on it in plain NumPy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pride_jax.data.augment import shuffle
from pride_jax.data.federated import FederatedData

FEATURES, CLASSES = 4, 3
SIZES = (7, 0, 12, 5, 3, 1, 9)


def small_data(sizes=SIZES, seed=0) -> FederatedData:
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    ends = np.cumsum(sizes)
    return FederatedData(
        inputs=jnp.asarray(rng.normal(size=(total, FEATURES)), jnp.float32),
        targets=jnp.asarray(rng.integers(0, CLASSES, total), jnp.int32),
        shift=jnp.asarray(0.3, jnp.float32),
        scale=jnp.asarray(1.7, jnp.float32),
        index=jnp.asarray(rng.permutation(total), jnp.int32),
        offsets=jnp.asarray(ends - np.array(sizes), jnp.int32),
        sizes=jnp.asarray(sizes, jnp.int32),
    )


class Logistic(NamedTuple):
    kernel: np.ndarray
    bias: np.ndarray


def numpy_client(
    params: Logistic,
    data: FederatedData,
    client: int,
    key: jax.Array,
    *,
    epochs: int,
    batch_size: int,
    rate: float,
    proximal: float = 0.0,
    scatter: float = 0.0,
) -> tuple[Logistic, float]:
    """SGD on one client's examples in float64; the update and the sum of losses."""
    size, offset = int(data.sizes[client]), int(data.offsets[client])
    received = Logistic(*(np.asarray(leaf, np.float64) for leaf in params))
    kernel, bias = received
    inputs, labels, index = (np.asarray(a) for a in (data.inputs, data.targets, data.index))
    own = index[offset : offset + size]
    scaled, classes = (inputs.astype(np.float64) - 0.3) * 1.7, labels[own]
    strayed = [scaled[row] - scaled[own[classes == labels[row]]].mean(axis=0) for row in own]
    loss_sum = 0.0
    for epoch in range(epochs):
        epoch_key = jax.random.fold_in(key, epoch)
        order = np.asarray(shuffle(epoch_key, jnp.int32(size), 64))[:size]
        lenders = shuffle(jax.random.fold_in(epoch_key, 0), jnp.int32(size), 64).tolist()
        for begin in range(0, size, batch_size):
            rows = index[offset + order[begin : begin + batch_size]]
            lent = [strayed[place] for place in lenders[begin : begin + len(rows)]]
            x = scaled[rows] + scatter * np.array(lent)
            logits = x @ kernel + bias
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            loss_sum -= np.log(shares[np.arange(len(rows)), labels[rows]]).sum()
            error = (shares - np.eye(CLASSES)[labels[rows]]) / len(rows)
            step_kernel = x.T @ error + proximal * (kernel - received.kernel)
            step_bias = error.sum(axis=0) + proximal * (bias - received.bias)
            kernel, bias = kernel - rate * step_kernel, bias - rate * step_bias
    return Logistic(kernel - received.kernel, bias - received.bias), loss_sum
