"""A linen module becomes functions of its parameters, told whether it trains."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from pride_jax.errors import ConfigError
from pride_jax.models.linen import from_linen

KEY = jax.random.key(0)


class ByCall(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.Dense(200)(x)
        return linen.Dropout(0.25, deterministic=not train)(x)


class ByField(linen.Module):
    deterministic: bool | None = None

    @linen.compact
    def __call__(self, x):
        return linen.Dropout(0.25, deterministic=self.deterministic)(linen.Dense(200)(x))


@pytest.mark.parametrize("module", [ByCall(), ByField()])
def test_dropout_is_drawn_from_the_key_in_training_alone(module):
    model = from_linen(module, (3,))
    params, x = model.init(KEY), jnp.ones((2, 3))
    whole = model.apply(params, x)
    np.testing.assert_allclose(whole, x @ params["Dense_0"]["kernel"], rtol=1e-5)
    dropped = model.train(params, x, KEY)
    np.testing.assert_allclose(dropped, jnp.where(dropped != 0, whole / 0.75, 0), rtol=1e-6)
    assert 0.6 < jnp.mean(dropped != 0) < 0.9
    np.testing.assert_array_equal(dropped, model.train(params, x, KEY))
    assert (dropped != model.train(params, x, jax.random.key(1))).any()


def test_parameters_are_those_of_the_modules_own_init():
    module = linen.Sequential([linen.Dense(4), linen.relu, linen.Dense(2)])
    model = from_linen(module, (3,))
    theirs = module.init(KEY, jnp.zeros((1, 3)))
    jax.tree.map(np.testing.assert_array_equal, model.init(KEY), theirs["params"])
    x = jnp.ones((5, 3))
    for outputs in (model.apply(theirs["params"], x), model.train(theirs["params"], x, KEY)):
        np.testing.assert_allclose(outputs, module.apply(theirs, x), rtol=1e-6)


def test_tokens_and_recurrence():
    module = linen.Sequential([linen.Embed(7, 4), linen.RNN(linen.LSTMCell(5)), linen.Dense(7)])
    model = from_linen(module, (6,), jnp.int32)
    params = model.init(KEY)
    tokens = jnp.arange(6, dtype=jnp.int32)[None]
    np.testing.assert_allclose(
        model.apply(params, tokens), module.apply({"params": params}, tokens), rtol=1e-5, atol=1e-6
    )


def test_convolutions_are_replaced():
    model = from_linen(linen.Conv(4, (3, 3), strides=2), (8, 8, 2))
    params, x = model.init(KEY), jnp.ones((2, 8, 8, 2))
    assert "custom_vjp_call" in str(jax.make_jaxpr(model.train)(params, x, KEY))


class Untold(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dropout(0.5, deterministic=False)(linen.Dense(2)(x))


class OtherStream(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        return linen.Dropout(0.5, rng_collection="noise", deterministic=not train)(
            linen.Dense(2)(x)
        )


class Normed(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        return linen.BatchNorm(use_running_average=not train)(x)


class Cached(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(x) + self.variable("cache", "shift", jnp.zeros, (1, 2)).value


class Labelled(linen.Module):
    @linen.compact
    def __call__(self, x, labels):
        return linen.Dense(2)(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Untold(), "random numbers in evaluation .*let __call__ or the module's fields take"),
        (OtherStream(), "random numbers in training .*draw from the stream `dropout`"),
        (
            Normed(),
            r"statistics in batch_stats\.BatchNorm_0\.mean, .*GroupNorm or LayerNorm",
        ),
        (Cached(), "the collections cache besides its parameters"),
        (Labelled(), "needs labels besides its inputs"),
        (linen.Sequential([linen.relu]), "no parameters"),
        (linen.Dense(2, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16), r"kernel \(bfloat16\)"),
        (linen.Sequential([linen.Dense(2), jnp.sum]), r"gives float32\[\], expected"),
        (nnx.Linear(3, 2, rngs=nnx.Rngs(0)), "got Linear: .*from_module"),
    ],
)
def test_what_is_no_function_of_parameters_is_refused(module, message):
    with pytest.raises(ConfigError, match=message):
        from_linen(module, (3,))
