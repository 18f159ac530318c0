"""pride_jax's rounds: the house's networks for MNIST, a user's own Flax modules for CIFAR-10."""

# pyright: reportMissingImports=false
# What lies beside this file is found when it is started.

import os
import warnings
from collections.abc import Callable

import asked
import jax
import jax.numpy as jnp
import numpy as np
import optax
from asked import CLASSES, Arrays, Task
from flax import nnx

import pride_jax as pj
from bench.networks import LeNet
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.methods.method import uniform
from pride_jax.models.modules import num_parameters
from pride_jax.runs.devices import use_cores

_DELTA, _KEY_BITS = 1e-5, 3072


class TwoConvolutions(nnx.Module):
    """Two 3×3 convolutions and two dense layers, with dropout."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 32, (3, 3), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (3, 3), padding="VALID", rngs=rngs)
        self.dense1 = nnx.Linear(12544, 128, rngs=rngs)
        self.dense2 = nnx.Linear(128, CLASSES, rngs=rngs)
        self.dropout1 = nnx.Dropout(0.25, rngs=rngs)
        self.dropout2 = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits of images."""
        x = nnx.relu(self.conv2(nnx.relu(self.conv1(x))))
        x = self.dropout1(nnx.max_pool(x, (2, 2), (2, 2)))
        x = nnx.relu(self.dense1(x.reshape(x.shape[0], -1)))
        return self.dense2(self.dropout2(x))


_MODELS: dict[str, Callable[[], pj.Model]] = {
    "2nn": lambda: pj.two_nn((28, 28, 1), CLASSES),
    "cnn": lambda: pj.cnn((28, 28, 1), CLASSES),
    "lenet": lambda: pj.from_module(lambda rngs: LeNet(rngs=rngs)),
    "two_convolutions": lambda: pj.from_module(lambda rngs: TwoConvolutions(rngs=rngs)),
}


def _model(task: Task, arrays: Arrays) -> pj.Model:
    """The network with the task's first weights; layers are in the order of their names."""
    model = _MODELS[task.network]()
    leaves, structure = jax.tree.flatten(jax.eval_shape(model.init, jax.random.key(0)))
    weights = iter(arrays.weights)
    given = [
        jnp.zeros(leaf.shape) if leaf.ndim == 1 else jnp.asarray(next(weights)) for leaf in leaves
    ]
    return model._replace(init=lambda key: jax.tree.unflatten(structure, given))


def _secure(name: str) -> pj.SecureAggregation:
    inner = {"lattice(two_servers)": two_servers, "lattice(paillier)": pj.paillier}[name]
    protocol = pj.lattice(inner())
    keys = protocol.keygen(os.urandom, pj.Role.KEY_HOLDER)
    return pj.SecureAggregation(protocol, keys)


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    jax.config.update("jax_platforms", "cpu")
    use_cores()
    arrays = asked.read_arrays(task)
    clients = len(arrays.index)
    with warnings.catch_warnings(action="ignore", category=pj.DataHint):
        dataset = pj.Dataset.from_arrays(
            arrays.images,
            arrays.labels,
            test_inputs=arrays.test_images,
            test_targets=arrays.test_labels,
            shift=task.shift,
            scale=task.scale,
            name="peers",
        )
    sizes = np.full(clients, arrays.index.shape[1])
    data = pj.federate(dataset, pj.Partition(arrays.index.reshape(-1), sizes))
    model = _model(task, arrays)
    learned = pj.classification(model, CLASSES)
    training = pj.LocalTraining(task.epochs, task.batch_size)
    method = pj.fedavg(learned, optax.sgd(task.rate), weighting=uniform, training=training)
    sampler = pj.fixed_size(clients, task.cohort)
    plan = sampler
    if task.protection == "gaussian":
        values = pj.DeviceIntegers(num_parameters(model))
        plan = pj.Plan(
            sampler=sampler,
            clipping=pj.Flat(task.norm),
            mechanism=pj.Gaussian(task.noise_multiplier, values),
            rounds=task.rounds,
            delta=_DELTA,
        )
    hidden = task.protection not in ("none", "gaussian")
    adder = pj.simulated(_secure(task.protection)) if hidden else pj.on_device()
    algorithm = pj.federated(method, data, plan, adder)
    state = algorithm.init(jax.random.key(0), pj.secret_key())

    def accuracy() -> float:
        metrics = pj.evaluator(learned, dataset)(algorithm.params(state))
        return metrics.accuracy

    for _ in asked.rounds(accuracy, num_parameters(model), "jax", "flax"):
        state, _ = algorithm.round(state)
        jax.block_until_ready(algorithm.params(state))


if __name__ == "__main__":
    main()
