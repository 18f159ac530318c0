"""A run's and a sweep's pictures are drawn anew from their folders, and what cannot be is told."""

import importlib.util
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pride_jax.errors import RunError
from pride_jax.files import write_json
from pride_jax.reporting.redraw import redraw
from pride_jax.settings import own
from pride_jax.settings.experiment import Data, Experiment, Partition, Privacy
from pride_jax.settings.files import load_config, to_dict

ROOT = Path(__file__).parents[2]
ROWS = [
    {"round": 0, "test_accuracy": 0.25, "test_loss": 1.5},
    {"round": 2, "test_accuracy": 0.5, "test_loss": 1.0},
]
SUMMARY = {
    "test_accuracy": 0.5,
    "test_loss": 1.0,
    "confusion": [[2, 1], [0, 3]],
    "central": 0.6,
    "alone": [0.3, 0.4],
    "confusion_central": [[3, 0], [0, 3]],
    "confusions_alone": [[[1, 2], [0, 3]]] * 2,
    "accuracy_over_clients": dict.fromkeys(
        ("mean", "minimum", "tenth_percentile", "median", "ninetieth_percentile", "maximum"), 0.5
    ),
    "rounds": 2,
}
DISCLOSURE = {
    "protocol": "none",
    "sights": [],
    "guarantee": "None.",
    "epsilon_against": None,
    "statements": [],
}
REPORT = Path("report.html")
CONFIG = Experiment(data=Data("iris"), partition=Partition("iid", clients=3))
CURVE, CONFUSION, LABELS = (
    Path("plots") / f"{name}.png"
    for name in ("learning_curve", "confusion_matrix", "client_labels")
)


def make_run(folder, rows=ROWS, summary=SUMMARY, **data):
    folder.mkdir(exist_ok=True)
    config = to_dict(CONFIG)
    config["data"] |= data
    write_json(folder / "config.json", config)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(folder / "disclosure.json", DISCLOSURE)
    write_json(folder / "env.json", [{"started": "today", "num_devices": 1, "device": "cpu"}])
    if summary:
        write_json(folder / "summary.json", summary)
    return folder


def pictures(folder):
    return {path.relative_to(folder) for path in folder.rglob("*.png")}


def reasons(folder):
    return {path.relative_to(folder): why for path, why in redraw(folder).left.items()}


def test_a_finished_run_gets_all_of_its_pictures(tmp_path):
    drawn, left = redraw(make_run(tmp_path))
    assert [path.relative_to(tmp_path) for path in drawn] == [CURVE, CONFUSION, LABELS, REPORT]
    assert left == {}
    assert pictures(tmp_path) == {CURVE, CONFUSION, LABELS}


def test_a_private_run_gets_a_picture_of_its_trade_off(tmp_path):
    cost = {"epsilon": 2.0, "delta": 1e-5}
    told = {"reader": "models", "mu": 1.0, "rho": 0.5, "epsilon_delta": [[0, 0.3], [2, 1e-5]]}
    picture = Path("plots/trade_off.png")
    drawn, left = redraw(make_run(tmp_path, summary=SUMMARY | {"trade_off": told} | cost))
    assert tmp_path / picture in drawn
    assert left == {}
    assert pictures(tmp_path) == {CURVE, CONFUSION, LABELS, picture}


def test_the_owner_of_a_private_run_gets_a_page_of_everything_and_others_do_not(tmp_path):
    privacy = Privacy(clipping_norm=1.0, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2)
    make_run(tmp_path, summary=SUMMARY | {"accuracy_over_clients": None})
    write_json(tmp_path / "config.json", to_dict(replace(CONFIG, privacy=privacy)))
    (tmp_path / "private").mkdir()
    secret = {"by_client": [{"name": "hidden clinic", "examples": 77, "training": 0.123456}]}
    write_json(tmp_path / "private" / "summary.json", SUMMARY | secret)
    shutil.copy(tmp_path / "metrics.jsonl", tmp_path / "private")
    drawn, left = redraw(tmp_path)
    owners = tmp_path / "private"
    assert {owners / REPORT, owners / LABELS, owners / "plots" / "clients.png"} <= set(drawn)
    assert list(left) == [tmp_path / LABELS]
    public = (tmp_path / REPORT).read_text()
    assert "hidden clinic" in (owners / REPORT).read_text()
    assert "hidden clinic" not in public and "0.1235" not in public
    assert "private/report.html" in public
    assert "private/report.html" not in (owners / REPORT).read_text()
    assert "owner alone" in (owners / REPORT).read_text() and "owner alone" not in public


def test_a_run_that_goes_on_has_a_curve_so_far(tmp_path):
    assert reasons(make_run(tmp_path, summary=None)) == {
        CONFUSION: "the run has not ended",
        REPORT: "the run has not ended",
    }
    assert pictures(tmp_path) == {CURVE, LABELS}


def test_a_run_of_another_version_without_an_environment_has_no_page(tmp_path):
    make_run(tmp_path)
    (tmp_path / "env.json").unlink()
    assert reasons(tmp_path) == {REPORT: "the folder has no env.json"}


def test_a_run_that_has_measured_nothing_has_no_curve(tmp_path):
    told = reasons(make_run(tmp_path, rows=[], summary=None))
    assert told[CURVE] == "the run has measured nothing yet"


