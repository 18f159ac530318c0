"""Parties with tables of their own: what is read, compared and refused; in one process."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from in_process import CONFIG, digest, served

from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.apart import agreed, enrol_server, join
from pride_jax.deploy.bundle import BUNDLE, read_bundle, unpack
from pride_jax.deploy.certificates import AUTHORITY
from pride_jax.deploy.comparison import compare
from pride_jax.deploy.enrolment import enrol_party, enrolment_in, load_examples, load_test_set
from pride_jax.deploy.finishing import FINISHED
from pride_jax.deploy.own_examples import read_examples
from pride_jax.deploy.status import status
from pride_jax.errors import ConfigError, DataError, PrideError, ProtocolError, RunError
from pride_jax.files import read_json
from pride_jax.runs.load import load
from pride_jax.settings.experiment import Data

pytestmark = pytest.mark.usefixtures("blank_pictures")

CLASSES = ("benign", "malignant")
DATA = Data(
    "hospital.csv",
    target="finding",
    categories=tuple(("finding", name) for name in CLASSES),
    ranges=(("age", 0.0, 120.0),),
    leave_out=("number",),
)
HOSPITALS = replace(CONFIG, data=DATA)


def table(path, rows, columns=("number", "age", "size", "finding"), classes=CLASSES, seed=0):
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in range(rows):
            values = {"number": row, "age": rng.integers(20, 90), "size": f"{rng.normal():.3f}"}
            values["finding"] = classes[row % len(classes)]
            writer.writerow([values.get(column, 1) for column in columns])
    return path


@pytest.fixture
def enrolled(tmp_path):
    """Three hospitals' folders, from files of their own."""
    for party in range(3):
        mine = table(tmp_path / f"mine-{party}.csv", 6 + party, seed=party)
        enrol_party(tmp_path / f"party-{party}", HOSPITALS, party, read_examples(mine, HOSPITALS))
    return tmp_path


def collected(folder, test=None, config=HOSPITALS):
    enrolments = [enrolment_in(folder / f"party-{party}") for party in range(3)]
    return enrol_server(folder / "server", config, enrolments, "localhost", 8000, test)


def test_hospitals_train_on_their_tables_and_everyone_receives_the_model(enrolled, tmp_path):
    test = table(tmp_path / "test.csv", 10, seed=9)
    roster = collected(enrolled, test)
    assert roster.sizes == (6, 7, 8)
    bundle = read_bundle(enrolled / "server" / BUNDLE)
    for party in range(3):
        agreed(enrolled / f"party-{party}", bundle)
        compare(enrolled / f"party-{party}", roster, roster.short)
    assert served(enrolled, tmp_path / "run") is None
    mine = load(enrolled / "party-1")
    assert (enrolled / "party-1" / FINISHED).exists()
    inputs = read_examples(test, HOSPITALS).train.inputs
    assert set(mine.predict(inputs).answers.tolist()) <= set(CLASSES)
    told = "\n".join(status(enrolled / "server"))
    assert f"round {HOSPITALS.rounds} of {HOSPITALS.rounds}" in told
    assert "ended at" in told and "party 2: last answered finish" in told
    assert len(digest(tmp_path / "run")) == 64


def test_without_a_test_set_hospitals_test_on_what_they_hold_out(tmp_path):
    config = replace(HOSPITALS, partition=replace(HOSPITALS.partition, held_out=0.4))
    for party in range(3):
        mine = table(tmp_path / f"mine-{party}.csv", 6 + party, seed=party)
        enrol_party(tmp_path / f"party-{party}", config, party, read_examples(mine, config))
    roster = collected(tmp_path, config=config)
    assert (roster.sizes, [each.held_out for each in roster.parties]) == ((4, 4, 5), [2, 3, 3])
    assert roster.shift.tolist() == [60.0, 0.0] and roster.classes == 2
    bundle = read_bundle(tmp_path / "server" / BUNDLE)
    for party in range(3):
        agreed(tmp_path / f"party-{party}", bundle)
        compare(tmp_path / f"party-{party}", roster, roster.short)
    assert served(tmp_path, tmp_path / "run") is None
    summary = read_json(tmp_path / "run" / "summary.json")
    assert summary["test_examples"] == 8
    assert summary["test_accuracy"] * 8 in range(9)
    model = load(tmp_path / "run")
    assert model.seen.class_names == CLASSES and model.seen.input_names == ("age", "size")
    told = " ".join(read_json(tmp_path / "run" / "disclosure.json")["statements"])
    assert "sums of its held-out examples' scores" in told


def test_of_numbered_classes_the_most_that_a_party_has_seen_are_everyones(tmp_path):
    config = replace(CONFIG, partition=replace(CONFIG.partition, held_out=0.4))
    for party in range(3):
        path, targets = tmp_path / f"mine-{party}.npz", np.arange(8) % (2 + party)
        np.savez(path, inputs=np.full((8, 5, 2), party, np.uint8), targets=targets)
        enrol_party(tmp_path / f"party-{party}", config, party, read_examples(path, config))
    roster = collected(tmp_path, config=config)
    assert (roster.classes, roster.features) == (4, (5, 2, 1))
    assert roster.scale == np.float32(1 / 255)


