"""What made numbers is told as it was recorded, each only once."""

import pytest

from pride_jax.files import write_json
from results.provenance import made_by, sources

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
