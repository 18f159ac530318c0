"""A text by speaker: each character is tested on or trained on, and the next one is the target."""

import collections
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.data.datasets import load_dataset
from pride_jax.data.text import ALPHABET, VOCABULARY, decode, encode, load_text
from pride_jax.errors import DataError


def play(tmp_path: Path, content: str) -> Path:
    file = tmp_path / "play.txt"
    file.write_bytes(content.encode())
    return file


def test_tokens_are_places_in_the_alphabet():
    assert VOCABULARY == 97
    np.testing.assert_array_equal(encode("\n !~"), [1, 2, 3, 96])
    np.testing.assert_array_equal(encode("\té\x7f\u2014\U0001f600\x00"), np.zeros(6))
    assert encode("").shape == (0,)
    assert decode(encode(ALPHABET + "é")) == ALPHABET + "\ufffd"


@settings(deadline=None)
@given(text=st.text(alphabet=ALPHABET + "éß", max_size=60))
def test_each_character_has_one_token(text: str):
    tokens = encode(text)
    assert tokens.dtype == np.int32
    assert len(tokens) == len(text)
    assert decode(tokens) == text.translate({ord(c): "\ufffd" for c in "éß"})


def test_a_small_play_by_hand(tmp_path):
    speeches = ["B:\nabcdef\nghij", "A:\nxy", "B:\nklmnopqr", "C:\nzzzz", "A:"]
    published = load_text(play(tmp_path, "\n\n\n".join(speeches) + "\n"), length=2)
    train, test = published.train, published.test
    # B's 20 characters are six stretches of three, of which the last fifth is one.
    assert [decode(row) for row in train.inputs] == ["ab", "de", "\ng", "ij", "kl", "zz"]
    assert [decode(row) for row in train.targets] == ["bc", "ef", "gh", "j\n", "lm", "zz"]
    np.testing.assert_array_equal(train.groups, [1, 1, 1, 1, 1, 2])
    assert [decode(row) for row in test.inputs] == ["no"]
    assert [decode(row) for row in test.targets] == ["op"]
    np.testing.assert_array_equal(test.groups, [1])
    assert published.outputs == 97
    assert published.notes == (
        "1 of 3 speakers have fewer than 3 characters and no example",
        "1 of 3 speakers have fewer than 5 examples and none of them for testing",
        "5 of 26 characters, at the ends of speakers' texts, fill no example",
    )


words = st.text(alphabet="abcdefg é\t", min_size=1, max_size=30).filter(str.strip)


@settings(deadline=None, max_examples=60)
@given(
    speeches=st.lists(st.tuples(st.sampled_from("ABC"), words), max_size=12),
    length=st.integers(1, 6),
)
def test_windows_are_stretches_of_the_speakers_text_and_share_nothing(
    tmp_path_factory, speeches, length: int
):
    speeches = [("Z", "z" * 5 * (length + 1)), *speeches]
    content = "\n\n".join(f"{name}:\n{line}" for name, line in speeches)
    lines = collections.defaultdict(list)
    for name, line in speeches:
        lines[name].append(line)
    published = load_text(play(tmp_path_factory.mktemp("plays"), content), length)
    train, test = published.train, published.test
    for group, name in enumerate(sorted(lines)):
        inputs, targets = (
            np.concatenate([part[side][part.groups == group] for part in (train, test)])
            for side in (0, 1)
        )
        stretches = np.concatenate([inputs, targets[:, -1:]], axis=1)
        expected = encode("\n".join(lines[name]))
        np.testing.assert_array_equal(stretches.ravel(), expected[: stretches.size])
        assert 0 <= len(expected) - stretches.size <= length
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        assert (test.groups == group).sum() == len(stretches) // 5


def test_characters_outside_the_alphabet_are_counted(tmp_path):
    published = load_text(play(tmp_path, "A:\n" + "caf\u00e9 " * 4), length=3)
    assert published.notes == ("4 of 20 characters are outside the alphabet and count as one",)


def test_other_line_ends_are_the_same_text(tmp_path):
    content = "A:\nto be or not to be\nthat is\n\nB:\nthe question, is it not so\n"
    one = load_text(play(tmp_path, content), length=4)
    other = load_text(play(tmp_path, content.replace("\n", "\r\n")), length=4)
    for here, there in zip((*one.train, *one.test), (*other.train, *other.test), strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "nobody speaks most, 0: reduce data.length"),
        ("A:\nabc\n", "nobody speaks the 25 characters .* A speaks most, 3: reduce data.length"),
        (
            "A:\nabc\n\nno name\nhere\n",
            "line 4 after a blank line is 'no name', expected a speaker",
        ),
        ("It was night.\n", "line 1 after a blank line is 'It was night.'"),
    ],
)
def test_a_text_of_another_layout_is_refused(tmp_path, content: str, message: str):
    with pytest.raises(DataError, match=message):
        load_text(play(tmp_path, content), length=4)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "play.txt").write_bytes(b"A:\n\xff\xfe")
    with pytest.raises(DataError, match="no text in UTF-8"):
        load_dataset(str(tmp_path / "play.txt"))
    with pytest.raises(DataError, match="cannot be read"):
        load_dataset(str(tmp_path / "missing.txt"))
    with pytest.raises(DataError, match="length=0: expected at least 1"):
        load_text(tmp_path / "play.txt", length=0)


def test_a_path_names_a_text_and_its_length(tmp_path):
    file = play(tmp_path, "A:\n" + "to be or not to be, " * 10)
    dataset = load_dataset(str(file), length=7)
    assert dataset.name == "play"
    assert dataset.train_inputs.shape == dataset.train_targets.shape == (20, 7)
    assert dataset.test_inputs.shape == (5, 7)
    assert dataset.train_inputs.dtype == dataset.train_targets.dtype == np.int32
    assert dataset.groups is not None
    with pytest.raises(DataError, match=r"play has a test split of its own, of 5 examples"):
        load_dataset(str(file), length=7, test_examples=3)


PLAYS = Path(os.environ.get("PRIDE_DATA_DIR", ""), "shakespeare/tinyshakespeare.txt")


@pytest.mark.data
@pytest.mark.skipif(not PLAYS.is_file(), reason=f"no {PLAYS}")
def test_the_real_plays_have_309_speakers_all_in_the_alphabet():
    dataset = load_dataset("shakespeare", directory=Path(os.environ["PRIDE_DATA_DIR"]))
    assert dataset.outputs == 97
    assert dataset.notes[0] == "53 of 309 speakers have fewer than 81 characters and no example"
    assert not any("alphabet" in note for note in dataset.notes)
    assert dataset.groups is not None
    assert len(np.unique(dataset.groups)) == 256
    assert min(dataset.train_inputs.min(), dataset.train_targets.min()) > 0
    assert dataset.train_inputs.shape == (10142, 80)
    assert dataset.test_inputs.shape == (2402, 80)
