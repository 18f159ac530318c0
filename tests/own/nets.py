"""A researcher's own model."""

from __future__ import annotations

from typing import Literal

from flax import nnx

from pride_jax.models.modules import from_module
from pride_jax.types import Model


class Net(nnx.Module):
    """One hidden layer."""

    def __init__(self, inputs: int, width: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(inputs, width, rngs=rngs)
        self.last = nnx.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.tanh(self.first(x)))


def net(
    features: tuple[int, ...],
    outputs: int,
    width: int,
    rate: float = 0.5,
    sizes: tuple[int, ...] = (1, 2),
    kind: Literal["plain", "wide"] = "plain",
    bias: bool = True,
    activation=nnx.tanh,
) -> Model:
    """One hidden layer of a width."""
    return from_module(lambda rngs: Net(features[0], width, outputs, rngs=rngs))


def three(features, outputs):
    """No model at all."""
    return 3


def anything(features, outputs, **options):
    """Its options cannot be checked."""
