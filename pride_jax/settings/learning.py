"""From settings to what is learned: the task and the method, with numbers that may be traced."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from pride_jax import settings as config
from pride_jax.data.augment import Augment, borrowed_scatter, flips_and_crops, unchanged
from pride_jax.engine.cohort import Clients
from pride_jax.engine.local import extent_of
from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import (
    WHOLE,
    ClientOptimizer,
    Hyper,
    LocalTraining,
    Method,
    Rate,
    by_examples,
    uniform,
)
from pride_jax.methods.personal_layers import personal_layers
from pride_jax.models.convolutions import BatchedKernels, with_batched_kernels
from pride_jax.models.precision import with_precision
from pride_jax.settings import own
from pride_jax.settings.names import call
from pride_jax.task import Task
from pride_jax.types import Model


class Shape(NamedTuple):
    """Examples, as far as a model must know them.

    Attributes:
      features: shape of an example's inputs.
      outputs: numbers that a model gives for an example or token.
    """

    features: tuple[int, ...]
    outputs: int


Number = float | Float[Array, ""]

NUMBERS = (
    "client.learning_rate",
    "client.momentum",
    "client.weight_decay",
    "client.borrowed_scatter",
    "task.options.label_smoothing",
    "method.options.proximal",
    "server.learning_rate",
)
"""Settings that a compiled program can take as arguments."""

WEIGHTINGS = {"examples": by_examples, "uniform": uniform}
"""How much each client counts, by its name."""


def build_model(experiment: config.Experiment, examples: Shape) -> Model:
    """The model for inputs of that shape and so many outputs, in the precision of its clients."""
    precision, kernels = experiment.client.precision, experiment.engine.convolutions
    return _model(experiment.model, experiment.code, precision, kernels, *examples)


Begin = Callable[[Task], Task]
"""A task -> the same, with other parameters to begin with."""


def from_scratch(task: Task) -> Task:
    """A task as it stands, whose parameters are drawn anew."""
    return task


def build_task(experiment: config.Experiment, examples: Shape) -> Task:
    """What is learned from an example."""
    model = build_model(experiment, examples)
    return _task(experiment.task, experiment.code, model, examples.outputs)


# The same functions again for the same settings: what was compiled is not compiled anew.
@functools.cache
def _model(
    named: config.Model,
    code: own.Code,
    precision: Any,
    kernels: BatchedKernels,
    features: tuple[int, ...],
    outputs: int,
) -> Model:
    made = call(named, code, Model, features=features, outputs=outputs)
    return with_precision(with_batched_kernels(made, kernels), precision)


@functools.cache
def _task(named: config.Task, code: own.Code, model: Model, outputs: int) -> Task:
    return call(named, code, Task, model=model, outputs=outputs)


def build_method(
    experiment: config.Experiment,
    examples: Shape,
    numbers: Mapping[str, Number],
    begin: Begin = from_scratch,
) -> Method:
    """The method that the settings name.

    Args:
      experiment: the settings.
      examples: what a model takes and gives.
      numbers: take the place of those settings; some of `NUMBERS`.
      begin: gives the task the parameters that training starts from.

    Raises:
      ConfigError: the method does not take the client's optimizer, or another setting.
    """
    named, code = experiment.method, experiment.code
    task = build_task(experiment, examples)
    if smoothing := _of(numbers, "task.options."):
        model = build_model(experiment, examples)
        task = call(experiment.task, code, Task, model=model, outputs=examples.outputs, **smoothing)
    method = call(
        named,
        code,
        Method,
        task=begin(task),
        client_optimizer=build_client_optimizer(experiment, numbers),
        client_rate=build_client_rate(experiment, numbers),
        server_optimizer=build_server_optimizer(experiment, numbers),
        weighting=WEIGHTINGS[experiment.weighting],
        training=build_training(experiment, numbers),
        **_of(numbers, "method.options."),
    )
    if method.weighting is not WEIGHTINGS[experiment.weighting]:
        raise ConfigError(
            f"cohort.weighting={experiment.weighting!r} with method.name={named.name!r}: "
            "expected 'uniform', since the method counts all clients alike"
        )
    return personal_layers(method, named.personal) if named.personal else method


def method_of_numbers(
    experiment: config.Experiment, examples: Shape, begin: Begin = from_scratch
) -> Callable[[Hyper], Method]:
    """Numbers of `NUMBERS` that a program takes as arguments -> the method with them."""

    # Without numbers it is one method, so that what was compiled of it is not compiled anew.
    @functools.cache
    def fixed() -> Method:
        return build_method(experiment, examples, {}, begin)

    def method(numbers: Hyper) -> Method:
        return build_method(experiment, examples, numbers, begin) if numbers else fixed()

    return method


def clients_alone(
    experiment: config.Experiment, task: Task, sizes: Int[np.ndarray, "clients"], epochs: int
) -> Clients:
    """What a client does that trains for itself alone: FedAvg's part, with its own optimizer."""
    training = build_training(experiment, {})._replace(epochs=epochs)
    method = fedavg(task, build_client_optimizer(experiment, {}), training=training)
    return Clients(lambda _: method, epochs, extent_of(sizes, training.batch_size))


