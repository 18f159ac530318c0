"""Attacks before and after: each threat is mounted, and succeeds without its remedy alone."""

import pytest

from pride_jax.files import read_json
from results.attacks.mounted import ATTACKS, mounted
from results.attacks.threats import before_and_after
from results.studies import RESULTS

TESTS = RESULTS.parent / "tests"
INHERENT = ("`bfv`", "by two rounds' cohorts", "only other client")


def test_every_threat_is_attacked_by_a_test_that_there_is():
    numbers = [int(attack.threat.removeprefix("T")) for attack in ATTACKS]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 14))
    for attack in ATTACKS:
        path, *_, name = attack.test.split("::")
        text = (TESTS / path).read_text()
        assert f"class {name}:" in text or f"def {name}(" in text, attack.test


@pytest.mark.parametrize("threat", ["T3", "T12"])
def test_an_attack_gets_what_it_is_said_to_get(threat):
    (attack,) = [each for each in ATTACKS if each.threat == threat]
    stopped = threat != "T12"
    assert mounted(attack, remedied=False)["part"] == 1
    now = mounted(attack, remedied=True)
    assert now["part"] == (0 if stopped else 1)
    assert ("not signed by that client" in (now["refused"] or "")) == stopped


def test_what_was_measured_is_of_these_attacks_and_remedies_help_but_for_what_is_inherent():
    rows = read_json(RESULTS / "attacks" / "threats.json")["rows"]
    assert [(row["threat"], row["after"]) for row in rows] == [
        (attack.threat, attack.after) for attack in ATTACKS
    ]
    lines = before_and_after(RESULTS).splitlines()[2:]
    for row, line in zip(rows, lines, strict=True):
        inherent = row["threat"] != "T4" and row["after"].endswith(INHERENT)
        assert row["before"]["part"] > 0.75
        assert (row["now"]["part"] < 0.5) == (not inherent)
        assert ("**" in line) == inherent
