"""What made numbers is told as it was recorded, each only once; what no commit made is listed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pride_jax.files import read_json, write_json
from results.provenance import GONE, OF_OTHERS, made_by, sources, unknown, without_commit
from results.studies import RESULTS

HERE = {
    "python": "3.11.7",
    "processor": "A Processor",
    "num_devices": 2,
    "platform_of_device": "cpu",
    "device": "cpu",
    "versions": {"jax": "0.10.2"},
    "git_commit": "0123456789abcdef",
    "git_changes": False,
}


def test_commit_machine_and_versions_are_told_once(tmp_path):
    (tmp_path / "here" / "one").mkdir(parents=True)
    write_json(tmp_path / "here" / "one" / "sweep.json", {"environments": [HERE, HERE], "runs": []})
    write_json(tmp_path / "here" / "env.json", [HERE])
    told = "Made by commit `0123456789` on 2 cores of A Processor; Python 3.11.7, JAX 0.10.2.\n"
    assert made_by("here")(tmp_path) == told


def test_changes_other_commits_and_gpus_are_told(tmp_path):
    changed = HERE | {"git_commit": "fedcba9876543210", "git_changes": True, "num_devices": 1}
    gpu = HERE | {"platform_of_device": "gpu", "device": "NVIDIA H100", "num_devices": 1}
    nowhere = HERE | {"git_commit": None}
    (tmp_path / "here").mkdir()
    write_json(tmp_path / "here" / "env.json", [changed, gpu, nowhere])
    told = made_by("here")(tmp_path)
    assert "`0123456789`, `fedcba9876` with changes, of no checkout on" in told
    assert "1 NVIDIA H100 of A Processor; 1 core of A Processor; 2 cores of A Processor" in told


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"rows": [], "environment": HERE}, "`0123456789` | 0.10.2 | A Processor"),
        ({"audits": [{"environment": HERE}] * 2}, "`0123456789` | 0.10.2 | A Processor"),
        (
            {"environments": [HERE | {"git_changes": True}]},
            "`0123456789`, with changes | 0.10.2 | A Processor",
        ),
        (
            {"runs": [{"commit": "a" * 40}, {"commit": "b" * 40}, {"commit": "a" * 40}]},
            "`aaaaaaaaaa`, `bbbbbbbbbb` | not recorded | not recorded",
        ),
        ({"versions": {"jax": "0.10.2"}}, "not recorded | 0.10.2 | not recorded"),
    ],
)
def test_a_file_is_told_as_far_as_it_says(tmp_path, numbers, said):
    write_json(tmp_path / "numbers.json", numbers)
    assert f"| `numbers.json` | {said} |\n" in sources("numbers.json")(tmp_path)


MISSES = {
    *("benchmarks/engine_2nn.json", "benchmarks/engine_under_load.json"),
    *("deploy/engine/before.json", "encryption/ckks.json"),
    *("encryption/key_apart.json", "encryption/lattice.json"),
    *("encryption/mnist_ten_party_direct/sweep.json", "first_curves/cifar_resnet/"),
    *("methods/protocols/sweep.json", "methods/tuning_fedavg/sweep.json"),
    *("methods/tuning_scaffold/sweep.json", "mnist_ten_party_encrypted/"),
    *("privacy/benchmark.json", "privacy/brackets.json"),
    *("privacy/tuned/", "privacy/tuned/before.json"),
}
"""Measured before commits were recorded, or without one: to be measured again, never more."""
COMMIT = r'"(?:git_)?commit": ?"([^"]*)"'


def lacking(results):
    return {name: why for name, why in unknown(results) if why}


def history():
    """The commits before this one; none where this is no checkout, or one without its history."""
    asked = (["--show-toplevel"], ["--is-shallow-repository"])
    try:
        top, shallow = (git("rev-parse", *each) for each in asked)
        whole = Path(top.strip()).samefile(RESULTS.parent) and shallow.strip() == "false"
        return set(git("rev-list", "HEAD").split()) if whole else set()
    except (OSError, subprocess.CalledProcessError):
        return set()


def git(*arguments):
    command = ["git", *arguments]
    return subprocess.run(command, cwd=RESULTS, capture_output=True, text=True, check=True).stdout


def test_new_numbers_name_a_commit_without_changes():
    assert lacking(RESULTS).keys() <= MISSES


def test_numbers_of_others_are_there():
    assert [name for name in OF_OTHERS if not (RESULTS / name).is_file()] == []


def test_each_commit_that_numbers_name_is_in_the_history():
    told = {
        commit
        for path in [*RESULTS.rglob("*.json"), *RESULTS.rglob("*.jsonl")]
        for commit in re.findall(COMMIT, path.read_text())
    }
    assert [commit for commit in told if not re.fullmatch("[0-9a-f]{40}", commit)] == []
    if not (known := history()):
        # A shallow clone, or files without git: there is nothing to look the commits up in.
        pytest.skip("the history is not here")
    assert told - GONE - known == set()


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ({"rows": [{"seconds": 1.5}], "environment": HERE}, ""),
        ({"audits": [{"epsilon": 1.0, "environment": HERE}]}, ""),
        ({"runs": [{"seconds": 1.5, "commit": "a" * 40}]}, ""),
        ({"rows": [{"seconds": 1.5}], "versions": {"jax": "0.10.2"}}, "not recorded"),
        ({"rows": [{"seconds": 2}]}, "not recorded"),
        ({"first": {"environment": HERE}, "second": {"seconds": 1.5}}, "not recorded"),
        ({"environment": HERE | {"git_commit": None}}, "not recorded"),
        ({"environments": [HERE, HERE | {"git_changes": True}]}, "with changes"),
        ({"environment": HERE | {"git_commit": min(GONE)}}, "of a branch that is gone"),
    ],
)
def test_what_a_commit_lacks_is_told(tmp_path, numbers, why):
    write_json(tmp_path / "numbers.json", numbers)
    assert list(unknown(tmp_path)) == [("numbers.json", why)]
    assert ("| `numbers.json` |" in without_commit(tmp_path)) == bool(why)


def test_a_run_has_the_commit_of_its_folder(tmp_path):
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / "summary.json", {"test_accuracy": 0.9})
    (tmp_path / "run" / "metrics.jsonl").write_text('{"round": 1}\n')
    write_json(tmp_path / "run" / "env.json", [HERE])
    assert set(unknown(tmp_path)) == {("run/", "")}
    write_json(tmp_path / "run" / "env.json", [HERE, HERE | {"git_changes": True}])
    assert set(unknown(tmp_path)) == {("run/", "with changes")}


@pytest.mark.parametrize("name", ["iris/two_party/sweep.json", "mnist_2nn_iid/env.json"])
def test_committed_numbers_that_lose_their_commit_are_seen(tmp_path, name):
    copy = shutil.copytree((RESULTS / name).parent, (tmp_path / name).parent)
    assert lacking(tmp_path) == {}
    for key, value in (("git_changes", True), ("git_commit", None)):
        numbers = read_json(RESULTS / name)
        each = numbers["environments"][0] if isinstance(numbers, dict) else numbers[0]
        each[key] = value
        write_json(copy / (tmp_path / name).name, numbers)
        assert lacking(tmp_path)
