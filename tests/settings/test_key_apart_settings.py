"""Where keys are apart from updates, by the settings and the length of an update."""

import pytest

from pride_jax.aggregation.lattice.parameters import LONGEST_KEY
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Aggregation
from pride_jax.settings.protocols import CHEAPER_FROM, build_secure_sum, with_key_apart


def name(length: int, **settings: str) -> str:
    aggregation = Aggregation(**settings)
    return with_key_apart(aggregation, build_secure_sum(aggregation), length).name


@pytest.mark.parametrize("protocol", CHEAPER_FROM)
def test_long_updates_have_their_keys_apart_where_that_is_cheaper(protocol: str) -> None:
    direct = build_secure_sum(Aggregation(protocol)).name
    crossing = CHEAPER_FROM[protocol]
    assert crossing > LONGEST_KEY
    assert name(crossing - 1, protocol=protocol) == direct
    assert name(crossing, protocol=protocol) == f"lattice({direct})"
    assert name(crossing, protocol=protocol, key_apart="never") == direct


@pytest.mark.parametrize("protocol", ["plain", "two_servers", "bfv"])
def test_others_never_by_themselves(protocol: str) -> None:
    assert not name(10**8, protocol=protocol).startswith("lattice")


def test_where_it_is_asked_for() -> None:
    asked = {"protocol": "two_servers", "key_apart": "always"}
    assert name(LONGEST_KEY + 1, **asked) == "lattice(two_servers)"
    with pytest.raises(ConfigError, match=r"key_apart='always' with 83 values"):
        name(83, **asked)


@pytest.mark.parametrize("protocol", ["none", "plain", "bfv"])
def test_not_through_what_hides_no_key(protocol: str) -> None:
    with pytest.raises(ConfigError, match=r"aggregation.key_apart='always': expected"):
        Aggregation(protocol, key_apart="always")
