"""Own code in settings: found, checked, kept, compared, and imported only by whom it is trusted."""

import json
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pride_jax.data.datasets import Dataset
from pride_jax.errors import ConfigError
from pride_jax.runs.experiment import run
from pride_jax.settings import Data, Experiment, Model, own
from pride_jax.settings.command_line import override
from pride_jax.settings.files import from_dict, load_config, read_settings, to_dict, trust
from pride_jax.settings.names import call, function_of
from pride_jax.types import Model as Network

HERE = Path(__file__).parents[1] / "own"
TOLD = "from pathlib import Path\nPath({marker!r}).touch()\n"


@pytest.fixture
def folder(tmp_path):
    """A config beside own code, to be changed at will."""
    copy = tmp_path / "study"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def config(folder):
    return load_config(folder / "blobs.py")


def test_an_own_function_is_checked_and_completed_when_the_config_is_read(config):
    assert config.data.options == {"examples": 30, "spread": 0.5, "seed": 0}
    assert config.model.options == {
        "width": 4,
        "rate": 0.5,
        "sizes": (1, 2),
        "kind": "plain",
        "bias": True,
    }
    assert config.code.digests.keys() == {"nets.py", "sets.py"}
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("section", "name", "options", "message"),
    [
        ("model", "nets.py:nett", {}, "model.name='nets.py:nett': nets.py defines no function "
         "nett; did you mean net? Expected net, three, anything"),
        ("model", "net.py:net", {}, "There is no net.py in {folder}: did you mean nets.py or "
         "sets.py? Expected a file beside the config"),
        ("model", "../nets.py:net", {}, "../nets.py: expected a file in the config's folder or "
         "below; copy it there, or install it and name it as module:function"),
        ("model", "nowhere.nets:net", {}, "There is no module nowhere.nets with a file here: "
         "install it, or name a file beside the config as file.py:function"),
        ("model", "nets.py:net", {}, "model.options.width: nets.py:net needs this option; "
         "expected a value"),
        ("model", "nets.py:net", {"width": 4, "sise": 3}, "model.options.sise: nets.py:net takes "
         "no such option; did you mean sizes? Expected width, rate, sizes, kind, bias"),
        ("model", "nets.py:net", {"width": 4, "activation": 1}, "model.options.activation: "
         "nets.py:net takes no such option; Expected width, rate, sizes, kind, bias"),
        ("model", "nets.py:net", {"width": "4"}, "model.options.width='4': str is not an instance "
         "of int, for nets.py:net"),
        ("model", "nets.py:net", {"width": 4, "sizes": (1, "2")}, "model.options.sizes=(1, '2'): "
         "item 1 of tuple is not an instance of int, for nets.py:net"),
        ("model", "nets.py:anything", {}, "nets.py:anything takes any **options; expected "
         "parameters by name, for options to be checked"),
        ("data", "broken.py:f", {}, "broken.py cannot be imported: ZeroDivisionError: division by "
         "zero"),
        ("data", "beside.py:f", {}, "beside.py imports common, which lies beside it and would not "
         "be kept with the run: put both into one file, or install them and name module:function"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_own_function_is_told(folder, section, name, options, message):
    (folder / "broken.py").write_text("1 / 0")
    (folder / "beside.py").write_text("def f():\n    import common")
    code = own.Code(folder=folder)
    kind = {"model": Model, "data": Data}[section]
    with pytest.raises(ConfigError) as error:
        Experiment(**{section: kind(name, options)}, code=code)
    assert str(error.value) == message.format(folder=folder)


def test_a_function_is_called_with_what_it_takes_and_what_it_returns_is_checked(folder, config):
    data = call(config.data, config.code, Dataset)
    assert len(data.train_inputs) == 15
    model = call(config.model, config.code, Network, features=(2,), outputs=3, unknown=1)
    assert isinstance(model, Network)
    wrong = Experiment(model=Model("nets.py:three"), code=own.Code(folder=folder))
    with pytest.raises(ConfigError, match="returned int, expected a Model"):
        call(wrong.model, wrong.code, Network, features=(2,), outputs=3)


def test_a_module_that_is_installed_is_named_with_its_distributions_version():
    config = Experiment(model=Model("pride_jax.models.networks:mlp", {"hidden": (5,)}))
    assert config.model.options == {"hidden": (5,)}
    (source, digest), *others = config.code.digests.items()
    assert not others and source == "pride_jax.models.networks"
    assert len(digest.partition(", ")[0]) == 64


def test_an_option_is_overridden_like_any_setting(config):
    changed = override(config, ["--model.options.width", "8", "--model.options.sizes", "3", "4"])
    assert changed == replace(
        config, model=Model("nets.py:net", {"width": 8, "sizes": (3, 4)}), code=config.code
    )


def test_nothing_is_overridden_by_nothing(config):
    assert override(config, []) == config


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model.options.widht", "3"], "--model.options.width INT"),
        (["--model.options.width", "x"], "--model.options.width"),
        (["--model.options.kind", "odd"], "('plain', 'wide')"),
        (["--model.name", "mlpp"], "did you mean mlp? Expected logistic"),
        (["--model.name"], "--model.name"),
        (["--code.folder", "."], "Unrecognized options: --code.folder"),
    ],
)
def test_an_impossible_override_is_told(config, arguments, told, capsys):
    with pytest.raises(SystemExit):
        override(config, arguments)
    assert told in capsys.readouterr().err


