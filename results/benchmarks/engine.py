"""Tables of the engine's speed beside straightforward loops, and of its memory."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row
from results.rows import only

_FILES = ("engine_2nn", "engine_under_load")
_GOAL = 1.4
_RATIOS = ("ratio_to_batch_loop", "ratio_to_epoch_loop", "ratio_to_plain_convolution")


def _rows(results: Path, name: str, field: str) -> list[Row]:
    return read_json(results / "benchmarks" / f"{name}.json")[field]


def setting(results: Path) -> str:
    """The sentence on the round that is timed, and on the goal."""
    asked = read_json(results / "benchmarks" / f"{_FILES[0]}.json")["setting"]
    reached = (
        only(_rows(results, name, "rows"), model="2nn", name="engine", cores=1, chunk=1)
        for name in _FILES
    )
    told = " and ".join(
        f"{row['ratio_to_batch_loop']:.2f} in `{name}.json`"
        for name, row in zip(_FILES, reached, strict=True)
    )
    return (
        f"{asked['cohort']} clients with {asked['examples']} examples each, one epoch in batches "
        f"of {asked['batch_size']}. The goal was {_GOAL} times a jitted step a batch, for the 2NN "
        f"on one core: it is {told}.\n"
    )


def speed(results: Path) -> str:
    """Seconds of the engine's round, and how many times as fast it is as each loop."""
    lines = [
        [
            f"`{name}.json`",
            row["model"],
            *(str(row[field]) for field in ("cores", "devices", "chunk")),
            rounded(row["seconds_per_round"], 3),
            *("–" if row[ratio] is None else rounded(row[ratio], 3) for ratio in _RATIOS),
            str(row["repetitions"]),
        ]
        for name in _FILES
        for row in _rows(results, name, "rows")
        if row["name"] == "engine"
    ]
    header = ["numbers", "model", "cores", "devices", "chunk", "seconds a round"]
    header += ["against a jitted step a batch", "against a jitted epoch a client"]
    return table([*header, "against `nnx.Conv` in the engine", "rounds"], lines)


def memory(results: Path) -> str:
    """Temporary memory of a round's program."""
    rows = {
        (row["model"], row["chunk"], row["cohort"]): row["temporary_bytes"]
        for name in _FILES
        for row in _rows(results, name, "memory")
    }
    lines = [
        [model, str(chunk), str(cohort), f"{size / 1e6:.2f}"]
        for (model, chunk, cohort), size in rows.items()
    ]
    return table(["model", "chunk", "clients a round", "MB"], lines)
