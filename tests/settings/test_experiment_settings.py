"""Settings: what is impossible is refused in one line, what is saved can be compared."""

import json
from pathlib import Path

import pytest

from pride_jax import settings as config
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import differences, from_dict, load_config, to_dict


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment(rounds=0), "rounds=0: expected at least 1"),
        (lambda: Experiment(seed=-1), "seed=-1: expected at least 0"),
        (lambda: Experiment(rounds="3"), "rounds='3': str is not an instance of int"),
        (lambda: Experiment(client=3), "client=3: int is not an instance of"),
        (lambda: config.Client(learning_rate=-1.0), "client.learning_rate=-1.0: expected more"),
        (lambda: config.Client(learning_rate=float("nan")), "client.learning_rate=nan: expected"),
        (lambda: config.Client(learning_rate=float("inf")), "expected a finite number"),
        (lambda: config.Client(optimizer="sdg"), "client.optimizer='sdg'"),
        (lambda: config.Client(batch_size=0), "client.batch_size=0: expected at least 1"),
        (lambda: config.Client(momentum=1.0), "client.momentum=1.0: expected at least 0 and"),
        (lambda: config.Server(learning_rate=0.0), "server.learning_rate=0.0"),
        (lambda: config.Partition(sizes=(1, 2)), "expected sizes if, and only if, kind"),
        (lambda: config.Partition("sizes"), "expected sizes if, and only if, kind"),
        (lambda: config.Partition(alpha=0.0), "partition.alpha=0.0: expected more than 0"),
        (lambda: config.Cohort(size=0), "cohort.size=0"),
        (lambda: config.Privacy(clipping_norm=0.0), "privacy.clipping_norm=0.0"),
        (lambda: config.Aggregation(bits=32), "aggregation.bits=32: expected 2 to 24"),
        (lambda: config.Engine(devices=0), "engine.devices=0"),
        (lambda: config.Evaluation(every=0), "evaluation.every=0"),
        (lambda: Experiment(seed=2**31), "seed=2147483648: expected a whole number below"),
        (
            lambda: config.Aggregation(silent=1 / 3),
            "aggregation.silent=0.3333333333333333: expected less than 0.333, with corrupted=0.333 "
            "and server='active'",
        ),
        (
            lambda: config.Aggregation(server="curious", corrupted=0.5, silent=0.5),
            "expected less than 0.5",
        ),
        (lambda: config.Aggregation(corrupted=1.0), "expected at least 0 and below 1"),
        (lambda: config.Aggregation(limit=1e-40), "expected 0 or a magnitude from 1e-30"),
        (lambda: config.Client(learning_rate=1e300), "learning_rate=1e.300: expected 0 or"),
        (lambda: config.Evaluation(target_accuracy=1.5), "target_accuracy=1.5: expected at most"),
        (lambda: config.Data(test_examples=0), "data.test_examples=0"),
        (lambda: config.Data(length=0), "data.length=0: expected at least 1"),
        (lambda: config.Partition(held_out=1.0), "partition.held_out=1.0: expected at least 0"),
        (lambda: config.Partition(held_out=-0.1), "partition.held_out=-0.1: expected at least 0"),
        (lambda: config.Partition(held_out=0.2, copies=2), "held_out=0.2: expected 0 with copies"),
    ],
)
def test_impossible_values_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_whole_numbers_are_numbers():
    assert config.Client(learning_rate=1).learning_rate == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1", "defines config=None, expected an Experiment"),
        ("config = 3", "defines config=3, expected an Experiment"),
        ("config = ", "cannot be read: SyntaxError"),
        ("import nowhere", "cannot be read: ModuleNotFoundError"),
        (
            "from pride_jax.settings import Experiment\nconfig = Experiment(round=3)",
            "TypeError.*unexpected keyword argument 'round'",
        ),
        (
            "from pride_jax.settings import Experiment\nconfig = Experiment(rounds=-3)",
            "rounds=-3: expected at least 1",
        ),
    ],
)
def test_a_file_without_a_config_is_refused(tmp_path, content, message):
    file = tmp_path / "some.py"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_config(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="There is no config file"):
        load_config(tmp_path / "missing.py")


def test_saved_settings_survive_json_and_differences_are_named():
    one = to_dict(Experiment(partition=config.Partition("sizes", sizes=(3, 4))))
    assert json.loads(json.dumps(one)) == one
    assert differences(one, one) == []
    other = to_dict(Experiment(rounds=7, client=config.Client(learning_rate=0.5)))
    assert differences(to_dict(Experiment()), other) == [
        "client.learning_rate: 0.1 -> 0.5",
        "rounds: 10 -> 7",
    ]


CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
WITH_PATH = Experiment(data=config.Data("mnist", dir=Path("some") / "folder"))


@pytest.mark.parametrize("saved", [*map(load_config, CONFIGS), WITH_PATH])
def test_what_is_read_from_json_is_what_was_saved(saved):
    again = from_dict(json.loads(json.dumps(to_dict(saved))))
    assert again == saved
    assert repr(again) == repr(saved)


def without(content, name):
    return {key: value for key, value in content.items() if key != name}


SAVED = to_dict(Experiment())


def with_options(options):
    return SAVED | {"model": SAVED["model"] | {"options": options}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "settings=None: expected an object of seed, rounds, "),
        (SAVED | {"round": 3}, r"settings: unknown \['round'\], missing \[\]"),
        (without(SAVED, "rounds"), r"settings: unknown \[\], missing \['rounds'\]"),
        (SAVED | {"client": 3}, "client=3: expected an object of optimizer"),
        (SAVED | {"client": without(SAVED["client"], "epochs")}, r"client: .*\['epochs'\]"),
        (SAVED | {"rounds": -3}, "rounds=-3: expected at least 1"),
        (SAVED | {"rounds": None}, "rounds=None: None is not"),
        (with_options({"hidden": [3, "4"]}), "model.options.hidden"),
        (with_options({"hidden": 3}), "model.options.hidden"),
        (with_options(3), "options=3: expected an object"),
        (SAVED | {"code": []}, r"code=\[\]: expected an object"),
    ],
)
def test_saved_settings_that_are_damaged_are_refused(content, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(content)