def test_another_name_begins_with_its_own_defaults(config):
    changed = override(config, ["--model.name", "mlp", "--data.options.examples", "60"])
    assert changed.model == Model("mlp")
    assert changed.code.digests.keys() == {"sets.py"}
    back = override(changed, ["--model.name=nets.py:net", "--model.options.width", "3"])
    assert back.model.options["width"] == 3


def test_a_config_that_holds_its_own_functions_is_read(tmp_path):
    (tmp_path / "all.py").write_text(
        "from pride_jax.settings import *\n"
        "def net(features, outputs, width=3):\n    return width\n"
        "config = Experiment(model=Model('all.py:net'))\n"
    )
    assert load_config(tmp_path / "all.py").model.options == {"width": 3}


def test_neighbours_of_two_configs_do_not_mix_and_leave_no_trace(tmp_path):
    content = (
        "from common import ROUNDS\nfrom pride_jax.settings import Experiment\n"
        "config = Experiment(rounds=ROUNDS)"
    )
    before = list(sys.path), dict(sys.modules)
    for rounds in (3, 4):
        folder = tmp_path / str(rounds)
        folder.mkdir()
        (folder / "common.py").write_text(f"ROUNDS = {rounds}")
        (folder / "some.py").write_text(content)
        assert load_config(folder / "some.py").rounds == rounds
    assert (list(sys.path), dict(sys.modules)) == before


def test_a_neighbour_hides_nothing_for_longer_than_a_config_is_read(tmp_path, monkeypatch):
    other = type(sys)("common")
    monkeypatch.setitem(sys.modules, "common", other)
    (tmp_path / "common.py").write_text("1 / 0")
    (tmp_path / "some.py").write_text("import common")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        load_config(tmp_path / "some.py")
    assert sys.modules["common"] is other and str(tmp_path) not in sys.path


def test_a_run_keeps_the_code_and_needs_nothing_else(folder, config, tmp_path):
    finished = run(config, tmp_path / "run")
    for file in ("nets.py", "sets.py"):
        assert (tmp_path / "run" / "code" / file).read_bytes() == (folder / file).read_bytes()
    shutil.rmtree(folder)
    saved = trust(read_settings(tmp_path / "run"), tmp_path / "run" / "code")
    assert saved == config
    again = run(saved, tmp_path / "again")
    assert again["parameters_sha256"] == finished["parameters_sha256"]


def test_code_that_has_changed_is_refused_with_both_digests(folder, config, tmp_path):
    run(config, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    (folder / "nets.py").write_text((folder / "nets.py").read_text() + "\n")
    changed = load_config(folder / "blobs.py")
    one, other = config.code.digests["nets.py"], changed.code.digests["nets.py"]
    with pytest.raises(Exception, match=f"code.nets.py: '{one}' -> '{other}'"):
        run(changed, tmp_path / "run", resume=True)
    # As in a launched process, whose settings were pickled before the file was changed.
    with pytest.raises(ConfigError, match=f"was {one} when .* and is {other}"):
        call(pickle.loads(pickle.dumps(config)).model, config.code, Network)
    (tmp_path / "run" / "code" / "nets.py").write_text("changed")
    with pytest.raises(ConfigError, match=f"nets.py: its SHA-256 was {one}"):
        trust(read_settings(tmp_path / "run"), tmp_path / "run" / "code")


@pytest.mark.parametrize("name", ["evil.py:f", "evil_module:f"])
def test_a_run_of_somebody_else_imports_nothing(folder, config, tmp_path, monkeypatch, name):
    marker = tmp_path / "marker"
    content = to_dict(config)
    content["model"] = {"name": name, "options": {"width": 3}}
    content["data"] = to_dict(Experiment())["data"]
    content["code"] = {own.source_of(name): "0" * 64}
    foreign = tmp_path / "foreign"
    for file in (foreign / "code" / "evil.py", tmp_path / "path" / "evil_module.py"):
        file.parent.mkdir(parents=True)
        file.write_text(TOLD.format(marker=str(marker)) + "def f(): pass")
    (foreign / "config.json").write_text(json.dumps(content))
    monkeypatch.syspath_prepend(tmp_path / "path")

    saved = read_settings(foreign)
    assert saved.model.options == {"width": 3}
    changed = replace(saved, rounds=7)
    for settings in (saved, changed, pickle.loads(pickle.dumps(changed))):
        with pytest.raises(ConfigError, match="allow it with --trust-code"):
            function_of("model", settings.model.name, settings.code)
        with pytest.raises(ConfigError, match="allow it with --trust-code"):
            run(settings, tmp_path / "run")
    with pytest.raises(ConfigError, match="its SHA-256 was 0000"):
        trust(saved, foreign / "code")
    assert not marker.exists() and not (tmp_path / "run").exists()
