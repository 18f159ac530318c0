"""Which examples an experiment has: a data set by its name, or one's own file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pride_jax.data.columns import Columns
from pride_jax.data.tables import TABLES
from pride_jax.settings.names import Named
from pride_jax.settings.own import is_own


@dataclass(frozen=True)
class Data(Named):
    """Which examples, and which of them are kept for testing."""

    name: str = "iris"
    """iris, wine, breast_cancer, digits, diabetes, mnist, fashion_mnist, cifar10_jpeg, shakespeare,
    a TFDS name, a path (a table .csv or .parquet, arrays .npz, a .txt by speaker, class folders of
    images in ./FOLDER or an archive), or your own: file.py:function or module:function."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of your own: its parameters."""
    dir: Path | None = None
    """Folder of data, for sets that are files: IDX, cifar10_jpeg, shakespeare; PRIDE_DATA_DIR if
    not given."""
    target: str = ""
    """Of a table, the column to learn; of an .npz, the array, `targets` if not given."""
    inputs: str = ""
    """Of an .npz, the array that the model sees; `inputs` if not given."""
    group: str = ""
    """Of a table or .npz, the column of who made each example: natural clients with
    partition.kind=groups."""
    quantity: bool = False
    """Whether the target is a quantity, for task.name=regression, and no class."""
    leave_out: tuple[str, ...] = ()
    """Of a table, columns that the model does not see, such as a patient's number."""
    test: Path | None = None
    """Of a table or .npz, the file of test examples; test examples are drawn if not given."""
    ranges: tuple[tuple[str, float, float], ...] = ()
    """Of a table, public ranges as column, low, high: the model sees such a column from -1 to 1.
    Without one a column is seen as it is; none is estimated from the examples."""
    categories: tuple[tuple[str, str], ...] = ()
    """Of a table, the public values of columns of texts, as column, value: the model sees a 0 or 1
    for each. Of the target: the classes, in their order."""
    features: Literal["pixels", "scattering"] = "pixels"
    """`scattering`: wavelet features of each image, whitened by those of random images."""
    test_examples: int | float | None = None
    """Test examples of a set that has no split of its own: so many, or a share below 1; a fifth if
    not given."""
    validation_examples: int = 0
    """If positive, so many training examples take the test set's place: for tuning."""
    length: int = 80
    """Characters an example, of a text."""

    @property
    def columns(self) -> Columns:
        """What is what in a table or in arrays."""
        return Columns(**{name: getattr(self, name) for name in Columns._fields})

    def _check(self) -> None:
        super()._check()
        self._check_own()
        self._check_columns()
        if isinstance(self.test_examples, float):
            self._above_zero("test_examples")
            if self.test_examples >= 1:
                self._refuse("test_examples", "a whole number, or a share below 1")
        else:
            self._at_least(1, "test_examples")
        self._at_least(1, "length")
        self._at_least(0, "validation_examples")

    def _check_own(self) -> None:
        own_ones = {"dir": None, "test_examples": None, "validation_examples": 0, "length": 80}
        for name, without in own_ones.items():
            if is_own(self.name) and getattr(self, name) != without:
                self._refuse(
                    name,
                    f"{without} with {self.name}, which reads and divides its own examples: make "
                    "it an option of the function",
                )

    def _check_columns(self) -> None:
        """Refuses what a file of this name does not have."""
        table, arrays = self.name.endswith(TABLES), self.name.endswith(".npz")
        of_arrays = ("target", "inputs", "group", "quantity", "test")
        for name, without in Columns._field_defaults.items():
            known = (table and name != "inputs") or (arrays and name in of_arrays)
            if not known and getattr(self, name) != without:
                kinds = "an .npz" if name == "inputs" else "a table (.csv, .parquet)"
                also = " or an .npz" if name in of_arrays and name != "inputs" else ""
                self._refuse(
                    name, f"{without!r} with data.name={self.name!r}: {kinds}{also} has it"
                )
