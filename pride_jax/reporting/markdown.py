"""Markdown whose tables are made of numbers, and made anew where they stand."""

import math
import re
from collections.abc import Callable, Sequence

_BLOCK = re.compile(r"(<!-- table (?P<name>[\w /]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, a line each for the header, the rule and every row."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def fill(text: str, table_of: Callable[[str], str]) -> str:
    """The text with every table made anew, between ``<!-- table NAME -->`` and ``<!-- end -->``.

    Args:
      text: Markdown.
      table_of: name -> the table, ending with a line feed.
    """
    return _BLOCK.sub(lambda block: f"{block[1]}{table_of(block['name'])}{block[3]}", text)


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
