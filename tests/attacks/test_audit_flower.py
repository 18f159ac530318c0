"""The kit finds what Flower's own wrapper for central DP does to a weighted mean."""

import pytest

from pride_jax.attacks.audit_round import audit_round
from results.attacks.kit import FIXED


@pytest.mark.deploy
@pytest.mark.filterwarnings("ignore:'click:DeprecationWarning")
@pytest.mark.parametrize("by_examples", [True, False])
def test_flowers_wrapper_is_right_for_plain_means_only(by_examples):
    # Imported here: the extra `deploy` has Flower.
    from results.attacks.flower_round import flower_round, start, values

    one_round = flower_round(0, by_examples)
    report = audit_round(one_round, FIXED, 30, start=start, parameters=values, samples=1200)
    faults = {each.what for each in report.findings if each.verdict == "FAULT"}
    assert faults == ({"weights"} if by_examples else set())
    assert report.verdict == ("FAULT" if by_examples else "pass")
