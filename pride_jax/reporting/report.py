"""A run's one page: its result first, then what is behind it. One file, no server, no scripts."""

import shlex
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.files import read_json
from pride_jax.reporting.elements import (
    NOTHING,
    Html,
    command,
    folded,
    joined,
    listed,
    number,
    page,
    paragraph,
    picture,
    section,
    shown,
    table,
    text,
    tiles,
)
from pride_jax.reporting.metrics import Row, flat, headline, scores

REPORT = "report.html"
"""The page's file, in a run's folder."""

KEPT = (
    "This run is private. The page shows what anyone may know; what ε does not cover is on the "
    "owner's page, private/report.html."
)
"""What the page of a private run says of what it leaves out."""

OWNERS = (
    "This page is for the run's owner alone: ε does not cover what only this page has, such as "
    "what is told of clients, seconds and bytes. Pass on report.html of the folder above."
)
"""What that page says of itself."""

_MOST_ROWS = 15
"""Rows of a table of groups or clients that are not folded away."""
_TESTED = {
    "training": "shared model, examples trained on",
    "shared": "shared model, before fine-tuning, held-out examples",
    "personal": "client's own model, held-out examples",
    "fine_tuned": "after fine-tuning, held-out examples",
}
_SPREAD = {
    "mean": "mean",
    "minimum": "lowest",
    "tenth_percentile": "10th percentile",
    "median": "median",
    "ninetieth_percentile": "90th percentile",
    "maximum": "highest",
}
_READERS = {
    "models": "the released models alone",
    "cohort_sizes": "and how many clients each round called",
    "colluding_clients": "as a coalition of clients, who also know when they were called",
    "cohorts": "and which clients each round called",
}
_COSTS = {
    "rounds": "rounds",
    "seconds_total": "seconds in all",
    "seconds_per_round": "seconds a round (median)",
    "bytes_per_client_round": "bytes that a client sends a round",
    "parameters": "parameters of the model",
    "clients": "clients",
    "empty_clients": "clients without an example",
    "train_examples": "training examples",
    "unused_examples": "examples that no client holds",
    "nonfinite_updates": "updates that were NaN or infinite",
    "clipped_updates": "updates that were clipped",
    "fitted_updates": "updates that were fitted into the protocol's range",
    "lost_messages": "messages lost",
    "refused_sums": "sums refused",
    "unopened_sums": "sums not opened",
}


class Told(NamedTuple):
    """What a page tells of a run; see the files of the same names in its folder.

    Attributes:
      name: of the run.
      summary: all of it, or of a private run what anyone may read.
      settings: as ``config.json`` has them.
      disclosure: who sees what.
      starts: versions and machine of each start, as ``env.json`` has them.
      pictures: PNG files by name.
      place: the run's folder in a command.
      kept: a sentence on what the page leaves out, or on whom it is for; "" if there is none.
    """

    name: str
    summary: Row
    settings: Mapping[str, Any]
    disclosure: Mapping[str, Any]
    starts: list[dict[str, Any]]
    pictures: Mapping[str, bytes]
    place: Path
    kept: str


def told_of(run: Path, summary: Row, pictures: Mapping[str, bytes], kept: str = "") -> Told:
    """What a run's folder tells, with a summary and pictures; see `Told`.

    Raises:
      RunError: its files cannot be read.
    """
    whole, here = run.resolve(), Path.cwd()
    return Told(
        name=whole.name,
        summary=summary,
        settings=read_json(run / "config.json"),
        disclosure=read_json(run / "disclosure.json"),
        starts=read_json(run / "env.json"),
        pictures=pictures,
        # Not where the folder lies on this machine, which is nobody's business.
        place=whole.relative_to(here) if whole.is_relative_to(here) else Path(whole.name),
        kept=kept,
    )


def report(told: Told) -> str:
    """The page, whole in one file: pictures are inside, and nothing is loaded from elsewhere."""
    return page(
        told.name,
        (
            _head(told),
            section("Learning curve", *_pictures(told, "learning_curve")),
            _clients(told),
            _classes(told),
            _groups(told),
            _privacy(told),
            _sights(told),
            _costs(told),
            _settings(told),
            _environment(told),
            _again(told),
        ),
    )


