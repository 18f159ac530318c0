"""Names and options: what is wrong is told in one sentence, in the words of whoever wrote it."""

import importlib
import pickle
import subprocess
import sys

import pytest

from pride_jax import settings as config
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict
from pride_jax.settings.names import KINDS
from pride_jax.settings.options import REQUIRED, Options, options_of

BUILT_IN = [
    (section, name, built_in)
    for section, kind in KINDS.items()
    for name, built_in in kind.built_in.items()
]


@pytest.mark.parametrize(("section", "name", "built_in"), BUILT_IN)
def test_the_names_take_what_their_functions_take(section, name, built_in):
    module, _, function = built_in.function.partition(":")
    found = options_of(
        getattr(importlib.import_module(module), function),
        KINDS[section].given,
        name,
    )
    assert found.keys() == built_in.options.keys()
    for option in found:
        if found[option].default is not REQUIRED:
            assert found[option].default == built_in.options[option].default


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: config.Model("2n"),
            "model.name='2n': did you mean 2nn? Expected logistic, mlp, 2nn, cnn, resnet, "
            "char_lstm, or your own as file.py:function or module:function",
        ),
        (
            lambda: config.Data("sets.py"),
            "data.name='sets.py': Expected a data set's name, or your own as file.py:function or "
            "module:function",
        ),
        (
            lambda: config.Model("mlp", {"hiden": (3,)}),
            "model.options.hiden: mlp takes no such option; did you mean hidden? Expected hidden",
        ),
        (
            lambda: config.Model("cnn", {"hidden": (3,)}),
            "model.options.hidden: cnn takes no options; expected none",
        ),
        (
            lambda: config.Data("iris", {"examples": 3}),
            "data.options.examples: iris takes no options; expected none",
        ),
        (
            lambda: config.Method("fedprox"),
            "method.options.proximal: fedprox needs this option; expected a value",
        ),
        (
            lambda: config.Task("classification", {"label_smoothing": "0.1"}),
            "task.options.label_smoothing='0.1': str is neither float or int, for classification",
        ),
        (
            lambda: config.Model("nets.py:net", {"sizes": [1, 2]}),
            "model.options.sizes=[1, 2]: expected True or False, a number, a text, None, or a "
            "tuple of these",
        ),
        (
            lambda: config.Model("nets.py:net", {"rate": float("nan")}),
            "model.options.rate=nan: expected finite numbers",
        ),
        (
            lambda: config.Data("sets.py:blobs", test_examples=3),
            "data.test_examples=3: expected None with sets.py:blobs, which reads and divides its "
            "own examples: make it an option of the function",
        ),
    ],
)
def test_a_wrong_name_or_option_is_told(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


def test_options_that_are_not_given_are_the_functions_own_and_are_saved():
    assert config.Model("mlp").options == {"hidden": (16,)}
    assert to_dict(Experiment())["model"] == {"name": "mlp", "options": {"hidden": [16]}}


def test_a_name_with_a_version_is_a_data_sets():
    assert config.Data("mnist:3.0.1").options == {}


def test_options_are_equal_by_their_values_and_survive_a_pickle():
    one, other = Options({"a": 1, "b": (2, 3)}), Options({"b": (2, 3), "a": 1})
    assert one == other == {"a": 1, "b": (2, 3)} and hash(one) == hash(other)
    assert one != Options({"a": 1})
    assert pickle.loads(pickle.dumps(one)) == one
    experiment = Experiment(model=config.Model("mlp", {"hidden": (3,)}))
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert hash(pickle.loads(pickle.dumps(experiment))) == hash(experiment)


def test_the_package_is_not_imported_for_its_names():
    code = (
        "from pride_jax.settings import *; Experiment(model=Model('mlp', {'hidden': (3,)})); "
        "import sys; print('jax' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
