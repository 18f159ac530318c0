"""One SuperLink for all tests that start real processes."""

import pytest
from federation import Federation

from pride_jax.deploy.certificates import make_certificates
from pride_jax.deploy.conduct import superlink
from pride_jax.deploy.processes import free_ports


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A folder of compiled programs that all processes share: most parties need the same ones."""
    folder = tmp_path_factory.getbasetemp().parent / "programs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


@pytest.fixture(scope="session")
def link(tmp_path_factory, programs):
    folder = tmp_path_factory.mktemp("superlink")
    make_certificates(folder, ["127.0.0.1"])
    (port,) = free_ports(1)
    with superlink(folder, port) as address:
        yield folder, address


@pytest.fixture
def federation(tmp_path, link):
    """Config -> everyone's folders; what was started ends with the test."""
    opened = []

    def make(config, **settings):
        opened.append(Federation(config, tmp_path / f"federation-{len(opened)}", link, **settings))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
