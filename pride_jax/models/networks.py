"""The networks that configs name."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pride_jax.errors import ConfigError
from pride_jax.models.layers import Conv
from pride_jax.models.modules import from_module
from pride_jax.types import Model
from pride_jax.validated import expect, expect_whole

_GROUPS = 8
"""Of channels that are normalised together."""


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

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Logits of flattened inputs."""
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class CNN(nnx.Module):
    """The convolutional network of McMahan et al. (2016).

    Two 5×5 convolutions of 32 and 64 channels, each followed by 2×2 max pooling, and a dense layer
    of 512: 1,663,370 parameters on 28×28×1 inputs and 10 outputs.
    """

    def __init__(
        self, height: int, width: int, channels: int, outputs: int, *, rngs: nnx.Rngs
    ) -> None:
        self.conv1 = Conv(channels, 32, 5, rngs=rngs)
        self.conv2 = Conv(32, 64, 5, rngs=rngs)
        self.dense = nnx.Linear((height // 4) * (width // 4) * 64, 512, rngs=rngs)
        self.logits = nnx.Linear(512, outputs, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch outputs"]:
        """Logits of images."""
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), (2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), (2, 2))
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.logits(x)


class ResidualBlock(nnx.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2015), with group normalisation."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, rngs: nnx.Rngs) -> None:
        def conv(inputs: int, window: int, stride: int) -> nnx.Conv:
            return nnx.Conv(
                inputs,
                outputs,
                (window, window),
                stride,
                padding=window // 2,
                use_bias=False,
                rngs=rngs,
            )

        self.conv1 = conv(inputs, 3, stride)
        self.norm1 = nnx.GroupNorm(outputs, num_groups=_GROUPS, rngs=rngs)
        self.conv2 = conv(outputs, 3, 1)
        self.norm2 = nnx.GroupNorm(outputs, num_groups=_GROUPS, rngs=rngs)
        narrows = stride > 1 or inputs != outputs
        self.shortcut = conv(inputs, 1, stride) if narrows else _unchanged

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height_out width_out outputs"]:
        """Feature maps to feature maps, smaller by the stride."""
        y = nnx.relu(self.norm1(self.conv1(x)))
        return nnx.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def _unchanged(x: Array) -> Array:
    return x


class ResNet(nnx.Module):
    """A ResNet-8: one convolution, three residual blocks, the mean over places, a dense layer."""

    def __init__(
        self, channels: int, outputs: int, width: int, dropout: float, *, rngs: nnx.Rngs
    ) -> None:
        self.conv = nnx.Conv(channels, width, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.GroupNorm(width, num_groups=_GROUPS, rngs=rngs)
        self.blocks = nnx.List(
            [
                ResidualBlock(width, width, 1, rngs=rngs),
                ResidualBlock(width, 2 * width, 2, rngs=rngs),
                ResidualBlock(2 * width, 4 * width, 2, rngs=rngs),
            ]
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.dense = nnx.Linear(4 * width, outputs, rngs=rngs)

    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch outputs"]:
        """Logits of images."""
        x = nnx.relu(self.norm(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.dense(self.dropout(jnp.mean(x, axis=(1, 2))))


class CharLSTM(nnx.Module):
    """An embedding, LSTM layers (Hochreiter & Schmidhuber 1997) and logits of the next token."""

    def __init__(
        self, vocabulary: int, embedding: int, hidden: int, layers: int, *, rngs: nnx.Rngs
    ) -> None:
        self.embedding = nnx.Embed(vocabulary, embedding, rngs=rngs)
        self.hidden = hidden
        widths = [embedding, *[hidden] * layers]
        self.layers = nnx.List(
            nnx.RNN(nnx.LSTMCell(inputs, outputs, rngs=rngs))
            for inputs, outputs in itertools.pairwise(widths)
        )
        self.logits = nnx.Linear(hidden, vocabulary, rngs=rngs)

    def __call__(self, x: Int[Array, "batch length"]) -> Float[Array, "batch length vocabulary"]:
        """Logits of the token after each one, which see nothing beyond that one."""
        y: Any = self.embedding(x)
        for layer in self.layers:
            # Flax's own start is float32 whatever the precision.
            zeros = jnp.zeros((y.shape[0], self.hidden), y.dtype)
            y = layer(y, initial_carry=(zeros, zeros))
        return self.logits(y)


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
      outputs: how many numbers the network gives for an input.
      hidden: width of each hidden layer.
      activation: between layers.

    Raises:
      ConfigError: a layer has no unit.
    """
    _check_shape(features, outputs)
    expect("hidden", hidden, Sequence, "the widths of layers, such as (16,)")
    for width in hidden:
        expect_whole("a width of hidden", width)
    widths = (math.prod(features), *hidden, outputs)
    return from_module(lambda rngs: MLP(widths, activation, rngs=rngs))


def _check_shape(features: Sequence[int], outputs: int) -> None:
    expect("features", features, Sequence, "the shape of one input, such as (4,)")
    for side in features:
        expect_whole("a side of features", side)
    expect_whole("outputs", outputs)


def two_nn(features: Sequence[int], outputs: int) -> Model:
    """McMahan et al.'s 2NN: two hidden layers of 200 ReLU units; 199,210 parameters on MNIST."""
    return mlp(features, outputs, hidden=(200, 200), activation=nnx.relu)


def cnn(features: Sequence[int], outputs: int) -> Model:
    """McMahan et al.'s CNN (`CNN`) on images ``[height, width, channels]``.

    Raises:
      ConfigError: the inputs are not images whose sides are multiples of four.
    """
    _check_shape(features, outputs)
    height, width, channels = _image("CNN", features)
    return from_module(lambda rngs: CNN(height, width, channels, outputs, rngs=rngs))


def resnet(features: Sequence[int], outputs: int, width: int = 16, dropout: float = 0.0) -> Model:
    """A ResNet-8 (He et al. 2015) with group normalisation, for images of some 32×32.

    With the defaults it has 77,850 parameters on 32×32×3 inputs and 10 outputs.

    Args:
      features: ``[height, width, channels]`` of an image.
      outputs: how many numbers the network gives for an image.
      width: channels of the first block, a multiple of 8; the others have twice and four times as
        many.
      dropout: share of the features that are set to zero before the last layer, in training.

    Raises:
      ConfigError: the inputs are not images whose sides are multiples of four, or the width or the
        dropout is impossible.
    """
    _check_shape(features, outputs)
    _, _, channels = _image("ResNet", features)
    if width < 1 or width % _GROUPS:
        raise ConfigError(f"width={width}: expected a multiple of {_GROUPS}, the groups of a norm")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout={dropout}: expected at least 0 and below 1")
    return from_module(lambda rngs: ResNet(channels, outputs, width, dropout, rngs=rngs))


def char_lstm(outputs: int, embedding: int = 32, hidden: int = 128, layers: int = 1) -> Model:
    """A language model of characters: inputs ``[batch, length]`` to logits ``[…, outputs]``.

    With the defaults it has 92,897 parameters for a vocabulary of 65.

    Args:
      outputs: number of tokens; a token is an integer below it.
      embedding: numbers that stand for a token.
      hidden: width of each LSTM layer. Two of 256, an
        embedding of 8 and a vocabulary of 90 are the network of Reddi et al. (2021): 820,522
        parameters.
      layers: number of LSTM layers.

    Raises:
      ConfigError: a size is not positive.
    """
    for name, size in {
        "outputs": outputs,
        "embedding": embedding,
        "hidden": hidden,
        "layers": layers,
    }.items():
        expect_whole(name, size)
    return from_module(lambda rngs: CharLSTM(outputs, embedding, hidden, layers, rngs=rngs))


def _image(network: str, features: Sequence[int]) -> tuple[int, int, int]:
    """Height, width and channels of images that are halved twice."""
    if len(features) != 3 or features[0] % 4 or features[1] % 4:
        raise ConfigError(
            f"The {network} expects images [height, width, channels] with sides that are multiples "
            f"of 4, got inputs of shape {tuple(features)}: choose another model or data set"
        )
    height, width, channels = features
    return height, width, channels
