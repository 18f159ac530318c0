"""Models: sizes of the papers, purity, and refusal of state beside parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pride_jax.errors import ConfigError
from pride_jax.models.modules import from_module, num_parameters
from pride_jax.models.networks import cnn, logistic, mlp, two_nn

IMAGE = (28, 28, 1)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (cnn(IMAGE, 10), 1_663_370),
        (two_nn(IMAGE, 10), 199_210),
        (logistic(IMAGE, 10), 7_850),
        (mlp((4,), 3, (10,)), 83),
    ],
)
def test_sizes_are_those_of_the_papers(model, size):
    assert num_parameters(model) == size
    params = model.init(jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == size


def test_logits_have_one_column_a_class_and_depend_on_the_parameters_alone():
    model = cnn((8, 8, 2), 5)
    params = model.init(jax.random.key(0))
    inputs = jnp.ones((3, 8, 8, 2))
    first, second = model.apply(params, inputs), model.apply(params, inputs)
    assert first.shape == (3, 5)
    np.testing.assert_array_equal(first, second)


def test_initial_parameters_follow_the_key():
    model = mlp((4,), 3, (10,))
    one, same, other = (model.init(jax.random.key(seed)) for seed in (0, 0, 1))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, one, same))
    assert not jax.tree.all(jax.tree.map(jnp.array_equal, one, other))


def test_sigmoid_mlp_is_the_formula():
    model = mlp((2,), 2, (3,))
    params = model.init(jax.random.key(1))
    x = np.array([[0.5, -2.0]], np.float32)
    hidden, out = (jax.tree.map(np.asarray, params["layers"][layer]) for layer in (0, 1))
    activated = 1 / (1 + np.exp(-(x @ hidden["kernel"] + hidden["bias"])))
    np.testing.assert_allclose(
        model.apply(params, jnp.asarray(x)), activated @ out["kernel"] + out["bias"], rtol=1e-5
    )


class WithBatchNorm(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)


class WithDropout(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


class Empty(nnx.Module):
    def __init__(self, rngs):
        pass


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (WithBatchNorm, "BatchStat.*replace BatchNorm by GroupNorm or LayerNorm"),
        (WithDropout, "RngKey.*leave dropout out"),
        (Empty, "no parameters"),
    ],
)
def test_what_is_not_a_function_of_parameters_is_refused(module, message):
    with pytest.raises(ConfigError, match=message):
        from_module(module)


def test_cnn_refuses_what_is_no_image():
    with pytest.raises(ConfigError, match=r"got inputs of shape \(4,\)"):
        cnn((4,), 3)
