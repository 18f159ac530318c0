"""No event tells the K = 10,000 plan's noise from itself moved; of one normal in floats one does.

``python -m results.privacy.black_box`` looks at 80,000 releases of each.
"""

import math

import pytest

from results.privacy.black_box import again, observe, of_one_normal, of_plan, plan_of

RELEASES, FAR = 600, 3.8
"""Some 440 far values, of the 1,200 that one normal in floats has."""


@pytest.fixture(scope="module")
def plan():
    return plan_of()


def counts(release):
    """Releases that hold a far value again that was seen without the client: without, and with."""
    without, more, present = (
        observe(release, RELEASES, here, FAR) for here in (False, False, True)
    )
    return again(more, without), again(present, without)


def told_apart(without, present):
    return abs(without - present) > 5 * math.sqrt(without + present + 9)


def test_values_of_the_plan_come_again_as_often_with_the_client_as_without(plan):
    assert not told_apart(*counts(of_plan(plan)))


def test_values_of_one_normal_in_floats_never_come_again_with_the_client(plan):
    """The test above can fail: a release that holds such a value was made without the client."""
    without, present = counts(of_one_normal(plan))
    assert told_apart(without, present)
    assert present == 0
