"""No secret key prints: not in a state, plan, budget or error, and none is pickled."""

import copy
import hashlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import iid
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import uniform
from pride_jax.models.networks import logistic
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.privacy.sampling import full
from pride_jax.runs.budget import open_budget
from pride_jax.settings.experiment import Privacy
from pride_jax.task import classification
from pride_jax.types import Hidden

SEED = hashlib.sha256(b"a seed").digest()
WORDS = np.frombuffer(SEED, np.uint32)
SECRET = secret_key(SEED)
PLAN = Plan(
    sampler=full(4),
    clipping=Flat(1.0),
    mechanism=Banded(2.0, band=2),
    rounds=4,
    delta=1e-2,
)


def forms_of(values):
    """How numbers could be read in a text: decimal, hexadecimal, as floats."""
    numbers = [value.item() for value in np.ravel(values)]
    words = [number for number in numbers if isinstance(number, int)]
    decimals = [f"{number:.4f}".strip("0") for number in numbers if isinstance(number, float)]
    return [*map(str, words), *(f"{word:x}" for word in words), *decimals]


def secrets_of(state):
    """The words of a state's secret keys, and its past noise."""
    keys = [jax.random.key_data(each.value) for each in (state.keys.sampling, state.keys.noise)]
    return [WORDS, *keys, *jax.tree.leaves(state.privacy.window)]


@pytest.fixture(scope="module")
def algorithm():
    dataset = load_dataset("iris", test_examples=90)
    data = federate(dataset, iid(np.random.default_rng(0), 60, 4))
    method = fedavg(classification(logistic((4,), 3), 3), optax.sgd(0.1), weighting=uniform)
    return federated(method, data, PLAN)


@pytest.fixture(scope="module")
def state(algorithm):
    return algorithm.round(algorithm.init(jax.random.key(0), SECRET))[0]


@pytest.mark.parametrize("said", [repr, str, "{}".format, lambda it: f"{it!r} {it}"])
def test_a_state_says_what_is_hidden_and_nothing_of_it(state, said):
    text = said(state)
    assert "<hidden: noise key>" in text
    assert "<hidden: cohort key>" in text
    assert "<hidden: past noise>" in text
    for secret in secrets_of(state):
        assert not any(form in text for form in forms_of(np.asarray(secret)))


def test_the_search_finds_what_is_not_hidden(state):
    """The test above would fail if a key stood in a state as JAX has it."""
    bare = state._replace(keys=state.keys._replace(noise=state.keys.noise.value))
    words = np.asarray(jax.random.key_data(state.keys.noise.value))
    assert any(form in repr(bare) for form in forms_of(words))


def test_neither_a_state_nor_its_copies_are_pickled(state):
    for keep in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(TypeError, match=r"noise key.*expected never to be pickled or copied"):
            keep(state.keys.noise)
    with pytest.raises(TypeError, match="expected never to be pickled"):
        pickle.dumps(state)


def test_errors_of_a_traced_state_hold_no_words(algorithm, state):
    wrong = state._replace(round=jnp.zeros(3, jnp.int32))
    with pytest.raises(Exception) as caught:
        algorithm.round(wrong)
    text = str(caught.value) + repr(caught.value)
    for secret in secrets_of(state):
        assert not any(form in text for form in forms_of(np.asarray(secret)))


def test_a_missing_key_is_named_without_one(algorithm):
    with pytest.raises(ConfigError, match=r"private=None.*secret_key"):
        algorithm.init(jax.random.key(0))


def test_a_budget_hides_its_key(tmp_path):
    settings = Privacy(
        clipping_norm=1.0,
        mechanism="banded",
        band=2,
        noise="floats",
        noise_multiplier=2.0,
        delta=1e-2,
    )
    budget = open_budget(settings, PLAN, tmp_path, SEED, 0, "digest", 1)
    derived = budget.words.value
    assert "<hidden: key of noise and cohorts>" in repr(budget)
    for secret in (WORDS, derived):
        assert not any(form in repr(budget) for form in forms_of(np.asarray(secret)))
    assert not any(form in (tmp_path / "plan.json").read_text() for form in forms_of(WORDS))


# The tree around a secret is one that JAX can use.


def test_hidden_values_go_through_transformations():
    hidden = Hidden(jnp.arange(3.0), "three numbers")
    double = jax.jit(lambda it: jax.tree.map(lambda leaf: 2 * leaf, it))(hidden)
    assert double.kind == "three numbers"
    np.testing.assert_array_equal(double.value, [0, 2, 4])
    each = jax.vmap(lambda it: it.replace(it.value + 1))(hidden)
    np.testing.assert_array_equal(each.value, [1, 2, 3])
    assert jax.eval_shape(lambda: hidden).value.shape == (3,)
    assert jax.tree.structure(hidden) == jax.tree.structure(double)
    looped = jax.lax.fori_loop(0, 2, lambda _, it: it.replace(it.value * 3), hidden)
    np.testing.assert_array_equal(looped.value, [0, 9, 18])
