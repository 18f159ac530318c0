"""Studies: a folder's ``study.py`` says which pictures and tables are made of the JSON beside it.

A study is any folder of ``results/`` with a ``study.py`` that defines

- ``PICTURES``, path in the folder -> what draws it, and
- ``TABLES``, name -> what writes it,

each a function of the path of ``results/``. A text shows a table between
``<!-- table STUDY/NAME -->`` and ``<!-- end -->``; a name without a study is a table of
``results/study.py``.
"""

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from pride_jax.errors import RunError
from pride_jax.files import write_atomically
from pride_jax.reporting import markdown
from pride_jax.reporting.plots import save

RESULTS = Path(__file__).parent


class Study(NamedTuple):
    """What a folder's ``study.py`` makes.

    Attributes:
      pictures: path in the folder -> ``results/`` -> picture.
      tables: name -> ``results/`` -> Markdown.
    """

    pictures: Mapping[str, Callable[[Path], Figure]]
    tables: Mapping[str, Callable[[Path], str]]


def load(name: str) -> Study:
    """The study of that folder of ``results/``; the empty name is ``results/`` itself.

    Raises:
      RunError: the folder has no ``study.py``.
    """
    if not (RESULTS / name / "study.py").is_file():
        raise RunError(f"{name!r} is no study: expected a folder of results/ with a study.py")
    module = import_module(".".join(["results", *Path(name).parts, "study"]))
    return Study(module.PICTURES, module.TABLES)


def draw(folder: Path, results: Path = RESULTS) -> list[Path]:
    """Makes anew every picture and table of the studies in a folder.

    With ``results/`` as a whole, the tables of the README beside it and of the package's pages too.

    Args:
      folder: ``results/``, or a folder in it.
      results: where the numbers are and where the pictures go.

    Returns:
      The paths of the pictures, and of the texts whose tables had other numbers; none where the
      folder has neither.

    Raises:
      RunError: numbers are missing, or a text names a table that is not known.
    """
    made = []
    for module in sorted(folder.rglob("study.py")):
        place = module.parent
        for name, picture in load(str(place.relative_to(results))).pictures.items():
            save(picture(results), place / name)
            made.append(place / name)
    for path in texts(results) if folder == results else sorted(folder.rglob("*.md")):
        text = path.read_text()
        if (filled := with_tables(text, results)) != text:
            write_atomically(path, filled)
            made.append(path)
    return made


def texts(results: Path = RESULTS) -> list[Path]:
    """Every text that may show a table: of ``results/``, the README, and the package's pages."""
    repository = results.parent
    found = [*results.rglob("*.md"), *(repository / "pride_jax").rglob("*.md")]
    return sorted([*found, *repository.glob("README.md")])


def with_tables(text: str, results: Path = RESULTS) -> str:
    """A text with its tables made anew from the numbers in ``results/``.

    Raises:
      RunError: a table is not known, or its numbers are missing.
    """
    return markdown.fill(text, functools.partial(_table, results))


def _table(results: Path, name: str) -> str:
    study, _, table = name.rpartition("/")
    known = load(study).tables
    if table not in known:
        raise RunError(f"No table is called {name!r}: {study or 'results'} has {', '.join(known)}")
    return known[table](results)