_CAPTIONS = {
    "learning_curve": "Scores on the test examples after each evaluated round.",
    "clients": "The score of each client on its own examples.",
    "client_labels": "How many training examples of each class each client holds.",
    "confusion_matrix": "Test examples by true class (rows) and predicted class (columns).",
    "trade_off": "Every pair of ε and δ that holds for this run.",
}


def _pictures(told: Told, *names: str) -> Iterator[Html]:
    for name in names:
        if name in told.pictures:
            yield picture(told.pictures[name], _CAPTIONS[name])


def _head(told: Told) -> Html:
    summary, settings = told.summary, told.settings
    score = headline(summary)
    made = ", ".join(
        f"{name} {settings[section]['name']}"
        for name, section in (("data", "data"), ("model", "model"), ("method", "method"))
    )
    return joined(
        (
            Html(f"<header>\n<h1>{text(told.name)}</h1>"),
            paragraph(text(f"{made}, secure sum {told.disclosure['protocol']}"), soft=True),
            paragraph(
                text(
                    f"After {summary['rounds']:,} rounds the federated model has a test {score} "
                    f"of {shown(summary[f'test_{score}'])}."
                )
            ),
            tiles(_results(summary)),
            paragraph(text(told.kept), soft=True) if told.kept else NOTHING,
            Html("</header>"),
        )
    )


def _results(summary: Row) -> Iterator[tuple[str, Html]]:
    for name, value in scores(summary).items():
        yield f"test {name.replace('_', ' ')}", number(value)
    if summary.get("central") is not None:
        yield f"{headline(summary)} of a central model", number(summary["central"])
    if summary.get("delta") is not None:
        yield "ε, client level", _epsilon(summary["epsilon"])
        yield "δ", number(summary["delta"])
    if summary.get("rounds_to_target") is not None:
        yield "rounds to the target accuracy", number(summary["rounds_to_target"])


def _epsilon(value: float | None) -> Html:
    return text("no finite ε") if value is None else number(value)


def _clients(told: Told) -> Html:
    summary, score = told.summary, headline(told.summary)
    spreads = {"training": summary.get(f"{score}_over_clients")} | (summary.get("held_out") or {})
    found = {name: spread for name, spread in spreads.items() if spread is not None}
    if not found:
        return NOTHING
    words = [_of_fine_tuning(summary)]
    if "shared" not in found:
        words.append(
            "These are examples that clients trained on. Set partition.held_out to test on "
            "examples that each client keeps aside."
        )
    header = ("what is tested", *_SPREAD.values())
    rows = [
        (text(_TESTED[name]), *(number(found[name][each]) for each in _SPREAD))
        for name in _TESTED
        if name in found
    ]
    return section(
        "Clients",
        *(paragraph(text(each)) for each in words if each),
        table(header, rows, f"{score} of clients on their own examples, each client counting once"),
        *_pictures(told, "clients", "client_labels"),
        _rows(summary.get("by_client") or [], "client"),
    )


def _of_fine_tuning(summary: Row) -> str:
    """How many clients fine-tuning serves better, in a sentence; "" where none was tried."""
    table_ = summary.get("by_client") or []
    pairs = [
        (row["shared"], row["fine_tuned"])
        for row in table_
        if row.get("fine_tuned") is not None and row.get("shared") is not None
    ]
    if not pairs:
        return ""
    sign = -1 if headline(summary) == "loss" else 1
    better = sum(sign * (after - before) > 0 for before, after in pairs)
    worse = sum(sign * (after - before) < 0 for before, after in pairs)
    return (
        f"Of {len(pairs)} clients with held-out examples, fine-tuning serves {better} better and "
        f"{worse} worse."
    )


def _rows(found: list[Row], what: str) -> Html:
    """A table of rows as JSON has them; folded if it is long."""
    if not found:
        return NOTHING
    names = list(found[0])
    made = table(
        [what, *(name.replace("_", " ") for name in names[1:])],
        ((text(row["name"]), *(number(row[name]) for name in names[1:])) for row in found),
    )
    if len(found) <= _MOST_ROWS:
        return made
    return folded(f"All {len(found):,} {what}{'es' if what.endswith('s') else 's'}", made)


def _classes(told: Told) -> Html:
    return section(
        "Classes",
        _rows(told.summary.get("by_class") or [], "class"),
        *_pictures(told, "confusion_matrix"),
    )


