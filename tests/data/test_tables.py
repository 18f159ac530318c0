"""Tables and arrays from files: what is read, and what is refused by column and row."""

from pathlib import Path

import numpy as np
import pytest

from pride_jax.data.columns import Columns, table_inputs
from pride_jax.data.datasets import load_dataset
from pride_jax.data.partition import by_group
from pride_jax.data.tables import read_table
from pride_jax.errors import ConfigError, DataError
from pride_jax.settings import Data, Experiment, Partition
from pride_jax.settings.build import build_dataset, build_partition
from pride_jax.settings.files import from_dict, to_dict

pytestmark = pytest.mark.usefixtures("isolated")

HEADER = "age,colour,outcome,hospital\n"
ROWS = [
    f"{20 + n},{('red', 'blue')[n % 2]},{('well', 'ill')[n % 3 == 0]},{'AB'[n % 2]}\n"
    for n in range(12)
]
COLUMNS = Columns(
    target="outcome",
    group="hospital",
    ranges=(("age", 0, 100),),
    categories=(("colour", "red"), ("colour", "blue")),
)


def table(folder: Path, text: str | None = None, name: str = "study.csv") -> Path:
    path = folder / name
    path.write_text(HEADER + "".join(ROWS) if text is None else text)
    return path


def load(path, columns=COLUMNS, **options):
    return load_dataset(path, columns=columns, **options)


def arrays_of(dataset):
    return [value for value in dataset if isinstance(value, np.ndarray)]


def test_a_table_is_its_columns_in_order_with_names(tmp_path):
    dataset = load(table(tmp_path), test_examples=3)
    assert dataset.name == "study"
    assert dataset.input_names == ("age", "colour=red", "colour=blue")
    assert dataset.class_names == ("ill", "well")
    assert dataset.group_names == ("A", "B")
    rows = sorted(
        (*inputs, target, group)
        for inputs, target, group in zip(
            np.concatenate([dataset.train_inputs, dataset.test_inputs]).tolist(),
            np.concatenate([dataset.train_targets, dataset.test_targets]).tolist(),
            np.concatenate([dataset.groups, dataset.test_groups]).tolist(),
            strict=True,
        )
    )
    assert rows == [(20 + n, 1 - n % 2, n % 2, int(n % 3 != 0), n % 2) for n in range(12)]


