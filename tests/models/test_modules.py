"""An NNX module becomes functions of its parameters, or is refused for what it really holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from pride_jax.errors import ConfigError
from pride_jax.models.modules import from_module, num_parameters

KEY = jax.random.key(0)


class WithDropout(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 200, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.second = nnx.Dropout(0.25, rngs=rngs)

    def __call__(self, x):
        return jnp.concatenate([self.dropout(self.dense(x)), self.second(self.dense(x))], axis=-1)


def test_dropout_is_drawn_from_the_key_in_training_alone():
    model = from_module(WithDropout)
    params = model.init(KEY)
    x = jnp.ones((2, 3))
    whole = model.apply(params, x)
    np.testing.assert_allclose(whole[:, :200], x @ params["dense"]["kernel"], rtol=1e-5)
    dropped = model.train(params, x, KEY)
    kept = dropped != 0
    np.testing.assert_allclose(dropped, jnp.where(kept, whole / 0.75, 0), rtol=1e-6)
    # A fraction of 800 draws, more than six standard deviations wide.
    assert 0.65 < jnp.mean(kept) < 0.85
    np.testing.assert_array_equal(dropped, model.train(params, x, KEY))
    assert (dropped != model.train(params, x, jax.random.key(1))).any()
    assert (kept[:, :200] != kept[:, 200:]).any()
    assert (kept[0] != kept[1]).any()


def test_parameters_are_those_of_the_module_made_with_the_key():
    made = nnx.to_pure_dict(nnx.state(WithDropout(nnx.Rngs(KEY)), nnx.Param))
    jax.tree.map(np.testing.assert_array_equal, from_module(WithDropout).init(KEY), made)


class Flagged(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x, *, train, deterministic=None):
        assert deterministic is not train
        return self.dense(x) + (1.0 if train else 0.0)


def test_flags_of_the_call_tell_whether_it_trains():
    model = from_module(Flagged)
    params, x = model.init(KEY), jnp.ones((2, 3))
    np.testing.assert_allclose(model.train(params, x, KEY) - model.apply(params, x), 1, rtol=1e-5)


class Recurrent(nnx.Module):
    def __init__(self, cell, rngs):
        self.rnn = nnx.RNN(cell(3, 4, rngs=rngs))

    def __call__(self, x):
        return self.rnn(x)


@pytest.mark.parametrize("cell", [nnx.SimpleCell, nnx.GRUCell, nnx.LSTMCell, nnx.OptimizedLSTMCell])
def test_recurrent_modules_are_functions_of_their_parameters(cell):
    model = from_module(lambda rngs: Recurrent(cell, rngs))
    params = model.init(KEY)
    x = jax.random.normal(KEY, (2, 5, 3))
    expected = Recurrent(cell, nnx.Rngs(KEY))(x)
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(model.train(params, x, KEY), expected, rtol=1e-6, atol=1e-7)


def test_recurrent_dropout_is_drawn():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.rnn = nnx.RNN(nnx.LSTMCell(3, 4, rngs=rngs))
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.dropout(self.rnn(x))

    model = from_module(Net)
    params = model.init(KEY)
    x = jnp.ones((2, 5, 3))
    assert (model.apply(params, x) != 0).all()
    assert (model.train(params, x, KEY) == 0).any()


class WithConstants(nnx.Module):
    def __init__(self, rngs):
        self.features = nnx.Variable(jax.random.normal(rngs.params(), (3, 8)))
        self.dense = nnx.Linear(8, 2, rngs=rngs)
        self.steps = nnx.Variable(jnp.arange(2))

    def __call__(self, x):
        return self.dense(jnp.cos(x @ self.features[...])) + self.steps[...][None].astype(x.dtype)


def test_constants_are_kept_and_no_parameters():
    model = from_module(WithConstants)
    one, other = model.init(KEY), model.init(jax.random.key(1))
    assert set(one) == {"dense"}
    assert num_parameters(model) == 18
    x = jnp.ones((2, 3))
    features = WithConstants(nnx.Rngs(0)).features[...]
    for params in (one, other):
        params = jax.tree.map(jnp.asarray, params)
        dense = params["dense"]
        expected = jnp.cos(x @ features) @ dense["kernel"] + dense["bias"][None]
        np.testing.assert_allclose(
            model.apply(params, x), expected + jnp.arange(2.0)[None], rtol=1e-5
        )


class Counting(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 2, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x):
        self.calls[...] += 1
        return self.dense(x)


class WritesParameter(Counting):
    def __call__(self, x):
        self.dense.kernel[...] = self.dense.kernel[...] / jnp.linalg.norm(self.dense.kernel[...])
        return self.dense(x)


class Sows(Counting):
    def __call__(self, x):
        self.hidden = nnx.Intermediate(x)
        return self.dense(x)


class Noisy(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 2, rngs=rngs)
        self.stream = rngs.noise.fork()

    def __call__(self, x):
        return self.dense(x) + jax.random.normal(self.stream(), (x.shape[0], 2))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Counting, "writes its variable calls when"),
        (WritesParameter, r"writes its variable dense\.kernel when"),
        (Sows, "makes the variables hidden when"),
        (Noisy, "random numbers also when it is evaluated"),
    ],
)
def test_what_a_call_must_not_do_is_refused(module, message):
    model = from_module(module)
    with pytest.raises(ConfigError, match=message):
        model.apply(model.init(KEY), jnp.ones((2, 3)))


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint])
def test_handing_on_variables_unchanged_is_no_write(transform):
    class Wrapped(Counting):
        def __call__(self, x):
            if transform is jax.jit:
                return nnx.jit(lambda module, x: module.dense(x))(self, x)
            return nnx.remat(lambda module, x: module.dense(x))(self, x)

    model = from_module(Wrapped)
    params, x = model.init(KEY), jnp.ones((2, 3))
    np.testing.assert_allclose(model.apply(params, x), x @ params["dense"]["kernel"], rtol=1e-5)


class WithBatchNorm(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)


class Empty(nnx.Module):
    def __init__(self, rngs):
        pass

    def __call__(self, x):
        return x


class NeedsLabels(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x, labels):
        return self.dense(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (WithBatchNorm, r"batch statistics in norm\.mean, norm\.var: .*GroupNorm or LayerNorm"),
        (Empty, "no parameters"),
        (NeedsLabels, "needs labels besides its inputs"),
        (
            lambda rngs: nnx.Linear(3, 2, param_dtype=jnp.bfloat16, rngs=rngs),
            r"bias \(bfloat16\), kernel \(bfloat16\) are not float32",
        ),
        (lambda rngs: 3, "makes int"),
        (lambda rngs: linen.Dense(3), "makes Dense: a flax.linen module goes to from_linen"),
        (3, "got int: from_module"),
        (nnx.Linear(3, 2, rngs=nnx.Rngs(0)), "got Linear: from_module"),
    ],
)
def test_modules_that_are_no_models_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        from_module(make)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: jnp.sum(x), r"gives float32\[\], expected .* \[batch=2, ...\]"),
        (lambda x: x[:1], r"gives float32\[1, 3\], expected"),
        (lambda x: jnp.argmax(x, axis=-1), r"gives int32\[2\], expected"),
        (lambda x: (x, x), "gives a tuple, expected"),
    ],
)
def test_outputs_that_are_no_floats_a_row_are_refused(answer, message):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.dense = nnx.Linear(3, 3, rngs=rngs)

        def __call__(self, x):
            return answer(self.dense(x))

    model = from_module(Net)
    with pytest.raises(ConfigError, match=message):
        model.apply(model.init(KEY), jnp.ones((2, 3)))
