"""The networks that configs name."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pride_jax.errors import ConfigError
from pride_jax.models.layers import Conv, max_pool_2x2
from pride_jax.models.modules import from_module
from pride_jax.types import Model


class MLP(nnx.Module):
    """Dense layers with one activation between them; without hidden layers, logistic regression."""

    def __init__(
        self,
        widths: Sequence[int],
        activation: Callable[[Array], Array],
        *,
        rngs: nnx.Rngs,
    ) -> None:
        self.layers = nnx.List(
            nnx.Linear(inputs, outputs, rngs=rngs) for inputs, outputs in itertools.pairwise(widths)
        )
        self.activation = activation

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """Logits of flattened inputs."""
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class CNN(nnx.Module):
    """The convolutional network of McMahan et al. (2016).

    Two 5×5 convolutions of 32 and 64 channels, each followed by 2×2 max pooling, and a dense layer
    of 512: 1,663,370 parameters on 28×28×1 inputs and 10 classes.
    """

    def __init__(
        self, height: int, width: int, channels: int, classes: int, *, rngs: nnx.Rngs
    ) -> None:
        self.conv1 = Conv(channels, 32, 5, rngs=rngs)
        self.conv2 = Conv(32, 64, 5, rngs=rngs)
        self.dense = nnx.Linear((height // 4) * (width // 4) * 64, 512, rngs=rngs)
        self.logits = nnx.Linear(512, classes, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch classes"]:
        """Logits of images."""
        x = max_pool_2x2(nnx.relu(self.conv1(x)))
        x = max_pool_2x2(nnx.relu(self.conv2(x)))
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.logits(x)


def logistic(features: Sequence[int], outputs: int) -> Model:
    """Multinomial logistic regression on flattened inputs of shape ``features``, from zeros.

    Its loss is convex: random initial weights would only add noise.
    """
    model = mlp(features, outputs, hidden=(), activation=nnx.sigmoid)
    return model._replace(init=lambda key: jax.tree.map(jnp.zeros_like, model.init(key)))


def mlp(
    features: Sequence[int],
    outputs: int,
    hidden: Sequence[int],
    activation: Callable[[Array], Array] = nnx.sigmoid,
) -> Model:
    """A multilayer perceptron; with sigmoid units, the Iris network of the original PRIDE work.

    Args:
      features: shape of one input.
      outputs: how many numbers it gives for an example, such as logits.
      hidden: width of each hidden layer.
      activation: between layers.

    Raises:
      ConfigError: a layer has no unit.
    """
    if any(width < 1 for width in hidden):
        raise ConfigError(f"hidden={tuple(hidden)}: expected widths of at least 1")
    widths = (math.prod(features), *hidden, outputs)
    return from_module(lambda rngs: MLP(widths, activation, rngs=rngs))


def two_nn(features: Sequence[int], outputs: int) -> Model:
    """McMahan et al.'s 2NN: two hidden layers of 200 ReLU units; 199,210 parameters on MNIST."""
    return mlp(features, outputs, hidden=(200, 200), activation=nnx.relu)


def cnn(features: Sequence[int], outputs: int) -> Model:
    """McMahan et al.'s CNN (`CNN`) on images ``[height, width, channels]``.

    Raises:
      ConfigError: the inputs are not images whose sides are multiples of four.
    """
    if len(features) != 3 or features[0] % 4 or features[1] % 4:
        raise ConfigError(
            f"The CNN expects images [height, width, channels] with sides that are multiples of 4, "
            f"got inputs of shape {tuple(features)}: choose another model or data set"
        )
    height, width, channels = features
    return from_module(lambda rngs: CNN(height, width, channels, outputs, rngs=rngs))