def test_all_rows_are_there_with_classes_by_name_and_ranges(enrolled, tmp_path):
    inputs, targets, _ = load_examples(enrolled / "party-0")
    assert inputs.shape == (6, 2) and inputs.dtype == np.float32
    assert targets.tolist() == [0, 1, 0, 1, 0, 1]
    roster = collected(enrolled, table(tmp_path / "test.csv", 4, classes=("malignant",)))
    dataset = load_test_set(enrolled / "server", HOSPITALS, roster)
    assert dataset.test_targets.tolist() == [1] * 4
    assert dataset.class_names == CLASSES and dataset.input_names == ("age", "size")
    assert roster.shift.tolist() == [60.0, 0.0]


WRONG = {
    "a class that is not listed": (
        lambda path: table(path, 4, classes=("benign", "unclear")),
        "unclear",
    ),
    "no such file": (lambda path: path, "cannot be read"),
    "no target": (lambda path: table(path, 4, columns=("number", "age", "size")), "finding"),
    "no table": (lambda path: path.with_suffix(".docx"), "expected a table"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_that_is_not_as_the_settings_say_is_refused(tmp_path, wrong):
    make, told = WRONG[wrong]
    with pytest.raises(PrideError, match=told):
        read_examples(make(tmp_path / "mine.csv"), HOSPITALS)


def test_classes_must_be_listed_since_a_table_has_only_its_own(tmp_path):
    unlisted = replace(HOSPITALS, data=replace(DATA, categories=()))
    mine = table(tmp_path / "mine.csv", 4)
    with pytest.raises(ConfigError, match=r"--data.categories finding benign finding malignant"):
        read_examples(mine, unlisted)


def test_the_server_refuses_columns_in_another_order(enrolled, tmp_path):
    moved = table(tmp_path / "moved.csv", 5, columns=("size", "number", "age", "finding"))
    with pytest.raises(ConfigError, match=r"Party 0 has columns \[age, size\], expected \[size"):
        collected(enrolled, moved)
    assert not (enrolled / "server").exists()


def test_another_number_of_columns_or_parties_is_refused(enrolled, tmp_path):
    more = table(tmp_path / "more.csv", 5, columns=("number", "age", "size", "dose", "finding"))
    with pytest.raises(ConfigError, match=r"Party 0 has examples of shape \[2\], expected \[3\]"):
        collected(enrolled, more)
    four = replace(HOSPITALS, partition=replace(HOSPITALS.partition, clients=4))
    with pytest.raises(ConfigError, match="3 parties have enrolled, expected 4"):
        collected(enrolled, table(tmp_path / "test.csv", 4), four)
    with pytest.raises(ConfigError, match="expected --test FILE"):
        collected(enrolled)


def test_arrays_are_taken_as_they_are_and_never_cast(tmp_path):
    iris = replace(HOSPITALS, data=Data("iris"))
    inputs = np.ones((4, 4), np.float32)
    np.savez(tmp_path / "mine.npz", inputs=inputs, targets=np.array([0.2, 1.7, 2.9, 1.0]))
    own = read_examples(tmp_path / "mine.npz", iris)
    # Quantities, not classes 0, 1 and 2: told once all are collected.
    assert own.train.targets.dtype == np.float32
    enrol_party(tmp_path / "party-0", iris, 0, own)
    for party in (1, 2):
        np.savez(tmp_path / "mine.npz", inputs=inputs, targets=np.array([0, 1, 2, 1]))
        own = read_examples(tmp_path / "mine.npz", iris)
        enrol_party(tmp_path / f"party-{party}", iris, party, own)
    with pytest.raises(ConfigError, match="Party 0 has targets that are quantities, expected"):
        collected(tmp_path, config=iris)


def test_labels_beyond_the_rosters_are_refused_when_a_party_joins(tmp_path):
    iris = replace(HOSPITALS, data=Data("iris"))
    for party in range(3):
        targets = np.array([0, 1, 2, 3 if party == 1 else 0])
        np.savez(tmp_path / "mine.npz", inputs=np.ones((4, 4), np.float32), targets=targets)
        own = read_examples(tmp_path / "mine.npz", iris)
        enrol_party(tmp_path / f"party-{party}", iris, party, own)
    collected(tmp_path, config=iris)
    bundle = read_bundle(tmp_path / "server" / BUNDLE)
    agreed(tmp_path / "party-0", bundle)
    with pytest.raises(ConfigError, match="targets from 0 to 3 with 3 classes"):
        agreed(tmp_path / "party-1", bundle)


def test_a_bundle_is_not_unpacked_over_another_runs(enrolled, tmp_path):
    roster = collected(enrolled, table(tmp_path / "test.csv", 4))
    bundle = read_bundle(enrolled / "server" / BUNDLE)
    agreed(enrolled / "party-0", bundle)
    again = bundle._replace(roster=roster._replace(run=bytes(16)))
    with pytest.raises(RunError, match="one enrolment is for one run"):
        unpack(again, enrolled / "party-0", HOSPITALS)
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no bundle"):
        read_bundle(tmp_path / "no.json")


def test_a_roster_that_the_others_do_not_have_leaves_nothing(enrolled, tmp_path):
    collected(enrolled, table(tmp_path / "test.csv", 4))
    with pytest.raises(ProtocolError, match="telephone"):
        join(enrolled / "party-0", enrolled / "server" / BUNDLE, "ABCD-EFGH", print)
    assert not (enrolled / "party-0" / ROSTER).exists()
    assert not (enrolled / "party-0" / AUTHORITY).exists()


def test_a_folder_of_images_needs_every_class(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError):
        read_examples(tmp_path / "photos", replace(HOSPITALS, data=Data("iris")))
