"""What made numbers is told as it was recorded, each only once."""

from pride_jax.reporting.provenance import made_by
from pride_jax.runs.files import write_json

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
    (tmp_path / "one").mkdir()
    write_json(tmp_path / "one" / "sweep.json", {"environments": [HERE, HERE], "runs": []})
    write_json(tmp_path / "env.json", [HERE])
    told = "Made by commit `0123456789` on 2 cores of A Processor; Python 3.11.7, JAX 0.10.2.\n"
    assert made_by(tmp_path) == told


def test_changes_other_commits_and_gpus_are_told(tmp_path):
    changed = HERE | {"git_commit": "fedcba9876543210", "git_changes": True, "num_devices": 1}
    gpu = HERE | {"platform_of_device": "gpu", "device": "NVIDIA H100", "num_devices": 1}
    nowhere = HERE | {"git_commit": None}
    write_json(tmp_path / "env.json", [changed, gpu, nowhere])
    told = made_by(tmp_path)
    assert "`0123456789`, `fedcba9876` with changes, of no checkout on" in told
    assert "1 NVIDIA H100 of A Processor; 1 core of A Processor; 2 cores of A Processor" in told
