"""Rows of saved numbers, found by what they hold."""

from collections.abc import Sequence

from pride_jax.errors import RunError
from pride_jax.reporting.metrics import Row


def only(rows: Sequence[Row], **values: object) -> Row:
    """The one row with these values.

    Raises:
      RunError: there is none, or more than one.
    """
    found = [row for row in rows if values.items() <= row.items()]
    if len(found) != 1:
        raise RunError(f"{len(found)} rows have {values}: expected one")
    return found[0]
