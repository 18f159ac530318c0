"""Tables as files: `.csv` and `.parquet`, read into columns without a missing value."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pride_jax.errors import DataError

TABLES = (".csv", ".parquet")
"""How the names of tables end that can be read."""

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_SEPARATORS = ",;\t"


class Table(NamedTuple):
    """A table in memory.

    Attributes:
        path: its file.
        columns: by name, in their order: texts (as a CSV has all), numbers, or booleans, `[n]`.
        first_row: the number of the first example's row, as a spreadsheet counts.
    """

    path: Path
    columns: dict[str, np.ndarray]
    first_row: int

    @property
    def num_rows(self) -> int:
        """Examples."""
        return len(next(iter(self.columns.values())))

    def where(self, column: str, index: int) -> str:
        """A value's place, for error messages."""
        return f"{self.path}: column {column}, row {index + self.first_row}"


def read_table(path: Path, leave_out: tuple[str, ...] = ()) -> Table:
    """Read a table whose columns have names and whose values are all there.

    - A CSV is UTF-8; its first line has the columns' names. Columns are separated by commas,
      semicolons or tabs, whichever the first line has most of.
    - A Parquet file takes the extra `tables`.

    Args:
        path: the file.
        leave_out: columns that are dropped, and may lack values.

    Raises:
        DataError: the file cannot be read, a name is missing or there twice, a column to leave out
            is not there, a row is longer or shorter than the others, a value is missing (the
            message says where), or there are no examples.
    """
    try:
        read = _read_parquet if path.suffix == ".parquet" else _read_csv
        table = read(path, leave_out)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the path") from None
    if not table.columns or not table.num_rows:
        raise DataError(f"{path}: no examples; expected a line of names and a row for each example")
    for name, values in table.columns.items():
        _refuse_missing(table, name, values)
    return table


def _read_csv(path: Path, leave_out: tuple[str, ...]) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(_SEPARATORS, key=first.count)
            lines = csv.reader(file, delimiter=separator, strict=True)
            names = [name.strip() for name in next(lines, [])]
            _check_names(path, names, leave_out)
            rows = [_checked_row(path, line, names, lines.line_num) for line in lines if line]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error}); save the table as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: no table ({error}); save it anew as CSV") from None
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    columns = {
        name: np.char.strip(np.array(column, np.str_))
        for name, column in zip(names, values, strict=True)
        if name not in leave_out
    }
    return Table(path, columns, first_row=2)


def _check_names(path: Path, names: list[str], leave_out: tuple[str, ...]) -> None:
    broken = [name for name in names if not name or names.count(name) > 1]
    if broken:
        raise DataError(
            f"{path}: the column name {broken[0]!r} is {'there twice' if broken[0] else 'empty'}; "
            "expected a first line of names, each once"
        )
    if names and all(map(is_number, names)):
        raise DataError(
            f"{path}: the first line is {', '.join(names[:3])}, …; expected the columns' names: "
            "add a line of them"
        )
    for name in leave_out:
        if name not in names:
            raise no_column(path, "leave_out", name, names)


def no_column(path: Path, setting: str, name: str, names: Iterable[str]) -> DataError:
    """The error of a setting that names a column which is not there."""
    return DataError(
        f"{path}: there is no column {name!r} (data.{setting}); expected one of {some(names)}"
    )


def some(names: Iterable[str], most: int = 8) -> str:
    """The first few of names, for a message."""
    names = list(names)
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def is_number(text: str) -> bool:
    """Whether a text is a number, in Python's spelling."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked_row(path: Path, row: list[str], names: list[str], line: int) -> list[str]:
    if len(row) != len(names):
        raise DataError(
            f"{path}: line {line} has {len(row)} values, expected {len(names)}, one for each "
            "column: mend the line, or quote values that hold the separator"
        )
    return row


def _read_parquet(path: Path, leave_out: tuple[str, ...]) -> Table:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet takes PyArrow, which is not installed: pip install "
            "'pride-jax[tables]', or save the table as .csv"
        ) from None
    try:
        read = parquet.read_table(path)
    except arrow.ArrowException as error:
        raise DataError(f"{path}: no Parquet file ({error}); get it anew") from None
    _check_names(path, read.column_names, leave_out)
    columns = {}
    for name, column in zip(read.column_names, read.columns, strict=True):
        if name in leave_out:
            continue
        if arrow.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kinds = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_boolean)
        numbers = arrow.types.is_integer(column.type) or arrow.types.is_floating(column.type)
        if not numbers and not any(is_kind(column.type) for is_kind in kinds):
            raise DataError(
                f"{path}: column {name} has type {column.type}; expected numbers, texts or "
                "booleans: convert it, or leave it out (data.leave_out)"
            )
        if column.null_count:
            index = column.is_null().to_pylist().index(True)
            raise DataError(_missing(Table(path, {}, first_row=1), name, index))
        texts = not numbers and not arrow.types.is_boolean(column.type)
        columns[name] = np.array(column.to_pylist(), np.str_) if texts else column.to_numpy()
    return Table(path, columns, first_row=1)


def _refuse_missing(table: Table, name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "U":
        missing = np.isin(np.char.lower(values), list(_MISSING))
    else:
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if missing.any():
        raise DataError(_missing(table, name, int(missing.argmax()), int(missing.sum())))


def _missing(table: Table, name: str, index: int, count: int = 1) -> str:
    more = f", the first of {count} there" if count > 1 else ""
    return (
        f"{table.where(name, index)}: the value is missing{more}; expected one in every row: fill "
        "them, remove those rows, or leave the column out (data.leave_out)"
    )
