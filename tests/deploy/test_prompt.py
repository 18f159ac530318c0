"""How often a node looks for messages: often at first, and no night of looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.deploy.prompt import PATIENCE, POLL_SECONDS, pause

FLOWERS_OWN = 3.0


@given(st.floats(0, 1e6))
def test_a_message_is_seen_late_by_little_of_what_it_took_to_come(came):
    looked = 0.0
    while looked < min(came, 1000):
        looked += pause(FLOWERS_OWN, looked)
    late = looked - min(came, 1000)
    assert late <= min(FLOWERS_OWN, max(POLL_SECONDS, PATIENCE * looked))


@pytest.mark.parametrize(("waited", "most"), [(2, 11), (60, 100), (3600, 1300)])
def test_waiting_costs_fewer_and_fewer_looks(waited, most):
    looks, now = 0, 0.0
    while now < waited:
        now += pause(FLOWERS_OWN, now)
        looks += 1
    assert waited / FLOWERS_OWN <= looks <= most
