"""FedJAX's federated averaging of Haiku models (``fedjax.algorithms.fed_avg``)."""

# pyright: reportMissingImports=false

import asked
import fedjax
import haiku as hk
import jax
import numpy as np
from asked import CLASSES, Arrays, Task
from fedjax.algorithms import fed_avg
from jax import nn


def _pool(x: jax.Array) -> jax.Array:
    return hk.max_pool(x, (2, 2, 1), (2, 2, 1), "VALID")


def _two_nn(x: jax.Array, keep: bool) -> jax.Array:
    del keep
    return hk.nets.MLP([200, 200, CLASSES])(hk.Flatten()(x))


def _cnn(x: jax.Array, keep: bool) -> jax.Array:
    del keep
    x = _pool(nn.relu(hk.Conv2D(32, 5)(x)))
    x = _pool(nn.relu(hk.Conv2D(64, 5)(x)))
    return hk.nets.MLP([512, CLASSES])(hk.Flatten()(x))


def _lenet(x: jax.Array, keep: bool) -> jax.Array:
    del keep
    x = _pool(nn.relu(hk.Conv2D(6, 5, padding="VALID")(x)))
    x = _pool(nn.relu(hk.Conv2D(16, 5, padding="VALID")(x)))
    return hk.nets.MLP([120, 84, CLASSES])(hk.Flatten()(x))


def _two_convolutions(x: jax.Array, keep: bool) -> jax.Array:
    x = nn.relu(hk.Conv2D(32, 3, padding="VALID")(x))
    x = _dropped(_pool(nn.relu(hk.Conv2D(64, 3, padding="VALID")(x))), 0.25, keep)
    x = nn.relu(hk.Linear(128)(hk.Flatten()(x)))
    return hk.Linear(CLASSES)(_dropped(x, 0.5, keep))


def _dropped(x: jax.Array, share: float, keep: bool) -> jax.Array:
    return x if keep else hk.dropout(hk.next_rng_key(), share, x)


_NETWORKS = {
    "2nn": _two_nn,
    "cnn": _cnn,
    "lenet": _lenet,
    "two_convolutions": _two_convolutions,
}


def _model(task: Task, arrays: Arrays) -> fedjax.Model:
    network = _NETWORKS[task.network]
    return fedjax.create_model_from_haiku(
        transformed_forward_pass=hk.transform(
            lambda batch, is_train=True: network(batch["x"], not is_train)
        ),
        sample_batch={"x": asked.seen(task, arrays.images[:1]), "y": arrays.labels[:1]},
        train_loss=lambda batch, logits: fedjax.metrics.unreduced_cross_entropy_loss(
            batch["y"], logits
        ),
        eval_metrics={"accuracy": fedjax.metrics.Accuracy()},
        train_kwargs={"is_train": True},
        eval_kwargs={"is_train": False},
    )


def _first_parameters(model: fedjax.Model, arrays: Arrays) -> fedjax.Params:
    """The task's weights under the names that Haiku gave to layers, which are in order."""
    made = model.init(jax.random.PRNGKey(0))
    layers = zip(sorted(made), arrays.weights, strict=True)
    return {
        name: {"b": np.zeros_like(made[name]["b"]), "w": weight.reshape(made[name]["w"].shape)}
        for name, weight in layers
    }


def main() -> None:
    """Does the rounds that are asked for."""
    task = asked.read_task()
    # FedJAX still calls what JAX has renamed; so both have the same JAX.
    jax.tree_map = jax.tree.map  # pyright: ignore[reportAttributeAccessIssue]
    arrays = asked.read_arrays(task)
    model = _model(task, arrays)
    images = asked.seen(task, arrays.images)
    data = fedjax.InMemoryFederatedData(
        {
            client: {"x": images[rows], "y": arrays.labels[rows]}
            for client, rows in enumerate(arrays.index)
        }
    )
    algorithm = fed_avg.federated_averaging(
        fedjax.model_grad(model),
        fedjax.optimizers.sgd(task.rate),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=task.batch_size, num_epochs=task.epochs),
    )
    sampler = fedjax.client_samplers.UniformGetClientSampler(data, task.cohort, seed=0)
    state = algorithm.init(_first_parameters(model, arrays))

    def accuracy() -> float:
        test = fedjax.ClientDataset(
            {"x": asked.seen(task, arrays.test_images), "y": arrays.test_labels}
        )
        batches = test.padded_batch(fedjax.PaddedBatchHParams(batch_size=500))
        return float(fedjax.evaluate_model(model, state.params, batches)["accuracy"])

    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    for _ in asked.rounds(accuracy, count, "fedjax", "jax"):
        state, _ = algorithm.apply(state, sampler.sample())
        jax.block_until_ready(state.params)


if __name__ == "__main__":
    main()
