"""How many clients are vmapped together follows from the memory that is free."""

from types import SimpleNamespace

import jax
import pytest

from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.memory import default_chunk

TWO_NN, CNN = 199_210, 1_663_370


def card(limit, used=0):
    """What a mesh tells of a GPU."""
    stats = {"bytes_limit": limit, "bytes_in_use": used}
    device = SimpleNamespace(platform="gpu", memory_stats=lambda: stats)
    return SimpleNamespace(local_devices=[device])


def test_a_card_holds_more_clients_of_a_smaller_model_and_fewer_beside_data():
    card_80 = card(80 * 10**9)
    chunk = default_chunk(CNN, 0, card_80)
    assert 1000 < chunk < default_chunk(TWO_NN, 0, card_80)
    # The clients measured 16 MB each, as compiled: they fit.
    assert chunk * 16e6 < 80e9 / 2
    assert default_chunk(CNN, 0, card(80 * 10**9, used=40 * 10**9)) == pytest.approx(
        chunk / 2, abs=1
    )


def test_one_client_is_tried_wherever_memory_is_full():
    assert default_chunk(CNN, 0, card(10**9, used=10**9)) == 1
    assert default_chunk(10**10, 0, card(10**9)) == 1


def test_on_a_cpu_a_model_beyond_the_cache_trains_alone():
    mesh = clients_mesh(jax.devices("cpu"))
    sizes = (83, 10_000, TWO_NN, CNN)
    assert [default_chunk(size, 0, mesh) for size in sizes] == [64, 6, 1, 1]


def test_on_a_cpu_images_leave_the_cache_too():
    mesh = clients_mesh(jax.devices("cpu"))
    assert default_chunk(30_000, 10 * 28 * 28, mesh) == 1
    assert default_chunk(83, 50 * 32 * 32 * 3, mesh) == 1
