"""Measured figures in sentences: numbers with a unit of time, of size, of ratio, or decimals."""

import re

_WORD = (
    r"half an?|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|forty|"
    r"fifty|sixty|hundred|a few|several"
)
_UNIT = r"(?:seconds?|minutes?|hours?|percent|per cent|points|ms|µs|ns|[kKMGT]i?B|dB)\b"
_COMPARED = (
    r"(?:as (?:fast|slow|long|large|small|much|cheap)|faster|slower|longer|shorter|larger|smaller|"
    r"less|that\b|the (?:time|seconds|bytes))"
)
_PART = r"(?:half|thirds?|quarters?|fifths?|sixths?|tenths?|twentieths?)"
FIGURE = re.compile(
    rf"(?<![\w.,^−-])\d[\d.,]*(?: ?(?:%|×(?! ?\d)|{_UNIT}|times\b)| s\b)"
    rf"|\b(?:{_WORD})[ -](?:{_UNIT}|times {_COMPARED})"
    rf"|\b{_PART} (?:of [^,;:]{{0,30}}\b(?:time|seconds|bytes)\b|faster|slower|longer|less|more)"
    r"|\btwice as (?:fast|slow)"
    r"|\b(?:after|within|in) [\d.]+ rounds|\b\d[\d.]* rounds to\b|\b[\d,]+,\d{3} bytes"
    r"|\btakes? (?:about |around |some )?an? (?:second|minute|hour)\b",
    re.IGNORECASE,
)
"""Integers that count clients, digits or bits are settings, and ``5×5`` is a shape."""
DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+(?:\.\d+)*")


def flat(text: str) -> str:
    """In one line, so that no figure is broken."""
    return " ".join(text.split())
