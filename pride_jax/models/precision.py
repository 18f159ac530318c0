"""In which precision a model's products are computed."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree, Shaped

from pride_jax.types import Key, Model, Params
from pride_jax.validated import expect, expect_one_of

Precision = Literal["float32", "tf32", "bfloat16"]
"""In which a client multiplies; parameters, optimizer and updates are float32 in any case."""

_PRODUCTS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}
"""As JAX calls the precision of products of float32 arrays; on a CPU they are exact float32."""


def with_precision(model: Model, precision: Precision) -> Model:
    """The same model, trained in a given precision and evaluated in float32.

    The precision is part of each product of the traced forward pass. JAX hands it on to the
    products of the gradient and of vmapped programs, and so do our convolutions. A function with a
    backward pass of its own (``jax.custom_vjp``) must hand it on itself.

    Args:
      model: with float32 parameters.
      precision: ``float32``; ``tf32`` rounds what is multiplied to 10 bits of mantissa where the
        device can, as GPUs do by default elsewhere; ``bfloat16`` computes the whole network, its
        gradient included, in bfloat16.

    Returns:
      A model whose outputs are float32.

    Raises:
      ConfigError: there is no such precision.
    """
    expect("model", model, Model, "a Model, such as mlp(features, outputs, hidden)")
    expect_one_of("precision", precision, get_args(Precision))

    def apply(params: Params, inputs: Shaped[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        with jax.default_matmul_precision("float32"):
            return model.apply(params, inputs).astype(jnp.float32)

    def train(
        params: Params, inputs: Shaped[Array, "batch ..."], key: Key
    ) -> Float[Array, "batch ..."]:
        if precision == "bfloat16":
            params, inputs = _in_bfloat16((params, inputs))
        with jax.default_matmul_precision(_PRODUCTS[precision]):
            return model.train(params, inputs, key).astype(jnp.float32)

    return Model(model.init, apply, train)


def _in_bfloat16(tree: PyTree) -> PyTree:
    """Floats rounded; tokens and other integers as they are."""
    return jax.tree.map(
        lambda leaf: (
            leaf.astype(jnp.bfloat16) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        ),
        tree,
    )
