"""Markdown whose tables are made of numbers, and made anew where they stand."""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from pride_jax.errors import RunError

_BLOCK = re.compile(r"(<!-- table (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, a line each for the header, the rule and every row."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def fill(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """The text with every table made anew, between ``<!-- table NAME -->`` and ``<!-- end -->``.

    Raises:
      RunError: nobody knows a table of that name.
    """

    def made(block: re.Match[str]) -> str:
        name = block["name"]
        if name not in tables:
            raise RunError(f"No table is called {name!r}: expected one of {', '.join(tables)}")
        return f"{block[1]}{tables[name]()}{block[3]}"

    return _BLOCK.sub(made, text)


def rounded(value: float, digits: int = 2) -> str:
    """To that many significant digits, as 0.017, 3.8, 80 or 9,400."""
    if value == 0:
        return "0"
    nearest = float(f"{value:.{digits - 1}e}")
    decimals = digits - 1 - math.floor(math.log10(abs(nearest)))
    return f"{nearest:,.{max(decimals, 0)}f}"


def mean_and_deviation(mean: float, deviation: float, digits: int = 3) -> str:
    """As 0.965 ± 0.015."""
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"
