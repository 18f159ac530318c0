"""What a config's docstring expects is what the committed result of that config reached."""

import ast
import dataclasses
import json
import re
import shutil
import statistics
from pathlib import Path

import pytest
from figures import DECIMAL, FIGURE, flat

from pride_jax.files import read_json, write_json
from pride_jax.reporting.markdown import mean_and_deviation
from pride_jax.settings.files import load_config
from results.mcmahan import study as mcmahan
from results.mnist_six_party import study as six_party
from results.privacy.plots import PUBLISHED
from results.studies import RESULTS

CONFIGS = sorted((RESULTS.parent / "configs").glob("*.py"))
RUNS = (
    *("digits_ten_party", "mnist_2nn_iid", "mnist_2nn_shards", "mnist_cnn_shards"),
    *("mnist_six_party", "mnist_ten_party_encrypted"),
)
"""Configs whose result is one run, in a folder of ``results/`` of the same name."""
SEEDS = {
    "digits_dp": "populations/digits",
    "iris_dp": "populations/iris",
    "mnist_dp_encrypted": "mechanisms/encrypted",
    "mnist_dp_k100": "accuracy/k100",
    "mnist_dp_k1000": "accuracy/k1000",
    "mnist_dp_k10000": "accuracy/k10000",
    "mnist_writers_dp": "populations/writers",
}
"""Configs whose result is a sweep over seeds, and its folder in ``results/privacy/``."""
NO_FIGURES = {"ε = 8.0", "ε = 3.0", "C = 0, .1, .2, .5, 1"}
"""Settings with a point."""


def config_of(name):
    return RESULTS.parent / "configs" / f"{name}.py"


def docstring(path):
    return flat(ast.get_docstring(ast.parse(path.read_text())))


def sweep_of(folder, results):
    return read_json(results / "privacy" / folder / "sweep.json")


def of_run(name, results):
    """The sentence that a run's ``summary.json`` allows."""
    summary = read_json(results / name / "summary.json")
    target = read_json(results / name / "config.json")["evaluation"]["target_accuracy"]
    said = f"test accuracy {summary['test_accuracy']:.2%} after {summary['rounds']} rounds"
    if summary["rounds_to_target"] is not None:
        said += f"; {target:.0%} after {summary['rounds_to_target']:.1f} rounds"
    if summary["central"] is not None:
        said += f"; the central model {summary['central']:.2%}, clients alone from "
        said += f"{min(summary['alone']):.2%} to {max(summary['alone']):.2%}"
    return said


def of_seeds(name, results):
    """The sentence that a sweep over seeds allows, at the config's own ε."""
    sweep = sweep_of(SEEDS[name], results)
    target = f"{sweep['config']['privacy']['epsilon']:g}"
    values = [
        run["test_accuracy"]
        for run in sweep["runs"]
        if run["settings"].get("privacy.epsilon", target) == target
    ]
    reached = mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 4)
    said = f"test accuracy {reached} over {len(values)} seeds"
    if "accuracy" in SEEDS[name]:
        without = sweep_of(f"{SEEDS[name]}_no_noise", results)["over_runs"]["test_accuracy"]
        said += f"; without noise {without['mean']:.4f}"
    return said


def expected(name, results=RESULTS):
    """The sentence on figures in a config of that name; nothing where no result has figures."""
    if name in RUNS:
        return f"Expected: {of_run(name, results)}."
    return f"Expected: {of_seeds(name, results)}." if name in SEEDS else ""


def said_by_others():
    """What others published or planned, in the words of the config that names it."""
    geyer = {
        f"mnist_dp_{name}": f"publish {f'{accuracy:.2f}'.lstrip('0')} at ε = {epsilon:g}"
        for name, (epsilon, accuracy) in zip(
            ("k100", "k1000", "k10000"), PUBLISHED.values(), strict=True
        )
    }
    once, central = six_party._ORIGINAL.values()
    return geyer | {
        "mcmahan_2nn": "table 2: the 2NN to 97% by fraction of clients",
        "mnist_2nn_iid": f"97% within {mcmahan.published_of_2nn('iid')} rounds",
        "mnist_2nn_shards": f"97% in {mcmahan.published_of_2nn('shards')}",
        "mnist_cnn_iid": f"99% within {mcmahan._CNN['iid']} rounds",
        "mnist_cnn_shards": f"99% in {mcmahan._CNN['shards']}",
        "mnist_six_party": f"{once:.1%} against {central:.2%} for its central model",
        "mnist_ten_party_encrypted": "expected about 98% here",
    }


