"""A run says who can see what, from its protocol's own description."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine.secure import SecureAggregation
from pride_jax.privacy.accounting import epsilon, epsilons
from pride_jax.privacy.charge import charge
from pride_jax.privacy.groups import group_epsilon
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.sampling import full
from pride_jax.reporting.disclosure import disclosure
from pride_jax.reporting.terminal import show_disclosure
from pride_jax.settings.build import build_plan
from pride_jax.settings.experiment import Aggregation, Cohort, Data, Experiment, Privacy
from pride_jax.settings.own import Code
from pride_jax.settings.protocols import build_secure_sum, with_key_apart


def disclosed(clients=10, length=83, **settings):
    aggregation = Aggregation(**settings)
    config = Experiment(aggregation=aggregation)
    if aggregation.protocol == "none":
        return disclosure(config, None, NoPlan(full(clients)), None, clients)
    protocol = with_key_apart(aggregation, build_secure_sum(aggregation), length)
    # What is disclosed does not depend on the keys.
    keys = protocol.keygen(os.urandom, Role.CLIENT)
    secure = SecureAggregation(protocol, keys)
    return disclosure(config, secure, NoPlan(full(clients)), None, clients)


def learnt(said, who):
    """What that coalition learns, by the kind of adversary."""
    return {each["adversary"]: each["learns"] for each in said["sights"] if each["who"] == who}


@pytest.mark.parametrize("protocol", ["none", "plain"])
def test_where_nothing_hides_updates_the_aggregator_learns_every_one(protocol):
    (who, *_) = [each["who"] for each in disclosed(protocol=protocol)["sights"]]
    assert who.startswith("aggregator")
    for what in learnt(disclosed(protocol=protocol), who).values():
        assert what.startswith("every client's")


@pytest.mark.parametrize("protocol", ["two_servers", "bfv"])
def test_one_key_holder_and_the_aggregator_together_learn_everything(protocol):
    said = disclosed(protocol=protocol)
    assert learnt(said, "aggregator")["curious"] == "the sum"
    assert learnt(said, "key holder")["curious"] == "nothing"
    together = learnt(said, "aggregator and key holder")
    assert set(together.values()) == {"every client's vector"}


def test_bfv_holds_against_honest_clients_only():
    def by(adversary, **settings):
        return learnt(disclosed(**settings), "aggregator and clients")[adversary]

    assert by("curious", protocol="bfv") == "the sum of the others' vectors"
    assert "any other client's vector" in by("active", protocol="bfv")
    assert "any other" not in by("active", protocol="two_servers")


def test_masking_says_which_server_it_holds_against():
    def by(**settings):
        return learnt(disclosed(protocol="masking", **settings), "aggregator")["active"]

    assert "a sum a round" in by()
    assert "any one client's vector" in by(server="curious")


@pytest.mark.parametrize("protocol", ["none", "plain", "two_servers", "bfv", "masking"])
def test_two_parties_are_told_that_each_learns_the_others_update(protocol, capsys):
    """T12: in ``disclosure.json`` and on the terminal, and not where there are three."""
    for clients, told in ((2, True), (3, False)):
        said = disclosed(clients, protocol=protocol)
        others = learnt(said, "other clients")
        assert set(others) == {"curious", "active"}
        for learns in others.values():
            assert learns.startswith("the other party's update") is told
        show_disclosure(said)
        assert ("party's update" in capsys.readouterr().out) is told


def test_behind_noise_two_parties_do_not_learn_it():
    plan = build_plan(POISSON, 30, 650)
    said = disclosure(POISSON, None, plan, None, 2)
    assert learnt(said, "other clients")["curious"] == "the sum of the others' vectors"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"protocol": "paillier"}, True),
        ({"protocol": "threshold"}, True),
        ({"protocol": "paillier", "exponent": "strict"}, False),
        ({"protocol": "bfv"}, False),
        ({"protocol": "paillier", "length": 10_000}, True),
        ({"protocol": "two_servers", "length": 10_000, "key_apart": "always"}, False),
    ],
)
def test_short_exponents_are_said_where_they_are_used(settings, says):
    statements = " ".join(disclosed(**settings)["statements"])
    assert ("short exponents" in statements) is says


@pytest.mark.parametrize(("length", "says"), [(83, False), (10_000, True)])
def test_keys_apart_are_told_with_what_they_assume(length, says):
    said = disclosed(protocol="paillier", length=length)
    assert said["protocol"].startswith("lattice(") is says
    assert ("ring learning with errors" in " ".join(said["statements"])) is says
    # Not that it could shift the sum: that is refused.
    shifts = "nothing" if says else "nothing; it can shift the sum"
    assert learnt(said, "key holder") == {"curious": "nothing", "active": shifts}


def test_every_run_says_that_there_is_no_differential_privacy():
    assert "No differential privacy" in disclosed(protocol="none")["guarantee"]


POISSON = Experiment(
    rounds=8,
    cohort=Cohort("truncated_poisson", size=12),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=8.0, delta=1e-3),
)
EVERYONE = replace(POISSON, cohort=Cohort("full"))
FIXED = replace(POISSON, cohort=Cohort("fixed_size", size=12))
SHARES = replace(
    POISSON,
    privacy=replace(POISSON.privacy, mechanism="skellam"),
    aggregation=Aggregation("plain", bits=12),
)
CORRELATED = replace(
    EVERYONE, privacy=replace(EVERYONE.privacy, mechanism="banded", band=2, noise="floats")
)
DISCRETE = replace(SHARES, privacy=replace(SHARES.privacy, mechanism="discrete_gaussian"))
PRIVATE = {
    "poisson": POISSON,
    "everyone": EVERYONE,
    "fixed": FIXED,
    "shares": SHARES,
    "discrete shares": DISCRETE,
    "correlated": CORRELATED,
}


def said_of(config, holders=1, real=False):
    plan = build_plan(config, 30, 650)
    return disclosure(config, None, plan, None, 30, holders, real), plan


@pytest.mark.parametrize("config", PRIVATE.values(), ids=PRIVATE)
def test_it_says_for_whom_epsilon_holds_and_never_less_for_who_knows_more(config):
    said, plan = said_of(config)
    assert said["epsilon_against"] == epsilons(plan)
    models, number, coalition, cohort = said["epsilon_against"].values()
    assert models <= number <= coalition <= cohort
    # Where the number called is always the same, every reader knows it.
    assert (number == models) == (config in (EVERYONE, FIXED, CORRELATED))
    for told in (models, number, cohort):
        assert f"ε = {told:.4g}" in said["guarantee"]


@pytest.mark.parametrize("mechanism", ["skellam", "gaussian"])
def test_it_says_whether_updates_are_rotated_and_what_becomes_of_those_out_of_range(mechanism):
    privacy = replace(SHARES.privacy, mechanism=mechanism)
    said = [
        said_of(replace(SHARES, privacy=privacy, aggregation=Aggregation("plain", bits=bits)))[0]
        for bits in (6, 12)
    ]
    told = ["rotated by Hadamard transforms" in each["guarantee"] for each in said]
    assert told == [True, False]
    assert "scaled down where a value then exceeds 0." in said[0]["guarantee"]


@pytest.mark.parametrize("config", PRIVATE.values(), ids=PRIVATE)
def test_nothing_is_said_twice(config):
    said, _ = said_of(config, holders=3)
    words = " ".join([said["guarantee"], *said["statements"]]).split()
    phrases = [tuple(words[place : place + 9]) for place in range(len(words) - 8)]
    assert len(set(phrases)) == len(phrases)


def test_an_example_that_several_clients_hold_is_told_what_holds_for_it():
    def of_examples(config, **settings):
        said, plan = said_of(config, **settings)
        return [each for each in said["statements"] if "example" in each and "ε" in each], plan

    (told,), plan = of_examples(POISSON, holders=3)
    assert "held by up to 3 clients" in told
    assert f"ε = {group_epsilon(plan, 3):.4g} at δ = 0.001" in told
    weak = replace(POISSON, privacy=replace(POISSON.privacy, noise_multiplier=0.5))
    (told,), _ = of_examples(weak, holders=100)
    assert "nothing is promised: ε covers a client, not an example" in told
    assert of_examples(POISSON, holders=1)[0] == []
    (told,), _ = of_examples(POISSON, real=True)
    assert "Nobody compares parties' examples" in told


def test_what_is_kept_from_readers_and_what_a_public_seed_gives_away():
    said, _ = said_of(POISSON)
    assert any("for the run's owner alone" in each for each in said["statements"])
    assert any("How long a run takes cannot be hidden" in each for each in said["statements"])
    study, _ = said_of(replace(POISSON, privacy=replace(POISSON.privacy, seed=1)))
    assert any("written down for everybody" in each for each in study["statements"])
    assert "The roster of each round is public." in study["statements"]
    assert "no such guarantee against anyone who knows it" in study["guarantee"]


def test_sizes_are_public_only_where_that_was_said():
    weighed = replace(
        POISSON,
        cohort=replace(POISSON.cohort, weighting="examples"),
        privacy=replace(POISSON.privacy, public_sizes=True),
    )
    public = "Clients' numbers of examples are public."
    assert public in said_of(weighed)[0]["statements"]
    assert public not in said_of(POISSON)[0]["statements"]
    assert public in said_of(POISSON, real=True)[0]["statements"]


def test_constants_of_own_data_are_taken_at_their_word():
    code = Code(folder=Path(__file__).parents[1] / "own")
    own = replace(POISSON, data=Data("sets.py:blobs"), code=code)
    said = said_of(own)[0]["statements"]
    assert any("sets.py:blobs shifts and scales" in each for each in said)


def test_a_private_run_says_that_its_settings_may_not_be_covered():
    said, _ = said_of(EVERYONE)
    (told,) = [each for each in said["statements"] if "Settings chosen" in each]
    assert "not covered" in told and "sweep.py --private" in told
    assert "Settings" not in said["guarantee"]


def test_it_says_how_far_what_is_drawn_is_from_what_is_accounted_or_that_nothing_is_stated():
    for config in (POISSON, EVERYONE, FIXED, SHARES):
        said, plan = said_of(config)
        (told,) = [each for each in said["statements"] if "total variation" in each]
        assert "Noise of 650 values and cohorts, in 8 releases, are together within " in told
        assert f"{plan.distance(8):.1e} in total variation" in told
        assert f"charged to δ: {charge(epsilon(plan), plan.distance(8)):.1e}." in told
        assert "No stated distance" not in str(said)
    study = replace(POISSON, privacy=replace(POISSON.privacy, noise="floats"))
    for config in (study, CORRELATED):
        said, _ = said_of(config)
        assert any(each.startswith("No stated distance: noise in") for each in said["statements"])
        assert "total variation" not in str(said)