def build_training(experiment: config.Experiment, numbers: Mapping[str, Number]) -> LocalTraining:
    """How a client goes through its examples."""
    settings = experiment.client
    batch_size = WHOLE if settings.batch_size is None else settings.batch_size
    return LocalTraining(settings.epochs, batch_size, _augment(settings, numbers))


def _augment(settings: config.Client, numbers: Mapping[str, Number]) -> Augment:
    distance = numbers.get("client.borrowed_scatter", settings.borrowed_scatter)
    if does(distance):
        return borrowed_scatter(distance)
    return flips_and_crops() if settings.augment == "flips_and_crops" else unchanged()


def build_client_rate(experiment: config.Experiment, numbers: Mapping[str, Number]) -> Rate:
    """The round -> the learning rate of its clients' plain steps.

    Raises (when called):
      ConfigError: the settings ask for other steps.
    """
    settings, schedule = experiment.client, _schedule(experiment, numbers)

    def rate(round_: Int[Array, ""]) -> Float[Array, ""]:
        for name, plain in (("optimizer", "sgd"), ("momentum", 0.0), ("weight_decay", 0.0)):
            value = numbers.get(f"client.{name}", getattr(settings, name))
            if not (isinstance(value, type(plain)) and value == plain):
                raise ConfigError(
                    f"client.{name}={value!r} with method.name={experiment.method.name!r}: "
                    f"expected {plain!r}, since the method reads the mean of a client's gradients "
                    "off its plain steps"
                )
        return schedule(round_)

    return rate


def build_client_optimizer(
    experiment: config.Experiment, numbers: Mapping[str, Number]
) -> ClientOptimizer:
    """The round -> its clients' optimizer, whose learning rate follows the schedule."""
    settings, schedule = experiment.client, _schedule(experiment, numbers)
    momentum = numbers.get("client.momentum", settings.momentum)
    decay = numbers.get("client.weight_decay", settings.weight_decay)

    def optimizer(round_: Int[Array, ""]) -> optax.GradientTransformation:
        match settings.optimizer:
            case "sgd":
                steps = optax.trace(momentum) if does(momentum) else optax.identity()
            case "adam":
                steps = optax.scale_by_adam()
        shrinking = optax.add_decayed_weights(decay) if does(decay) else optax.identity()
        return optax.chain(steps, shrinking, optax.scale(-schedule(round_)))

    return optimizer


def _schedule(
    experiment: config.Experiment, numbers: Mapping[str, Number]
) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    settings = experiment.client
    rate: Any = numbers.get("client.learning_rate", settings.learning_rate)
    match settings.schedule:
        case "constant":
            schedule = optax.constant_schedule(rate)
        case "cosine":
            schedule = optax.cosine_decay_schedule(rate, experiment.rounds)
        case "exponential":
            schedule = optax.exponential_decay(rate, 1, settings.decay)
    return lambda round_: jnp.asarray(schedule(round_), jnp.float32)


def build_server_optimizer(
    experiment: config.Experiment, numbers: Mapping[str, Number]
) -> optax.GradientTransformation:
    """The optimizer that steps along the mean update (Reddi et al. 2021)."""
    settings = experiment.server
    rate: Any = numbers.get("server.learning_rate", settings.learning_rate)
    epsilon = settings.epsilon
    if settings.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, experiment.rounds)
    match settings.optimizer:
        case "sgd":
            return optax.sgd(rate, settings.momentum or None)
        case "adam":
            return optax.adam(rate, b1=0.9, b2=0.99, eps=epsilon)
        case "yogi":
            return optax.yogi(rate, b1=0.9, b2=0.99, eps=epsilon)
        case "adagrad":
            return optax.adagrad(rate, initial_accumulator_value=0.0, eps=epsilon)


def does(factor: Number) -> bool:
    """Whether a factor does anything; one that is traced may."""
    return not isinstance(factor, int | float) or factor != 0


def _of(numbers: Mapping[str, Number], prefix: str) -> dict[str, Number]:
    """The numbers whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in numbers.items()
        if name.startswith(prefix)
    }
