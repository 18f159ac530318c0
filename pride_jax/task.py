"""What is learned from an example: its loss, and how well it is answered."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped, UInt16

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError, PrideError
from pride_jax.types import Key, Model, Params
from pride_jax.validated import expect, expect_whole


class Scores(NamedTuple):
    """How well a model answers examples, in numbers that add up over examples.

    Attributes:
      weight: how many answers each example asks for: 1, or the tokens of a sequence.
      sums: by name, such as ``loss`` and ``accuracy``, the sum over an example's answers.
      answer: the class that the model gives each example; ``()`` where a task has no classes.
      ranks: for each class, how sure the model is that it is the example's, from 0 to `RANKS` − 1;
        ``()`` where nothing is to be told of that.
    """

    weight: Float[Array, "batch"]
    sums: dict[str, Float[Array, "batch"]]
    answer: Int[Array, "batch"] | tuple[()]
    ranks: UInt16[Array, "batch classes"] | tuple[()] = ()


RANKS = 4096
"""Equal parts of the log-odds from −16 to 16, beyond which float32 probabilities hardly tell."""


Check = Callable[[jax.ShapeDtypeStruct, Shaped[np.ndarray, "examples ..."]], None]
"""``(inputs as a model sees them, targets)``: refuses what a task cannot learn from."""


def anything(inputs: jax.ShapeDtypeStruct, targets: Shaped[np.ndarray, "examples ..."]) -> None:
    """Accepts all examples."""
    del inputs, targets


class Task(NamedTuple):
    """The only place that knows what a target is.

    Attributes:
      init: key -> parameters.
      loss: parameters, batch, key of dropout -> the loss of each example, float32.
      score: parameters, batch -> how well each example is answered.
      check: refuses examples, before a program is compiled, that the task cannot learn from.
    """

    init: Callable[[Key], Params]
    loss: Callable[[Params, Batch, Key], Float[Array, "batch"]]
    score: Callable[[Params, Batch], Scores]
    check: Check = anything


def classification(
    model: Model, outputs: int, label_smoothing: float | Float[Array, ""] = 0.0
) -> Task:
    """Cross-entropy, in nats, against one class an example.

    Args:
      model: gives logits ``[batch, outputs]``; targets are ``int32 [batch]``.
      outputs: classes.
      label_smoothing: share of each target that is spread evenly over all classes, in training.

    Raises:
      ConfigError: an argument is of another kind. When traced: the model gives other shapes, or the
        targets are no classes.
    """
    if isinstance(label_smoothing, int | float) and not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing}: expected at least 0 and below 1")
    _check_arguments(model, outputs)

    def logits_for(answers: Array, batch: Batch) -> Float[Array, "batch classes"]:
        _expect(answers, (*batch.mask.shape, outputs), "logits [batch, classes]")
        _expect_targets(batch, batch.mask.shape, jnp.integer, "one class an example, as integers")
        return answers

    def loss(params: Params, batch: Batch, key: Key) -> Float[Array, "batch"]:
        logits = logits_for(model.train(params, batch.inputs, key), batch)
        return _cross_entropy(logits, batch.targets, label_smoothing)

    def score(params: Params, batch: Batch) -> Scores:
        logits = logits_for(model.apply(params, batch.inputs), batch)
        losses = _cross_entropy(logits, batch.targets, 0.0)
        answer = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        right = (answer == batch.targets).astype(jnp.float32)
        sums = {"accuracy": right, "loss": losses}
        return Scores(jnp.ones_like(losses), sums, answer, _ranks(logits))

    return Task(model.init, loss, score, _check_of(model, outputs, "class"))


def regression(model: Model, outputs: int = 1) -> Task:
    """Squared error against one or several quantities an example.

    An example's loss is the mean over its quantities.

    Args:
      model: gives ``[batch, outputs]``; targets are ``float32 [batch]`` or ``[batch, outputs]``.
      outputs: quantities.

    Raises (when traced):
      ConfigError: the model or the targets have other shapes.
    """
    _check_arguments(model, outputs)

    def errors(answers: Array, batch: Batch) -> Float[Array, "batch quantities"]:
        _expect(answers, (*batch.mask.shape, outputs), "quantities [batch, outputs]")
        flat = outputs == 1 and batch.targets.ndim == 1
        shape = batch.mask.shape if flat else (*batch.mask.shape, outputs)
        _expect_targets(batch, shape, jnp.floating, f"{outputs} quantities an example, as floats")
        return answers - batch.targets.reshape(answers.shape)

    def loss(params: Params, batch: Batch, key: Key) -> Float[Array, "batch"]:
        return jnp.mean(errors(model.train(params, batch.inputs, key), batch) ** 2, axis=-1)

    def score(params: Params, batch: Batch) -> Scores:
        missed = errors(model.apply(params, batch.inputs), batch)
        sums = {
            "absolute_error": jnp.mean(jnp.abs(missed), axis=-1),
            "loss": jnp.mean(missed**2, axis=-1),
        }
        return Scores(jnp.ones(batch.mask.shape), sums, ())

    return Task(model.init, loss, score, _check_of(model, outputs, "quantity"))


def next_token(model: Model, outputs: int) -> Task:
    """Cross-entropy, in nats, against the next token at each place of a sequence.

    An example is a sequence: its loss is the mean over its own tokens, and clients weigh by
    sequences. Scores add up over tokens.

    Args:
      model: gives logits ``[batch, length, outputs]``; targets are ``int32 [batch, length]``.
      outputs: tokens of the vocabulary.

    Raises (when traced):
      ConfigError: the model or the targets have other shapes.
    """
    _check_arguments(model, outputs)

    def logits_for(answers: Array, batch: Batch) -> Float[Array, "batch length vocabulary"]:
        shape = (*batch.mask.shape, batch.targets.shape[-1])
        _expect_targets(batch, shape, jnp.integer, "a token at each place, as integers")
        _expect(answers, (*batch.targets.shape, outputs), "logits [batch, length, vocabulary]")
        return answers

    def loss(params: Params, batch: Batch, key: Key) -> Float[Array, "batch"]:
        logits = logits_for(model.train(params, batch.inputs, key), batch)
        return jnp.mean(_cross_entropy(logits, batch.targets, 0.0), axis=-1)

    def score(params: Params, batch: Batch) -> Scores:
        logits = logits_for(model.apply(params, batch.inputs), batch)
        right = (jnp.argmax(logits, axis=-1) == batch.targets).astype(jnp.float32)
        losses = _cross_entropy(logits, batch.targets, 0.0)
        tokens = jnp.full(batch.mask.shape, float(math.prod(batch.targets.shape[1:])))
        sums = {"accuracy": jnp.sum(right, axis=-1), "loss": jnp.sum(losses, axis=-1)}
        return Scores(tokens, sums, ())

    return Task(model.init, loss, score, _check_of(model, outputs, "token"))


Gradient = Callable[[Params, Batch, Key], tuple[Params, Float[Array, ""]]]
"""``(params, batch, key) -> (gradient of the mean loss, sum of losses)``, see `mean_gradient`."""


def mean_gradient(task: Task) -> Gradient:
    """Makes the gradient of the mean loss over a batch's own examples; padding counts nothing.

    Args:
      task: what is learned.

    Raises (when traced):
      ConfigError: the task's loss is not one number an example.
    """
    expect("task", task, Task, "a Task, such as classification(model, outputs)")

    def objective(params: Params, batch: Batch, key: Key) -> tuple[Array, Array]:
        losses = task.loss(params, batch, key)
        if losses.shape != batch.mask.shape:
            raise ConfigError(
                f"The task's loss has shape {losses.shape} for {batch.mask.shape[0]} examples: "
                "expected one number an example; take the mean over all other axes"
            )
        total = jnp.sum(jnp.where(batch.mask, losses, 0.0))
        return total / jnp.maximum(jnp.sum(batch.mask), 1).astype(total.dtype), total

    differentiate = jax.value_and_grad(objective, has_aux=True)

    def gradient(params: Params, batch: Batch, key: Key) -> tuple[Params, Float[Array, ""]]:
        (_, total), slope = differentiate(params, batch, key)
        return slope, total

    return gradient


def _cross_entropy(
    logits: Float[Array, "... classes"],
    targets: Int[Array, "..."],
    smoothing: float | Float[Array, ""],
) -> Float[Array, "..."]:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
    # A traced share may be anything; a known 0 costs nothing.
    if isinstance(smoothing, int | float) and smoothing == 0:
        return losses
    spread = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
    return (1 - smoothing) * losses + smoothing * spread


def _check_arguments(model: Model, outputs: int) -> None:
    expect("model", model, Model, "a Model, such as mlp(features, outputs, hidden)")
    expect_whole("outputs", outputs)


def _check_of(model: Model, outputs: int, what: str) -> Check:
    """The check that the model takes the inputs, and that classes or tokens are below its outputs.

    Args:
      model: of the task.
      outputs: of the task.
      what: one of them, in words.
    """

    def check(inputs: jax.ShapeDtypeStruct, targets: Shaped[np.ndarray, "examples ..."]) -> None:
        # Whoever knows the shapes alone has no example.
        answers = _answers(model, (1, *inputs.shape[1:]), str(inputs.dtype))
        if answers[-1:] != (outputs,):
            raise ConfigError(
                f"The model gives {list(answers[1:])} for an example, and the task has {outputs} "
                f"outputs: expected {outputs} numbers, one for each {what}; change the model's "
                "outputs, or the task's"
            )
        if what == "quantity" or targets.dtype.kind not in "iu" or not targets.size:
            return
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= outputs:
            raise ConfigError(
                f"Targets go from {low} to {high}, and the task has {outputs} outputs: expected a "
                f"{what} from 0 to {outputs - 1}; give model and task {max(high, 0) + 1} outputs, "
                "or mend the targets"
            )

    return check


@functools.cache
def _answers(model: Model, shape: tuple[int, ...], dtype: str) -> tuple[int, ...]:
    """The shape of what a model gives, without computing any.

    Raises:
      ConfigError: it cannot take such inputs.
    """
    inputs = jax.ShapeDtypeStruct(shape, dtype)
    try:
        given = jax.eval_shape(
            lambda key, inputs: model.apply(model.init(key), inputs), jax.random.key(0), inputs
        )
    except PrideError:
        raise
    except Exception as error:  # whatever JAX or Flax raises of shapes that do not fit
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"The model cannot take inputs {list(shape[1:])} ({dtype}): {reason}; expected a model "
            "of these features"
        ) from None
    return given.shape


def _ranks(logits: Float[Array, "batch classes"]) -> UInt16[Array, "batch classes"]:
    """In which of `RANKS` parts the log-odds of each class lie."""
    logs = jax.nn.log_softmax(logits)
    odds = jnp.clip(logs - jnp.log1p(-jnp.exp(logs)), -16.0, 16.0)
    return jnp.clip((odds + 16.0) * (RANKS / 32), 0, RANKS - 1).astype(jnp.uint16)


def _expect(answers: Shaped[Array, "..."], shape: tuple[int, ...], what: str) -> None:
    if answers.shape != shape:
        raise ConfigError(
            f"The model gives {list(answers.shape)} for {shape[0]} examples: expected {what}, "
            f"{list(shape)}; change the model's outputs, or the task"
        )


def _expect_targets(batch: Batch, shape: tuple[int, ...], kind: type, what: str) -> None:
    targets = batch.targets
    if targets.shape != shape or not jnp.issubdtype(targets.dtype, kind):
        raise ConfigError(
            f"Targets are {targets.dtype}{list(targets.shape)} for {batch.mask.shape[0]} examples: "
            f"expected {what}, {list(shape)}; choose the task that the targets are for"
        )
