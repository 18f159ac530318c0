"""A text by speaker: who speaks is a natural client, and a model learns the next character."""

from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pride_jax.data.examples import NO_SCALE, NO_SHIFT, Examples, PublishedSet
from pride_jax.errors import DataError

ALPHABET = "\n" + "".join(map(chr, range(0x20, 0x7F)))
"""The newline and the 95 printable characters of ASCII: known before any text is read. The token of
a character is 1 + its place; 0 is every other character."""

CHARACTERS = ("\N{REPLACEMENT CHARACTER}", *ALPHABET)
"""What each of the 97 tokens stands for; `�` is any character outside `ALPHABET`."""

VOCABULARY = len(CHARACTERS)
"""How many tokens there are: 97."""

_TEST_PART = 5


def load_text(path: Path, length: int) -> PublishedSet:
    """Load a text of speeches, each speaker's cut into windows of next-character prediction.

    A speech is a line `NAME:` and the lines below it, up to a blank line. All speeches of one
    heading, in their order and each on lines of its own, are the text of one speaker. It is cut
    into stretches of `length + 1` characters that share none: of each, the first `length` are the
    input and the last `length` the targets. The last fifth of a speaker's stretches (rounded down)
    is the test split, so that no character is in both. A speaker without a whole stretch has no
    example. What is left out, and how many characters are outside `ALPHABET`, stands in `notes`.

    Args:
        path: the file, in UTF-8.
        length: tokens an example.

    Returns:
        The set, named after the file: inputs and targets int32 `[n, length]`, tokens by the names
        in `CHARACTERS`; groups number the speakers in the order of their names, those without an
        example included.

    Raises:
        DataError: the file cannot be read, a speech has no heading, or the speeches are too short
            for training and test examples of that length.

    References:
        Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv:1812.01097, 2018, whose
        Shakespeare is divided by speaker in this way, but is another selection of the plays.
    """
    if length < 1:
        raise DataError(f"length={length}: expected at least 1 character an example")
    tokens = {name: encode(text) for name, text in sorted(_read_speakers(path).items())}
    parts = [_stretches(of_speaker, length) for of_speaker in tokens.values()]
    train, test = (_examples([part[split] for part in parts], length) for split in (0, 1))
    if not len(test.targets):
        longest = max(tokens, key=lambda name: len(tokens[name]), default="nobody")
        raise DataError(
            f"{path}: nobody speaks the {_TEST_PART * (length + 1)} characters that "
            f"{_TEST_PART} examples of length {length} take, from which one is kept for testing; "
            f"{longest} speaks most, {len(tokens.get(longest, ()))}: reduce data.length"
        )
    notes = _notes(parts, list(tokens.values()), length)
    return PublishedSet(
        path.stem, train, test, VOCABULARY, NO_SHIFT, NO_SCALE, notes, class_names=CHARACTERS
    )


def encode(text: str) -> Int32[np.ndarray, "characters"]:
    """The token of each character: 1 + its place in `ALPHABET`, or 0."""
    table = np.zeros(0x80, np.int32)
    table[[ord(character) for character in ALPHABET]] = np.arange(1, VOCABULARY)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(points < len(table), table[np.minimum(points, len(table) - 1)], 0)


def decode(tokens: Int32[np.ndarray, "characters"]) -> str:
    """The characters of tokens; what was outside the alphabet is shown as `�`."""
    return "".join(np.array(CHARACTERS)[tokens])


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error}); convert it") from error


def _read_speakers(path: Path) -> dict[str, str]:
    """Each speaker's text."""
    lines_of: dict[str, list[str]] = {}
    speaker = ""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            speaker = ""
        elif speaker:
            lines_of[speaker].append(line)
        elif line.rstrip().endswith(":"):
            speaker = line.rstrip()
            lines_of.setdefault(speaker, [])
        else:
            raise DataError(
                f"{path}: line {number} after a blank line is {line[:40]!r}, expected a speaker's "
                "name and a colon: each speech is a line 'NAME:', its lines, and a blank line"
            )
    return {speaker[:-1]: "\n".join(lines) for speaker, lines in lines_of.items()}


def _stretches(
    tokens: Int32[np.ndarray, "characters"], length: int
) -> tuple[Int32[np.ndarray, "train stretch"], Int32[np.ndarray, "test stretch"]]:
    count = len(tokens) // (length + 1)
    stretches = tokens[: count * (length + 1)].reshape(count, length + 1)
    kept = count - count // _TEST_PART
    return stretches[:kept], stretches[kept:]


def _examples(of_speakers: list[Int32[np.ndarray, "examples stretch"]], length: int) -> Examples:
    stretches = np.concatenate([np.zeros((0, length + 1), np.int32), *of_speakers])
    groups = np.repeat(np.arange(len(of_speakers)), [len(part) for part in of_speakers])
    return Examples(stretches[:, :-1], stretches[:, 1:], groups.astype(np.int32))


def _notes(
    parts: list[tuple[np.ndarray, np.ndarray]], tokens: list[np.ndarray], length: int
) -> tuple[str, ...]:
    silent = sum(not len(train) for train, _ in parts)
    untested = sum(not len(test) for _, test in parts) - silent
    total = sum(map(len, tokens))
    unused = total - sum(train.size + test.size for train, test in parts)
    other = sum(int((each == 0).sum()) for each in tokens)
    counted = {
        f"{silent} of {len(parts)} speakers have fewer than {length + 1} characters and no "
        "example": silent,
        f"{untested} of {len(parts)} speakers have fewer than {_TEST_PART} examples and none of "
        "them for testing": untested,
        f"{unused} of {total} characters, at the ends of speakers' texts, fill no example": unused,
        f"{other} of {total} characters are outside the alphabet and count as one": other,
    }
    return tuple(note for note, count in counted.items() if count)
