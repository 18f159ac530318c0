"""What is written down of refusals."""

import pytest

from pride_jax.aggregation.refusals import BurntError, WrongSignatureError
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS, note, note_refusal


def test_who_may_be_why_is_listed(tmp_path):
    note_refusal(tmp_path, 3, WrongSignatureError(4, "not its own"))
    note_refusal(tmp_path, 5, BurntError(5, [1, 4], "out of range"))
    assert metrics.read(tmp_path / REFUSALS) == [
        {"round": 3, "from": 4, "reason": "Refused the message of client 4: not its own"},
        {"round": 5, "from": None, "reason": "No sum: out of range", "candidates": [1, 4]},
    ]


@pytest.mark.parametrize("length", [500, 501, 10**6])
def test_a_reason_that_another_wrote_is_cut(tmp_path, length):
    note(tmp_path, None, 0, "x" * length)
    (row,) = metrics.read(tmp_path / REFUSALS)
    told = f"… ({length - 500} characters more)" if length > 500 else ""
    assert row["reason"] == "x" * 500 + told
