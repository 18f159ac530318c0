"""The precision reaches every product of a training step, on a GPU, under vmap and in gradients."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pride_jax.errors import ConfigError
from pride_jax.models.modules import from_module
from pride_jax.models.networks import char_lstm, cnn, resnet, two_nn
from pride_jax.models.precision import with_precision

IMAGE = (8, 8, 1)
KEY = jax.random.key(0)


class Net(nnx.Module):
    """A user's: strides, a window of one pixel, groups, which stay as they are, and remat."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), 2, rngs=rngs)
        self.point = nnx.Conv(4, 4, (1, 1), rngs=rngs)
        self.grouped = nnx.Conv(4, 4, (3, 3), feature_group_count=2, rngs=rngs)
        self.dense = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.point(self.conv(x)))
        x = nnx.remat(lambda module, x: module(x))(self.grouped, x)
        return self.dense(jnp.mean(x, axis=(1, 2)))


MODELS = {"cnn": cnn(IMAGE, 3), "2nn": two_nn(IMAGE, 3), "own": from_module(Net)}


def step(model):
    """Some SGD steps of one client, in a loop as the engine has it."""

    def loss(params, inputs):
        return jnp.sum(model.train(params, inputs, KEY) ** 2)

    def train(params, inputs):
        return jax.lax.fori_loop(
            0,
            3,
            lambda _, params: jax.tree.map(jnp.subtract, params, jax.grad(loss)(params, inputs)),
            params,
        )

    return train


def products(model, width):
    """The lines of the program for a GPU that multiply, of `width` clients together."""
    params = jax.eval_shape(model.init, KEY)
    inputs = jax.ShapeDtypeStruct((2, *IMAGE), jnp.float32)
    function = step(model)
    if width > 1:
        params, inputs = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((width, *leaf.shape), leaf.dtype), (params, inputs)
        )
        function = jax.vmap(function)
    exported = jax.export.export(jax.jit(function), platforms=["cuda"])(params, inputs)
    lines = exported.mlir_module().splitlines()
    return [
        line for line in lines if re.search(r"stablehlo\.(dot_general|convolution|dot)\b", line)
    ]


def precisions(lines):
    return {tuple(re.findall(r"\b(DEFAULT|HIGH|HIGHEST)\b", line)) for line in lines}


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("precision", "said"),
    [("float32", ("HIGHEST", "HIGHEST")), ("tf32", ("HIGH", "HIGH")), ("bfloat16", ())],
)
def test_every_product_carries_the_precision(name, width, precision, said):
    lines = products(with_precision(MODELS[name], precision), width)
    # Forward, and two gradients but for the first layer's inputs.
    assert len(lines) >= {"cnn": 11, "2nn": 8, "own": 11}[name]
    assert precisions(lines) == {said}
    assert all(("bf16" in line) == (precision == "bfloat16") for line in lines)


def test_a_model_without_precision_says_none():
    assert ("HIGHEST", "HIGHEST") not in precisions(products(MODELS["cnn"], 3))


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (MODELS["cnn"], jnp.ones((2, *IMAGE))),
        (resnet((8, 8, 1), 3, width=8), jnp.ones((2, *IMAGE))),
        (char_lstm(5, 4, 6, 2), jnp.arange(6, dtype=jnp.int32).reshape(2, 3) % 5),
    ],
    ids=["cnn", "resnet", "lstm"],
)
def test_outputs_and_gradients_are_float32_and_close(model, inputs, precision):
    precise = with_precision(model, precision)
    params = model.init(KEY)

    @jax.jit
    def results(params):
        def loss(params):
            answers = precise.train(params, inputs, KEY)
            return jnp.sum(answers**2), answers

        gradient, answers = jax.grad(loss, has_aux=True)(params)
        return gradient, answers, precise.apply(params, inputs), model.apply(params, inputs)

    # Flax's own norms mix bfloat16 with float32.
    with jax.numpy_dtype_promotion("standard"):
        gradient, answers, evaluated, exact = results(params)
    np.testing.assert_allclose(evaluated, exact, atol=1e-6)
    assert answers.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    tolerance = 0.03 if precision == "bfloat16" else 1e-6
    np.testing.assert_allclose(answers, exact, atol=tolerance)
    assert (jnp.abs(answers - exact) > 1e-5).any() == (precision == "bfloat16")


def test_evaluation_multiplies_float32_whatever_training_does():
    model = with_precision(MODELS["cnn"], "bfloat16")
    params = jax.eval_shape(model.init, KEY)
    inputs = jax.ShapeDtypeStruct((2, *IMAGE), jnp.float32)
    exported = jax.export.export(jax.jit(model.apply), platforms=["cuda"])(params, inputs)
    assert "bf16" not in exported.mlir_module()
    assert "HIGHEST" in exported.mlir_module()


def test_another_precision_is_refused():
    with pytest.raises(ConfigError, match="precision='float16': expected one of float32, tf32"):
        with_precision(MODELS["2nn"], "float16")