def wrong(path, results=RESULTS):
    """What a config's docstring should say and does not, and its figures of unknown origin."""
    said, others = docstring(path), said_by_others().get(path.stem, "")
    sentences = [each for each in (expected(path.stem, results), others) if each]
    missing = [each for each in sentences if each not in said]
    for each in (*sentences, *NO_FIGURES):
        said = said.replace(each, "")
    if path.stem in SEEDS or path.stem in RUNS:
        missing += re.findall(r"Expected:", said)
    found = [each.group() for pattern in (FIGURE, DECIMAL) for each in pattern.finditer(said)]
    return [*missing, *found]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_expects_what_its_committed_result_reached(path):
    assert wrong(path) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_results_that_a_config_points_to_are_there(path):
    pages = re.findall(r"results/[\w/]+/README\.md", docstring(path))
    assert [page for page in pages if not (RESULTS.parent / page).is_file()] == []


SECTIONS = ("partition", "client", "server", "privacy")
SETTINGS = (
    *(("data", "name"), ("data", "features"), ("model", "name")),
    *(("cohort", "sampling"), ("cohort", "size")),
    *(("aggregation", "protocol"), ("aggregation", "bits"), ("aggregation", "key_bits")),
)


@pytest.mark.parametrize("name", [*RUNS, *SEEDS])
def test_the_result_is_of_the_config_as_it_stands(name):
    """Settings that are new since, and the number of rounds, which the sentence tells, are not
    compared."""
    now = json.loads(json.dumps(dataclasses.asdict(load_config(config_of(name))), default=str))
    one = RESULTS / name / "config.json"
    then = read_json(one) if name in RUNS else sweep_of(SEEDS[name], RESULTS)["config"]
    asked = [*SETTINGS, *((part, key) for part in SECTIONS for key in then[part])]
    for part, key in asked:
        if key in now[part] and key in then[part]:
            assert now[part][key] == then[part][key], f"{part}.{key}"


@pytest.mark.parametrize("name", [*RUNS, *SEEDS])
def test_another_digit_in_a_docstring_is_seen(tmp_path, name):
    text = config_of(name).read_text()
    sentence = text.index("Expected:")
    for digit in re.finditer(r"\d", text[: text.index('"""', sentence)]):
        if digit.start() > sentence:
            other = str((int(digit.group()) + 1) % 10)
            changed = text[: digit.start()] + other + text[digit.end() :]
            (tmp_path / f"{name}.py").write_text(changed)
            assert wrong(tmp_path / f"{name}.py"), f"{digit}"


@pytest.mark.parametrize(
    ("name", "file", "keys"),
    [
        ("mnist_2nn_iid", "mnist_2nn_iid/summary.json", ["test_accuracy"]),
        ("mnist_2nn_iid", "mnist_2nn_iid/summary.json", ["rounds_to_target"]),
        ("digits_ten_party", "digits_ten_party/summary.json", ["central"]),
        ("digits_dp", "privacy/populations/digits/sweep.json", ["runs", 0, "test_accuracy"]),
    ],
)
def test_another_figure_in_a_result_is_seen(tmp_path, name, file, keys):
    copy = shutil.copytree((RESULTS / file).parent, tmp_path / Path(file).parent)
    assert wrong(config_of(name), tmp_path) == []
    whole = numbers = read_json(tmp_path / file)
    for key in keys[:-1]:
        numbers = numbers[key]
    numbers[keys[-1]] *= 0.99
    write_json(copy / Path(file).name, whole)
    assert expected(name, tmp_path) in wrong(config_of(name), tmp_path)


@pytest.mark.parametrize(
    "sentence", ["Three minutes, and 99% in the end.", "It takes 12 seconds.", "Accuracy 0.93."]
)
def test_a_figure_without_a_result_is_seen(tmp_path, sentence):
    path = tmp_path / "mine.py"
    path.write_text(f'"""A config.\n\n{sentence}\n"""\n')
    assert wrong(path)
