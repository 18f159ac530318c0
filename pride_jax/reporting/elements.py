"""The pieces of an HTML page; whatever is text is escaped here, and nowhere else."""

import base64
import html
import importlib.resources
import json
import math
import re
import string
import struct
from collections.abc import Iterable, Sequence
from typing import NewType

Html = NewType("Html", str)
"""Text of a page in which everything that was not written by this package is escaped."""

NOTHING = Html("")
_DIGITS = 4
_LONGEST_NAME = 12
"""Letters of a name."""


def page(title: str, parts: Iterable[Html]) -> str:
    """A page, whole in one file: pictures are inside, and nothing is loaded from elsewhere."""
    template = importlib.resources.files("pride_jax.reporting").joinpath("report.html")
    return string.Template(template.read_text("utf-8")).substitute(
        title=text(title), body=joined(filter(None, parts))
    )


def text(content: object) -> Html:
    """Text as it is, whatever signs it has."""
    return Html(html.escape(str(content)))


def joined(parts: Iterable[Html], between: str = "\n") -> Html:
    """Pieces one after the other."""
    return Html(between.join(parts))


def number(value: float | None) -> Html:
    """A figure for people, with its exact value, as JSON has it, for programs."""
    if value is None:
        return text(shown(value))
    return Html(f'<data value="{json.dumps(value)}">{shown(value)}</data>')


def shown(value: float | None) -> str:
    """As 0.9667, 12.50, 1,036 or 3.1e-06; whole numbers are whole, and – where there is none."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if not 0.1 <= abs(value) < 1e6:
        return f"{value:.{_DIGITS}g}"
    before = max(0, 1 + math.floor(math.log10(abs(value))))
    return f"{value:,.{max(0, _DIGITS - before)}f}"


def paragraph(content: Html, soft: bool = False) -> Html:
    """A paragraph; soft of what explains."""
    return Html(f'<p class="soft">{content}</p>' if soft else f"<p>{content}</p>")


def section(title: str, *parts: Html) -> Html:
    """A heading and what stands under it; nothing where nothing does."""
    body = joined(filter(None, parts))
    return Html(f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>") if body else NOTHING


def folded(title: str, content: Html) -> Html:
    """What only some readers open."""
    return Html(f"<details>\n<summary>{text(title)}</summary>\n{content}\n</details>")


def tiles(figures: Iterable[tuple[str, Html]]) -> Html:
    """Large figures, each with what it is."""
    each = (f'<div class="tile">{value}<span>{text(name)}</span></div>' for name, value in figures)
    return Html(f'<div class="tiles">{"".join(each)}</div>')


def table(header: Sequence[str], rows: Iterable[Sequence[Html]], caption: str = "") -> Html:
    """A table whose first column names the rows; columns of figures are set to the right.

    Args:
      header: of the columns.
      rows: as many cells as the header has.
      caption: what the table shows, where its section's title does not say.
    """
    lines = [list(row) for row in rows]
    kinds = [_kind([row[place] for row in lines]) for place in range(len(header))]
    told = f"<caption>{text(caption)}</caption>" if caption else ""
    head = "".join(
        f'<th scope="col" class="{kind}">{text(name)}</th>'
        for kind, name in zip(kinds, header, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in lines
    )
    return Html(
        f'<div class="scroll"><table>{told}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _kind(column: Sequence[Html]) -> str:
    """How a column is set: figures, names, or words that need room."""
    if column and all(map(_is_figure, column)):
        return "number"
    return "words" if any(len(_read(cell)) > _LONGEST_NAME for cell in column) else "name"


def _read(cell: Html) -> str:
    """What a reader sees of a cell."""
    return html.unescape(re.sub(r"<[^>]*>", "", cell))


def _is_figure(cell: Html) -> bool:
    return cell.startswith("<data") or cell == number(None)


def listed(items: Iterable[str]) -> Html:
    """Sentences with bullets."""
    return Html("<ul>\n" + "\n".join(f"<li>{text(item)}</li>" for item in items) + "\n</ul>")


def picture(png: bytes, what: str) -> Html:
    """A picture that travels in the page, and what it shows, in words."""
    # As wide as drawn, at 96 pixels an inch: the file has more, for fine screens.
    wide = struct.unpack(">I", png[16:20])[0] * 96 // 150
    source = base64.b64encode(png).decode()
    return Html(
        f'<figure><img alt="{text(what)}" width="{wide}" src="data:image/png;base64,{source}">'
        f"<figcaption>{text(what)}</figcaption></figure>"
    )


def link(content: str, to: str) -> Html:
    """A way to another page; ``to`` is an address in which nothing needs to be quoted."""
    return Html(f'<a href="{html.escape(to)}">{text(content)}</a>')


def command(line: str) -> Html:
    """What one types."""
    return Html(f"<pre><code>{text(line)}</code></pre>")
