"""Networks: sizes of the papers, formulas, and refusal of what they cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from pride_jax.errors import ConfigError
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import ResNet, char_lstm, cnn, logistic, mlp, resnet, two_nn

IMAGE = (28, 28, 1)


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (cnn(IMAGE, 10), 1_663_370),
        (two_nn(IMAGE, 10), 199_210),
        (logistic(IMAGE, 10), 7_850),
        (mlp((4,), 3, (10,)), 83),
        (resnet((32, 32, 3), 10), 77_850),
        (char_lstm(65), 92_897),
        (char_lstm(90, 8, 256, 2), 820_522),
    ],
)
def test_sizes_are_those_of_the_papers_and_docstrings(model, size):
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


def test_the_cnn_starts_and_answers_as_it_always_did():
    model = cnn((8, 8, 1), 3)
    params = model.init(jax.random.key(0))
    x = jnp.linspace(-1, 1, 128, dtype=jnp.float32).reshape(2, 8, 8, 1)
    expected = [[0.24519633, -0.20036449, 0.1305536], [-0.07997449, -0.04334293, 0.08207206]]
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-5)


def test_resnet_takes_images_and_drops_features_in_training_alone():
    model = resnet((8, 12, 3), 5, width=8, dropout=0.5)
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 8, 12, 3))
    answers = model.apply(params, x)
    assert answers.shape == (2, 5)
    assert (answers != model.train(params, x, jax.random.key(2))).any()
    whole = resnet((8, 12, 3), 5, width=8)
    np.testing.assert_array_equal(whole.train(params, x, jax.random.key(2)), answers)


def test_resnet_is_the_same_with_flaxs_own_convolutions():
    params = resnet((8, 8, 3), 5, width=8).init(jax.random.key(0))
    graph, _, rest = nnx.split(ResNet(3, 5, 8, 0.0, rngs=nnx.Rngs(0)), nnx.Param, ...)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))

    def gradient(apply):
        return jax.jit(jax.grad(lambda params: jnp.sum(jnp.sin(apply(params, x)))))(params)

    ours = gradient(resnet((8, 8, 3), 5, width=8).apply)
    theirs = gradient(lambda params, x: nnx.merge(graph, nnx.State(params), rest)(x))
    missed = optax.tree.norm(jax.tree.map(jnp.subtract, ours, theirs))
    assert missed <= 1e-6 * optax.tree.norm(theirs)


def test_a_character_is_predicted_from_those_before_it_alone():
    model = char_lstm(7, embedding=4, hidden=5, layers=2)
    params = model.init(jax.random.key(0))
    tokens = jnp.array([[1, 2, 3, 4, 5, 6]], jnp.int32)
    answers = model.apply(params, tokens)
    assert answers.shape == (1, 6, 7)
    later = model.apply(params, tokens.at[0, 3].set(0))
    np.testing.assert_array_equal(answers[:, :3], later[:, :3])
    assert (answers[:, 3:] != later[:, 3:]).any(axis=-1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet((32, 30, 3), 10), r"ResNet expects images .* shape \(32, 30, 3\)"),
        (lambda: resnet((32, 32, 3), 10, width=12), "width=12: expected a multiple of 8"),
        (lambda: resnet((32, 32, 3), 10, dropout=1.0), "dropout=1.0: expected at least 0"),
        (lambda: char_lstm(65, layers=0), "layers=0: expected a whole number of at least 1"),
    ],
)
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_cnn_refuses_what_is_no_image():
    with pytest.raises(ConfigError, match=r"got inputs of shape \(4,\)"):
        cnn((4,), 3)
