"""What made numbers: commit, machine and versions, of a folder or of single files.

Numbers have a commit if it stands beside them, above them, or in the ``env.json`` of their folder.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import table

OF_OTHERS = {
    "benchmarks/features.json": "read in others' packages, of the versions that it names",
    "correlated/oracle.json": "jax_privacy's matrices; its script needs nothing of this code",
    "encryption/lattice_security.json": "the lattice estimator's; a test compares it with the code",
    "encryption/published.json": "others' figures, with their addresses",
}
"""Numbers that no commit of this code made, and what did."""
GONE = {
    "2753b6857227fd3b6afc17c1664e5fc0dc0337ac",
    "7b0cdf763fea1fc5df11543e92713af586eba099",
    "aba564280a66c2495b476ff11bd3e7bd05bfade0",
}
"""Commits that made numbers, of branches that are gone."""


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


def without_commit(results: Path) -> str:
    """The table of numbers whose code nobody can look at, and why; files of a run are its folder.

    Whoever measures them again, at a commit, takes them out.
    """
    rows = {name: why for name, why in unknown(results) if why}
    return table(["numbers", "their commit"], [[f"`{name}`", why] for name, why in rows.items()])


def unknown(results: Path) -> Iterator[tuple[str, str]]:
    """Each JSON file that numbers of this code are in, and what its commit lacks, if anything.

    Files of folders in folders of a study's part are that part.
    """
    for path in sorted([*results.rglob("*.json"), *results.rglob("*.jsonl")]):
        name = str(path.relative_to(results))
        if name.count("/") > 3:
            name = f"{'/'.join(name.split('/')[:2])}/"
        if (path.parent / "env.json").exists():
            yield f"{name.rpartition('/')[0]}/", _lacking(read_json(path.parent / "env.json"))
        elif path.suffix == ".jsonl":
            yield name, "not recorded"
        elif name not in OF_OTHERS:
            yield name, _lacking(read_json(path))


def _lacking(numbers: Any) -> str:
    commits = list(_all(numbers, "git_commit", "commit"))
    lacks = {
        "not recorded": _bare(numbers) or None in commits,
        "with changes": any(_all(numbers, "git_changes")),
        "of a branch that is gone": not GONE.isdisjoint(commits),
    }
    return ", ".join(what for what, is_so in lacks.items() if is_so)


def _bare(numbers: Any) -> bool:
    """Whether there is a number with no commit beside or above it."""
    if isinstance(numbers, dict):
        made = {"environment", "environments", "git_commit", "commit"}
        return made.isdisjoint(numbers) and any(map(_bare, numbers.values()))
    if isinstance(numbers, list):
        return any(map(_bare, numbers))
    return isinstance(numbers, (int, float)) and not isinstance(numbers, bool)


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
