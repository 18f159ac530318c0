"""What made numbers: commit, machine and versions, of a folder or of single files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import table


def made_by(folder: str) -> Callable[[Path], str]:
    """The sentence on which commits, processors and versions a folder's JSON has recorded.

    Args:
      folder: its path in ``results/``; all ``sweep.json`` and ``env.json`` in it count.
    """

    def made(results: Path) -> str:
        environments = list(_environments(results / folder))
        commits = ", ".join(sorted({_commit(each) for each in environments}))
        machines = "; ".join(sorted({_machine(each) for each in environments}))
        versions = "; ".join(sorted({_versions(each) for each in environments}))
        return f"Made by commit {commits} on {machines}; {versions}.\n"

    return made


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


def sources(*names: str) -> Callable[[Path], str]:
    """The table of what JSON files, by their paths in ``results/``, say that they ran on.

    Older ones say less: of sweeps, each run's commit at most, of benchmarks the versions.
    """

    def made(results: Path) -> str:
        rows = [[f"`{Path(name).name}`", *_said(read_json(results / name))] for name in names]
        return table(["numbers", "commit", "JAX", "processor"], rows)

    return made


def _said(numbers: Any) -> Iterator[str]:
    commits = [f"`{each[:10]}`" for each in _all(numbers, "git_commit", "commit") if each]
    if any(_all(numbers, "git_changes")):
        commits.append("with changes")
    for said in (commits, _all(numbers, "jax"), _all(numbers, "processor")):
        yield ", ".join(dict.fromkeys(said)) or "not recorded"


def _all(numbers: Any, *keys: str) -> Iterator[Any]:
    """What stands under any of these keys, at whatever depth."""
    if isinstance(numbers, dict):
        for key, value in numbers.items():
            if key in keys:
                yield value
            else:
                yield from _all(value, *keys)
    elif isinstance(numbers, list):
        for each in numbers:
            yield from _all(each, *keys)
