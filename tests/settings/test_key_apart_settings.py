"""Where keys are apart from updates, by the settings and the length of an update."""

import pytest

from pride_jax.aggregation.lattice.parameters import LONGEST_KEY, SHORTEST_KEY
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Aggregation
from pride_jax.settings.protocols import CHEAPER, build_secure_sum, with_key_apart


def name(length: int, **settings: str) -> str:
    aggregation = Aggregation(**settings)
    return with_key_apart(aggregation, build_secure_sum(aggregation), length).name


@pytest.mark.parametrize("protocol", CHEAPER)
def test_updates_longer_than_keys_have_them_apart_where_that_is_cheaper(protocol: str) -> None:
    direct = build_secure_sum(Aggregation(protocol)).name
    assert name(LONGEST_KEY, protocol=protocol) == direct
    assert name(LONGEST_KEY + 1, protocol=protocol) == f"lattice({direct})"
    assert name(LONGEST_KEY + 1, protocol=protocol, key_apart="never") == direct


@pytest.mark.parametrize("protocol", ["plain", "two_servers", "masking", "bfv"])
def test_others_do_not_by_themselves(protocol: str) -> None:
    assert name(10**8, protocol=protocol) == build_secure_sum(Aggregation(protocol)).name


@pytest.mark.parametrize("protocol", ["two_servers", "paillier", "threshold", "masking"])
def test_where_it_is_asked_for(protocol: str) -> None:
    asked = {"protocol": protocol, "key_apart": "always"}
    direct = build_secure_sum(Aggregation(protocol)).name
    assert name(SHORTEST_KEY + 1, **asked) == f"lattice({direct})"
    with pytest.raises(ConfigError, match=r"key_apart='always' with 2048 values"):
        name(SHORTEST_KEY, **asked)


@pytest.mark.parametrize("protocol", ["none", "plain", "bfv"])
def test_not_through_what_hides_no_key(protocol: str) -> None:
    with pytest.raises(ConfigError, match=r"aggregation.key_apart='always': expected"):
        Aggregation(protocol, key_apart="always")