def test_a_task_without_classes_has_no_confusion_matrix(tmp_path):
    told = reasons(make_run(tmp_path, summary=SUMMARY | {"confusion": None}))
    assert told == {CONFUSION: "summary.json has none"}


def test_parties_examples_are_not_looked_for(tmp_path):
    told = reasons(make_run(tmp_path, summary=SUMMARY | {"accuracy_over_clients": None}))
    assert told == {LABELS: "each party alone has its examples"}


def test_examples_that_cannot_be_had_are_told(tmp_path):
    told = reasons(make_run(tmp_path, name="nowhere.npz"))
    assert list(told) == [LABELS]
    assert "nowhere.npz" in told[LABELS]


def test_code_of_the_folder_is_not_run(tmp_path):
    (tmp_path / "own.py").write_text("raise SystemExit('this must not be run')\n")
    told = reasons(make_run(tmp_path, name="own.py:make"))
    assert list(told) == [LABELS] and "own.py:make" in told[LABELS]


@pytest.fixture
def with_code(tmp_path):
    """The folder of a run whose data its own code makes."""
    config = load_config(ROOT / "tests" / "own" / "blobs.py")
    make_run(tmp_path)
    write_json(tmp_path / "config.json", to_dict(config))
    own.keep(config.code, tmp_path)
    return tmp_path


def test_code_that_is_trusted_makes_the_data_again(with_code):
    assert "read sets.py, then allow it with --trust-code" in reasons(with_code)[LABELS]
    assert pictures(with_code) == {CURVE, CONFUSION}
    assert redraw(with_code, trusted=True).left == {}
    assert pictures(with_code) == {CURVE, CONFUSION, LABELS}


def test_trusted_code_must_be_what_the_run_was_made_with(with_code):
    (with_code / own.CODE / "sets.py").write_text("raise SystemExit('this must not be run')\n")
    drawn, left = redraw(with_code, trusted=True)
    assert len(drawn) == 3 and "sets.py: its SHA-256 was " in left[with_code / LABELS]


def test_a_regression_has_a_curve_alone(tmp_path):
    rows = [{"round": 0, "test_loss": 1.5}, {"round": 2, "test_loss": 1.0}]
    run = make_run(tmp_path, rows=rows, summary=None, name="diabetes")
    assert reasons(run)[LABELS] == "the targets are no classes"
    assert pictures(tmp_path) == {CURVE}


def row(seed, accuracy):
    return {"settings": {"seed": str(seed)}, "test_accuracy": accuracy}


def test_a_sweep_gets_its_picture(tmp_path):
    write_json(tmp_path / "sweep.json", {"runs": [row(0, 0.5), row(1, 0.75)]})
    assert redraw(tmp_path) == ([tmp_path / "scores.png", tmp_path / REPORT], {})
    assert pictures(tmp_path) == {Path("scores.png")}


def test_a_sweep_whose_runs_left_their_evaluations_gets_their_curves(tmp_path):
    for seed in range(2):
        make_run(tmp_path / f"seed={seed}")
    rows = [row(seed, 0.5) | {"folder": f"../{tmp_path.name}/seed={seed}"} for seed in range(2)]
    write_json(tmp_path / "sweep.json", {"runs": rows})
    drawn = [tmp_path / name for name in ("scores.png", "curves.png", REPORT)]
    assert redraw(tmp_path) == (drawn, {})


def test_a_sweep_whose_runs_all_failed_has_none(tmp_path):
    write_json(tmp_path / "sweep.json", {"runs": [{"settings": {}, "error": "no data"}]})
    assert reasons(tmp_path) == {Path("scores.png"): "no run of the sweep has finished"}
    assert not pictures(tmp_path)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match="nothing to draw: expected the folder of a run"):
        redraw(tmp_path)


@pytest.fixture
def plot(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("plot_script", ROOT / "scripts" / "plot.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["plot.py", *map(str, arguments)])
        status = script.main()
        return status, *capsys.readouterr()

    return run


def test_the_command_names_what_it_drew_and_what_it_left(plot, tmp_path):
    status, out, err = plot(make_run(tmp_path, summary=None))
    assert status == 0
    assert out.splitlines() == [str(tmp_path / CURVE), str(tmp_path / LABELS)]
    assert err == "".join(
        f"left as it is: {tmp_path / name}: the run has not ended\n" for name in (CONFUSION, REPORT)
    )


def test_the_command_offers_to_trust_code(plot, with_code):
    status, out, err = plot(with_code)
    assert status == 0 and str(LABELS) not in out and "--trust-code" in err
    status, out, err = plot(with_code, "--trust-code")
    assert status == 0 and str(LABELS) in out and not err


def test_the_command_finds_a_study_where_it_lies(plot):
    before = {path: path.read_bytes() for path in (ROOT / "results" / "iris").glob("*.*")}
    status, out, _ = plot(ROOT / "results" / "iris")
    assert status == 0 and out.splitlines() == [str(ROOT / "results" / "iris" / "accuracies.png")]
    for path, content in before.items():
        if path.suffix != ".png":
            assert path.read_bytes() == content


def test_a_study_elsewhere_is_not_run(plot, tmp_path):
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    (folder / "study.py").write_text("raise SystemExit('this must not be run')\n")
    status, _, err = plot(folder)
    assert status == 2 and "nothing to draw" in err


def test_a_folder_that_is_not_there_is_told(plot, tmp_path):
    status, _, err = plot(tmp_path / "none")
    assert status == 2 and "There is no folder" in err
