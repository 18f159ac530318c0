"""Tables of how a round grows, and of the ways to compute the same round."""

from collections.abc import Callable
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row

_NAMES = {"2nn": "2NN", "cnn": "CNN"}
_BY_DEFAULT = {"how": "engine", "devices": 1, "chunk": None, "precision": "float32"}
_COHORT, _CLIENTS = 100, 10_000


def _rows(results: Path, name: str = "scale", **values: object) -> list[Row]:
    rows = read_json(results / "benchmarks" / f"{name}.json")["rows"]
    return [row for row in rows if all(row[field] == value for field, value in values.items())]


def by_cohort(results: Path) -> str:
    """Seconds a round against the clients in it, and seconds to compile one."""
    rows = _rows(results, clients=_CLIENTS, **_BY_DEFAULT)
    seconds = {(row["model"], row["cohort"]): rounded(row["seconds_per_round"], 3) for row in rows}
    compiled = {
        row["model"]: rounded(row["compile_seconds"]) for row in rows if row["cohort"] == _COHORT
    }
    cohorts = sorted({cohort for _, cohort in seconds})
    lines = [
        [name, *(seconds.get((model, cohort), "not run") for cohort in cohorts), compiled[model]]
        for model, name in _NAMES.items()
    ]
    header = [f"clients a round, of {_CLIENTS:,}", *(f"{each:,}" for each in cohorts)]
    return table([*header, f"to compile, {_COHORT} clients"], lines)


def by_clients(results: Path) -> str:
    """Seconds a round of a cohort, and the process's memory, against the clients that there are."""
    rows = _rows(results, model="2nn", cohort=_COHORT, **_BY_DEFAULT)
    rows.sort(key=lambda row: row["clients"])
    lines = [
        ["seconds", *(rounded(row["seconds_per_round"], 3) for row in rows)],
        ["peak MB of the process", *(f"{row['peak_bytes'] / 1e6:.0f}" for row in rows)],
    ]
    header = [f"clients in all, cohort of {_COHORT}, 2NN"]
    header += [f"{row['clients']:,}" for row in rows]
    return table(header, lines)


def ways(name: str) -> Callable[[Path], str]:
    """The table of every way in which one JSON's cohort of 100 was computed.

    Args:
      name: of the JSON, ``scale`` or ``devices``.
    """

    def made(results: Path) -> str:
        rows = _rows(results, name, cohort=_COHORT, clients=_CLIENTS)
        lines = []
        for model, title in _NAMES.items():
            own = [row for row in rows if row["model"] == model]
            (base,) = (row for row in own if _BY_DEFAULT.items() <= row.items())
            lines += [
                [
                    title,
                    {"engine": "as the models are", "matmul": "products"}[row["how"]],
                    str(row["devices"]),
                    str(row["chunk"] or "default"),
                    row["precision"],
                    rounded(row["seconds_per_round"], 3),
                    f"{base['seconds_per_round'] / row['seconds_per_round']:.2f}",
                    f"{row['peak_bytes'] / 1e6:.0f}",
                    f"{row['matmul_share']:.2f}",
                    str(row["repetitions"]),
                ]
                for row in own
            ]
        header = ["model", "convolutions", "devices", "chunk", "precision", "seconds"]
        header += ["times as fast as by default", "peak MB", "of the matmul rate", "rounds"]
        return table(header, lines)

    return made


def long_run(results: Path) -> str:
    """Memory of a very long run by its rounds, and the bytes of what it left."""
    report = read_json(results / "benchmarks" / "long_run.json")
    chosen = report["looks"][:: max(1, len(report["looks"]) // 5)]
    lines = [
        ["rounds", *(f"{look['round']:,}" for look in chosen)],
        ["seconds", *(rounded(look["seconds"], 3) for look in chosen)],
        ["MB of memory", *(rounded(look["memory_bytes"] / 1e6, 3) for look in chosen)],
    ]
    sizes = ", ".join(f"`{name}` {rounded(size / 1e3)}" for name, size in report["files"].items())
    whole = rounded(sum(report["files"].values()) / 1e6)
    return table(lines[0], lines[1:]) + f"\nIts folder has {whole} MB; kB of each: {sizes}.\n"
