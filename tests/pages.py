"""The repository's pages, and the code, commands and links that they show."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "configs").rglob("*.md")),
    *sorted((ROOT / "pride_jax").rglob("*.md")),
]
"""What is told beside the code; those of results/ tell what was measured."""
ALL = [*PAGES, *sorted(RESULTS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands_of(block: str) -> list[str]:
    """The commands of a block, each in a line, without comments."""
    lines = re.sub(r" *\\\n *", " ", block).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def commands(page: Path) -> list[str]:
    """The commands of a page: those of its blocks, and those in its sentences."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    told = re.findall(r"`((?:python|pip|pytest|ruff) [^`]*)`", text.replace("\n", " "))
    return [*(each for block in blocks(page, "sh") for each in commands_of(block)), *told]


class Link(NamedTuple):
    """What a page links to or shows: a path from the page, and perhaps a heading there."""

    page: Path
    path: str
    heading: str

    @property
    def target(self) -> Path:
        return (self.page.parent / self.path).resolve() if self.path else self.page


def links(page: Path) -> list[Link]:
    """The links and pictures of a page that lead into the repository."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "``", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    inside = [each for each in found if not re.match(r"https?:", each)]
    return [Link(page, *each.partition("#")[::2]) for each in inside]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
