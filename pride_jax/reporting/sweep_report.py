"""A sweep's one page: what it came to, curves, every run with a link to its own page, settings."""

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pride_jax.reporting.elements import (
    NOTHING,
    Html,
    folded,
    link,
    listed,
    number,
    page,
    paragraph,
    picture,
    section,
    table,
    text,
    tiles,
)
from pride_jax.reporting.metrics import Row, headline, scores
from pride_jax.reporting.over_seeds import Alike, best_of, named, outcome, over_seeds, short_names
from pride_jax.reporting.report import REPORT, settings_table, versions

_FIGURES = {
    "central": "central model",
    "rounds_to_target": "rounds to target",
    "epsilon": "ε",
    "delta": "δ",
    "seconds_per_round": "s/round",
}
_CAPTIONS = {
    "curves": "Scores on the test examples after each evaluated round; runs that differ in their "
    "seeds alone are a band.",
    "scores": "The last score of each run against the settings that vary.",
}


def sweep_report(result: Mapping[str, Any], folder: Path, pictures: Mapping[str, bytes]) -> str:
    """The page, whole in one file but for the links to runs.

    Args:
      result: as ``sweep.json`` has it, with a run that has finished; what a version before this
        one left out is left out.
      folder: of the sweep, with a folder for each run.
      pictures: PNG files by name.
    """
    rows = [row for row in result["runs"] if "error" not in row]
    failed = [row for row in result["runs"] if "error" in row]
    name = folder.resolve().name
    return page(
        name,
        (
            _head(name, result, rows),
            *(
                section(title, picture(pictures[key], _CAPTIONS[key]))
                for title, key in (("Learning curves", "curves"), ("Scores", "scores"))
                if key in pictures
            ),
            _over_seeds(rows),
            _runs(rows, folder),
            section("Failed", listed(f"{named(row['settings'])}: {row['error']}" for row in failed))
            if failed
            else NOTHING,
            _shared(result.get("config", {}), rows),
            _environments(result.get("environments", [])),
        ),
    )


def _head(name: str, result: Mapping[str, Any], rows: Sequence[Row]) -> Html:
    config, best, came_to = result.get("config", {}), best_of(rows), outcome(rows)
    made = ", ".join(
        f"{part} {config[part]['name']}" for part in ("data", "model", "method") if part in config
    )
    parts = [
        Html(f"<header>\n<h1>{text(name)}</h1>"),
        paragraph(text(made), soft=True) if made else NOTHING,
        paragraph(text(f"{came_to[:1].upper()}{came_to[1:]}.")),
        tiles(_results(best, result["runs"])),
        paragraph(text(_CHOSEN), soft=True) if len(over_seeds(rows)) > 1 else NOTHING,
        paragraph(text(_PRIVATE)) if any(row.get("delta") is not None for row in rows) else NOTHING,
        Html("</header>"),
    ]
    return Html("\n".join(filter(None, parts)))


_CHOSEN = (
    "The best settings are chosen by the examples that they are tested on, which flatters them."
)
_PRIVATE = (
    "ε is that of one run alone. Several runs on the same clients, and a choice among them, cost "
    "more: at most the sum of all ε, by basic composition."
)


def _results(best: Alike, runs: Sequence[Row]) -> Iterator[tuple[str, Html]]:
    score = headline(best.runs[0])
    values = [row[f"test_{score}"] for row in best.runs]
    yield f"test {score}{', mean' if len(values) > 1 else ''}", number(sum(values) / len(values))
    if len(values) > 1:
        yield "lowest of a seed", number(min(values))
        yield "highest of a seed", number(max(values))
    yield "runs", number(len(runs))
    if failed := sum("error" in row for row in runs):
        yield "of these failed", number(failed)


def _over_seeds(rows: Sequence[Row]) -> Html:
    """A line for each combination of settings, where seeds repeat any."""
    groups = over_seeds(rows)
    if all(len(group.runs) == 1 for group in groups):
        return NOTHING
    names = short_names(groups[0].settings)
    header = [*names.values(), "seeds"]
    score = headline(rows[0])
    header += [f"{which} test {score}" for which in ("mean", "worst", "best")]
    lines = []
    for group in groups:
        values = [row[f"test_{score}"] for row in group.runs]
        worst, best = (max, min) if score == "loss" else (min, max)
        figures = (len(values), sum(values) / len(values), worst(values), best(values))
        lines.append([*map(_value, group.settings.values()), *map(number, figures)])
    return section("Over seeds", table(header, lines))


def _runs(rows: Sequence[Row], folder: Path) -> Html:
    """Every run: the settings that differ, its figures, and its own page where it has one."""
    names = short_names(rows[0]["settings"])
    tested = [f"test_{name}" for name in scores(rows[0])]
    figures = {name: name.replace("_", " ") for name in tested}
    figures |= {
        name: words
        for name, words in _FIGURES.items()
        if any(row.get(name) is not None for row in rows)
    }
    pages = [_page_of(row, folder) for row in rows]
    lines = [
        [
            link(str(place), to) if to else text(place),
            *map(_value, row["settings"].values()),
            *(number(row.get(name)) for name in figures),
        ]
        for place, (row, to) in enumerate(zip(rows, pages, strict=True), start=1)
    ]
    without = "A run without a link has no page yet: scripts/plot.py draws one from its folder."
    return section(
        "Runs",
        table(["run", *names.values(), *figures.values()], lines),
        NOTHING if all(pages) else paragraph(text(without), soft=True),
    )


def _value(value: str) -> Html:
    return text(value or "()")


def _page_of(row: Row, folder: Path) -> str:
    """Where a run's page is; nowhere where it has none, as of runs trained as one program."""
    # A folder's name alone: the table may come from anybody.
    place = Path(row.get("folder", "")).name
    there = place and (folder / place / REPORT).is_file()
    return f"{urllib.parse.quote(place)}/{REPORT}" if there else ""


def _shared(config: Mapping[str, Any], rows: Sequence[Row]) -> Html:
    if not config:
        return NOTHING
    shared = settings_table(config, but=rows[0]["settings"])
    return section("Settings", folded("What all runs share", shared))


def _environments(found: Sequence[Mapping[str, Any]]) -> Html:
    if not found:
        return NOTHING
    several = f", one of {len(found)}" if len(found) > 1 else ""
    return section("Environment", folded(f"Versions and machine{several}", versions(found[-1])))