def test_a_range_is_seen_from_minus_1_to_1_and_no_example_moves_it(tmp_path):
    dataset = load(table(tmp_path), test_examples=3)
    np.testing.assert_array_equal(dataset.shift, np.float32([50, 0, 0]))
    np.testing.assert_allclose(dataset.scale, [1 / 50, 1, 1])
    changed = HEADER + "".join(row.replace("2", "7", 1) for row in ROWS)
    other = load(table(tmp_path, changed), test_examples=3)
    np.testing.assert_array_equal(dataset.shift, other.shift)
    np.testing.assert_array_equal(dataset.scale, other.scale)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_and_marks_of_other_programs_are_read(tmp_path, separator, mark):
    text = mark + (HEADER + "".join(ROWS)).replace(",", separator).replace("\n", "\r\n")
    plain = load(table(tmp_path))
    other = load(table(tmp_path, text, "other.csv"))
    for one, two in zip(arrays_of(plain), arrays_of(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_parquet_file_holds_the_same_set(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    read = read_table(table(tmp_path)).columns
    columns = {
        "age": np.array(read["age"], np.int64),
        "colour": arrow.array(read["colour"].tolist()).dictionary_encode(),
        "outcome": read["outcome"].tolist(),
        "hospital": read["hospital"].tolist(),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "study.parquet")
    one, other = load(tmp_path / "study.csv"), load(tmp_path / "study.parquet")
    assert (one.input_names, one.class_names) == (other.input_names, other.class_names)
    for each, same in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_array_equal(each, same)
    gap = columns | {"age": [None, *range(11)]}
    parquet.write_table(arrow.table(gap), tmp_path / "gap.parquet")
    with pytest.raises(DataError, match=r"gap\.parquet: column age, row 1: the value is missing"):
        load(tmp_path / "gap.parquet")
    assert load(
        tmp_path / "gap.parquet", COLUMNS._replace(leave_out=("age",), ranges=())
    ).input_names == ("colour=red", "colour=blue")


def test_a_quantity_is_a_float_in_its_range(tmp_path):
    columns = COLUMNS._replace(target="age", quantity=True, ranges=(("age", 20, 40),))
    columns = columns._replace(categories=(*columns.categories, ("outcome", "ill")))
    columns = columns._replace(categories=(*columns.categories, ("outcome", "well")))
    dataset = load(table(tmp_path), columns)
    targets = np.concatenate([dataset.train_targets, dataset.test_targets])
    np.testing.assert_allclose(sorted(targets), (np.arange(20, 32) - 30) / 10, atol=1e-6)
    assert dataset.notes == ("age is learned as (age - 30) / 10",)
    assert dataset.outputs == 1


def test_a_file_of_test_examples_has_the_same_classes_and_columns(tmp_path):
    test = table(tmp_path, HEADER + "".join(ROWS[:5]), "test.csv")
    dataset = load(table(tmp_path), COLUMNS._replace(test=test))
    assert (len(dataset.train_targets), len(dataset.test_targets)) == (12, 5)
    table(tmp_path, HEADER.replace("age", "years") + ROWS[0], "test.csv")
    with pytest.raises(DataError, match="columns age, years are not in both"):
        load(table(tmp_path), COLUMNS._replace(test=test))
    table(tmp_path, HEADER + ROWS[0].replace("ill", "dead"), "test.csv")
    with pytest.raises(DataError, match="classes dead are not among ill, well"):
        load(table(tmp_path), COLUMNS._replace(test=test))


def test_classes_that_are_listed_have_their_order_and_need_no_example(tmp_path):
    classes = tuple(("outcome", name) for name in ("well", "ill", "dead"))
    columns = COLUMNS._replace(categories=COLUMNS.categories + classes)
    dataset = load(table(tmp_path), columns)
    assert (dataset.outputs, dataset.class_names) == (3, ("well", "ill", "dead"))
    assert "class dead of 3" in dataset.gaps()[0]


def test_rows_without_answers_are_seen_as_the_training_rows_were(tmp_path):
    dataset = load(table(tmp_path), test_examples=1)
    unknown = table(tmp_path, "age,colour\n33,blue\n", "new.csv")
    seen = table_inputs(read_table(unknown), COLUMNS)
    np.testing.assert_array_equal(seen, [[33, 0, 1]])
    assert seen.shape[1] == len(dataset.input_names)


def with_cell(row: int, column: int, value: str) -> str:
    lines = [line.split(",") for line in (HEADER + "".join(ROWS)).splitlines()]
    lines[row - 1][column] = value
    return "\n".join(map(",".join, lines)) + "\n"


TEXT = HEADER + "".join(ROWS)
REFUSED = {
    "no target": (TEXT, {"target": ""}, "no target is named; .* one of age, colour"),
    "no such target": (TEXT, {"target": "result"}, r"no column 'result' \(data.target\)"),
    "no such group": (TEXT, {"group": "clinic"}, r"no column 'clinic' \(data.group\)"),
    "no such column": (TEXT, {"leave_out": ("id",)}, r"no column 'id' \(data.leave_out\)"),
    "no such range": (TEXT, {"ranges": (("bmi", 1, 2),)}, r"no column 'bmi' \(data.ranges\)"),
    "an empty range": (TEXT, {"ranges": (("age", 2, 2),)}, "age from 2 to 2, expected low below"),
    "two ranges": (TEXT, {"ranges": (("age", 0, 2), ("age", 0, 3))}, "has another range"),
    "texts": (TEXT, {"categories": ()}, "--data.categories colour blue colour red"),
    "unlisted": (TEXT, {"categories": (("colour", "red"),)}, "column colour, row 3: 'blue'"),
    "twice": (TEXT, {"categories": (("colour", "red"),) * 2}, "a value is listed twice"),
    "target as group": (TEXT, {"group": "outcome"}, "data.group='outcome' is the target, too"),
    "nothing seen": (
        TEXT,
        {"leave_out": ("age", "colour"), "ranges": (), "categories": ()},
        "would see no",
    ),
    "missing": (with_cell(5, 0, ""), {}, r"column age, row 5: the value is missing; .*leave_out"),
    "missing words": (with_cell(4, 1, "NA"), {}, "column colour, row 4: the value is missing"),
    "missing answer": (with_cell(3, 2, "?"), {}, "column outcome, row 3: the value is missing"),
    "a word among numbers": (with_cell(7, 0, "old"), {}, "column age, row 7: 'old' is no number"),
    "infinity": (with_cell(7, 0, "inf"), {}, "NaN or infinite"),
    "a decimal comma": (TEXT.replace(",", ";").replace("20", "2,5"), {}, "'2,5' is no number"),
    "a short row": (TEXT + "3,red\n", {}, "line 14 has 2 values, expected 4"),
    "no rows": (HEADER, {}, "no examples; expected a line of names"),
    "an empty file": ("", {}, "no examples"),
    "no names": ("1,2,3\n4,5,6\n", {}, "the first line is 1, 2, 3"),
    "one name twice": (TEXT.replace("colour", "age"), {}, "column name 'age' is there twice"),
    "a name missing": (TEXT.replace("colour", ""), {}, "column name '' is empty"),
    "another encoding": (None, {}, "no text in UTF-8"),
    "decimals as classes": (TEXT.replace("20,", "20.5,"), {"target": "age", "ranges": ()}, "quant"),
    "every row a class": (TEXT, {"target": "age", "ranges": ()}, "12 values in 12 rows, such as"),
    "a class with a range": (TEXT, {"ranges": (("outcome", 0, 1),)}, "outcome is a class"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, what):
    text, changes, message = REFUSED[what]
    path = table(tmp_path, text or "")
    if text is None:
        path.write_bytes(TEXT.replace("red", "grün").encode("latin-1"))
    with pytest.raises(DataError, match=message) as refused:
        load(path, COLUMNS._replace(**changes))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_told_by_its_name():
    for name in ("none.csv", "none.parquet", "none.npz"):
        with pytest.raises(DataError, match=f"{name}: (cannot be read|reading Parquet)"):
            load(name, Columns(target="x"))


FLOATS = np.random.default_rng(0).normal(size=(20, 5, 2))
LABELS = np.arange(20) % 2


def test_an_npz_holds_arrays_of_any_shape(tmp_path):
    np.savez(tmp_path / "own.npz", inputs=FLOATS, targets=LABELS, who=np.repeat([4, 9], 10))
    dataset = load(str(tmp_path / "own.npz"), Columns(group="who"), test_examples=0.25)
    assert dataset.train_inputs.shape == (15, 5, 2)
    assert (dataset.outputs, len(dataset.test_targets)) == (2, 5)
    assert dataset.groups is not None
    assert len(by_group(dataset.groups).sizes) == 2


def test_an_npz_brings_its_test_examples_names_and_public_constants(tmp_path):
    named = {"X": FLOATS[:16], "y": LABELS[:16], "test_X": FLOATS[16:], "test_y": LABELS[16:]}
    public = {"shift": np.float64(2), "scale": np.full((5, 2), 3.0), "class_names": ["no", "yes"]}
    np.savez(tmp_path / "own.npz", **named, **public)
    dataset = load(str(tmp_path / "own.npz"), Columns(inputs="X", target="y"))
    assert (len(dataset.train_targets), len(dataset.test_targets)) == (16, 4)
    assert dataset.class_names == ("no", "yes")
    assert (dataset.shift, dataset.scale[0, 0]) == (2, 3)


def test_an_npz_that_lacks_an_array_says_which_it_has(tmp_path):
    np.savez(tmp_path / "own.npz", a=FLOATS, b=LABELS)
    with pytest.raises(DataError, match=r"no inputs, targets, only a, b; expected .*data\.inputs"):
        load(str(tmp_path / "own.npz"), Columns())
    np.savez(tmp_path / "own.npz", inputs=FLOATS, targets=LABELS, test_inputs=FLOATS)
    with pytest.raises(DataError, match=r"no test_targets, only"):
        load(str(tmp_path / "own.npz"), Columns())
    np.savez(tmp_path / "own.npz", inputs=FLOATS.astype(object), targets=LABELS)
    with pytest.raises(DataError, match=r"no \.npz file of arrays"):
        load(str(tmp_path / "own.npz"), Columns())


def test_groups_of_a_table_are_natural_clients(tmp_path):
    data = Data(str(table(tmp_path)), **COLUMNS._asdict())
    experiment = Experiment(data=data, partition=Partition("groups"))
    assert from_dict(to_dict(experiment)) == experiment
    assert hash(experiment.data) == hash(from_dict(to_dict(experiment)).data)
    dataset = build_dataset(experiment)
    assert len(build_partition(experiment, dataset).sizes) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "iris", "target": "x"}, r"data.target='x': expected '' with data.name='iris'"),
        ({"name": "a.csv", "inputs": "x"}, r"data.inputs='x': .* an .npz has it"),
        ({"name": "a.npz", "leave_out": ("x",)}, r"data.leave_out=\('x',\): .* a table"),
        ({"name": "a.csv", "test_examples": 1.5}, "data.test_examples=1.5: expected a whole"),
        ({"name": "a.csv", "ranges": (("x", 1),)}, "data.ranges="),
        ({"name": "a.csv", "categories": ("red",)}, "data.categories="),
    ],
)
def test_settings_that_a_file_does_not_have_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Data(**settings)
