"""What made the numbers in a folder: commit, machine and versions, in a sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pride_jax.runs.files import read_json


def made_by(folder: Path) -> str:
    """The commits, processors and versions that the folder's sweeps and runs have recorded.

    Args:
      folder: of ``results/``; all ``sweep.json`` and ``env.json`` in it count.
    """
    environments = list(_environments(folder))
    commits = sorted({_commit(each) for each in environments})
    machines = sorted({_machine(each) for each in environments})
    versions = sorted({_versions(each) for each in environments})
    return f"Made by commit {', '.join(commits)} on {'; '.join(machines)}; {'; '.join(versions)}.\n"


def _environments(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("sweep.json")):
        yield from read_json(path)["environments"]
    for path in sorted(folder.rglob("env.json")):
        yield from read_json(path)


def _commit(environment: dict[str, Any]) -> str:
    commit = environment["git_commit"]
    name = "of no checkout" if commit is None else f"`{commit[:10]}`"
    return f"{name} with changes" if environment["git_changes"] else name


def _machine(environment: dict[str, Any]) -> str:
    count = environment["num_devices"]
    unit = "core" if environment["platform_of_device"] == "cpu" else environment["device"]
    return f"{count} {unit}{'' if count == 1 else 's'} of {environment['processor']}"


def _versions(environment: dict[str, Any]) -> str:
    return f"Python {environment['python']}, JAX {environment['versions']['jax']}"
