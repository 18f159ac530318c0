"""A run says who can see what, from its protocol's own description."""

import os

import pytest

from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine.secure import SecureAggregation
from pride_jax.reporting.disclosure import disclosure
from pride_jax.settings.experiment import Aggregation, Experiment
from pride_jax.settings.protocols import build_secure_sum


def disclosed(**settings):
    aggregation = Aggregation(**settings)
    if aggregation.protocol == "none":
        return disclosure(Experiment(), None, None, None)
    protocol = build_secure_sum(aggregation)
    # What is disclosed does not depend on the keys.
    keys = protocol.keygen(os.urandom, Role.CLIENT)
    secure = SecureAggregation(protocol, keys)
    return disclosure(Experiment(aggregation=aggregation), secure, None, None)


def sight_of(said, who):
    (sight,) = [sight["sees"] for sight in said["sights"] if sight["who"].startswith(who)]
    return sight


@pytest.mark.parametrize("protocol", ["none", "plain"])
def test_where_nothing_hides_updates_the_aggregator_sees_every_one(protocol):
    assert "every client's" in sight_of(disclosed(protocol=protocol), "aggregator")


@pytest.mark.parametrize("protocol", ["paillier", "bfv", "ckks"])
def test_one_key_holder_and_the_aggregator_together_see_everything(protocol):
    said = disclosed(protocol=protocol)
    assert "every client" not in sight_of(said, "aggregator, and")
    assert sight_of(said, "key holder").startswith("the sum")
    assert sight_of(said, "aggregator and key holder together") == "every client's values"


def test_threshold_names_the_dealer_and_how_many_collude():
    said = disclosed(protocol="threshold", holders=5, threshold=3)
    assert sight_of(said, "trusted dealer") == "every client's values"
    assert sight_of(said, "any 3 of 5 key holders") == "every client's values"
    assert "nothing" in sight_of(said, "key holders, fewer")


def test_where_two_groups_of_holders_could_open_two_sums_of_a_round_that_is_said():
    def says(**settings):
        sights = disclosed(protocol="threshold", **settings)["sights"]
        return any("two sums of one round" in sight["sees"] for sight in sights)

    assert says(holders=4, threshold=2)
    assert not says(holders=3, threshold=2)


def test_masking_names_the_clients_it_takes_and_what_it_leaves_out():
    said = disclosed(protocol="masking")
    assert sight_of(said, "aggregator and more than half") == "every client's values"
    assert "different lists" in " ".join(sight["who"] for sight in said["sights"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"protocol": "paillier"}, True),
        ({"protocol": "threshold"}, True),
        ({"protocol": "paillier", "exponent": "strict"}, False),
        ({"protocol": "bfv"}, False),
    ],
)
def test_short_exponents_are_said_where_they_are_used(settings, says):
    statements = " ".join(disclosed(**settings)["statements"])
    assert ("short exponents" in statements) is says


def test_every_run_says_that_there_is_no_differential_privacy():
    assert "No differential privacy" in disclosed(protocol="none")["guarantee"]