def _groups(told: Told) -> Html:
    score, found = headline(told.summary), told.summary.get("by_group") or []
    if not found:
        return NOTHING
    sign = -1 if score == "loss" else 1
    ordered = sorted(found, key=lambda row: sign * row[score])
    spread = told.summary[f"{score}_over_groups"]
    return section(
        "Who made the test examples",
        table(
            list(_SPREAD.values()),
            [[number(spread[name]) for name in _SPREAD]],
            f"{score} over {len(found):,} groups, each counting once",
        ),
        paragraph(text("The worst served first.")),
        _rows(ordered, "group"),
    )


def _privacy(told: Told) -> Html:
    disclosure = told.disclosure
    against = disclosure["epsilon_against"] or {}
    readers = [(text(_READERS.get(who, who)), _epsilon(value)) for who, value in against.items()]
    return section(
        "Privacy, and what ε covers",
        paragraph(text(disclosure["guarantee"])),
        table(("who reads", "ε"), readers) if readers else NOTHING,
        *_pictures(told, "trade_off"),
        listed(disclosure["statements"]),
    )


def _sights(told: Told) -> Html:
    seen: dict[tuple[str, str], list[str]] = {}
    for sight in told.disclosure["sights"]:
        seen.setdefault((sight["who"], sight["learns"]), []).append(sight["adversary"])
    return section(
        "Who sees what",
        paragraph(
            text(
                "Who is curious follows the protocol and looks at all there is to see; who is "
                "active may also deviate from the protocol."
            ),
            soft=True,
        ),
        table(
            ("who", "adversary", "learns"),
            (
                (text(who), text(" or ".join(adversaries)), text(learns))
                for (who, learns), adversaries in seen.items()
            ),
        ),
    )


def _costs(told: Told) -> Html:
    summary = told.summary
    if "seconds_total" not in summary:
        return NOTHING
    costs = [
        (text(words), number(summary[name]))
        for name, words in _COSTS.items()
        if summary.get(name) is not None
    ]
    stages = [
        (text(stage.replace("_", " ")), number(seconds))
        for stage, seconds in summary["seconds_by_stage"].items()
    ]
    return section(
        "Costs",
        table(("what", "figure"), costs),
        table(("stage of a round", "seconds"), stages, "Medians over evaluations")
        if stages
        else NOTHING,
        listed(summary.get("data_notes", [])) if summary.get("data_notes") else NOTHING,
    )


def _settings(told: Told) -> Html:
    return section("Settings", folded("All settings", settings_table(told.settings)))


def _environment(told: Told) -> Html:
    last = told.starts[-1]
    resumed = f" The run was started {len(told.starts)} times; this is the last."
    return section(
        "Environment",
        paragraph(
            text(
                f"Started {last['started']}, on {last['num_devices']} × {last['device']}."
                f"{resumed if len(told.starts) > 1 else ''}"
            )
        ),
        folded("Versions and machine", versions(last)),
    )


def settings_table(settings: Mapping[str, Any], but: Container[str] = ()) -> Html:
    """Settings by their names, but for some of them; a dash where there is nothing."""
    rows = (
        (text(name), text("–" if value in (None, "", []) else value))
        for name, value in flat(settings)
        if name not in but
    )
    return table(("setting", "value"), rows)


def versions(start: Mapping[str, Any]) -> Html:
    """Versions and machine of a start, as ``env.json`` has them."""
    rows = ((text(name.replace("_", " ")), text(value)) for name, value in flat(start) if value)
    return table(("what", "value"), rows)


def _again(told: Told) -> Html:
    words = ["python", "scripts/train.py", "--config", str(told.place / "config.json")]
    words += ["--workdir", f"{told.place}-again"]
    if told.settings["code"]:
        words.append("--trust-code")
    privacy = told.settings["privacy"]
    drawn_anew = privacy["mechanism"] != "none" and privacy["seed"] is None
    same = (
        "Noise and secret cohorts are drawn anew, so that figures differ."
        if drawn_anew
        else "On the same machine and versions the models have the same bits."
    )
    return section(
        "Run it again",
        paragraph(text(f"This command simulates a new run with the same settings. {same}")),
        command(shlex.join(words)),
    )
