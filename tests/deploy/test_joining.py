"""Before a role's processes begin: its clock, the server's certificate, and that it joins once."""

import http.server
import ssl
import threading
import time

import pytest

from pride_jax.deploy.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates
from pride_jax.deploy.enrolment import ENROLMENT, SECRETS, enrolment_in
from pride_jax.deploy.joining import alone, wait_for_server
from pride_jax.deploy.processes import LOOPBACK
from pride_jax.errors import RunError


class Refusing(http.server.BaseHTTPRequestHandler):
    """As the server's proxy: whatever is asked, it is refused, with the time."""

    behind = 0

    def do_HEAD(self):
        self.send_error(403)

    def date_time_string(self, timestamp=None):
        return super().date_time_string(time.time() - self.behind)

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two servers', each with certificates of its own."""
    folders = [tmp_path_factory.mktemp(name) for name in ("server", "other")]
    for folder in folders:
        make_certificates(folder, [LOOPBACK])
    return folders


@pytest.fixture(scope="module")
def port(folders):
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Refusing) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folders[0] / CERTIFICATE, folders[0] / SECRETS / KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_server_that_listens_is_joined(folders, port):
    said = []
    wait_for_server(f"{LOOPBACK}:{port}", folders[0] / AUTHORITY, said.append)
    assert said == [f"the server is at {LOOPBACK}:{port}"]


@pytest.mark.parametrize(
    ("ahead", "told"),
    [(3600, r"3,60\d s ahead of"), (-3600, r"3,\d\d\d s behind"), (86_400 * 4000, "ahead of")],
)
def test_a_clock_that_is_wrong_is_told_of(folders, port, monkeypatch, ahead, told):
    monkeypatch.setattr(Refusing, "behind", ahead + 0.5)
    with pytest.raises(RunError, match=f"The clock here is .*{told}.*: set it"):
        wait_for_server(f"{LOOPBACK}:{port}", folders[0] / AUTHORITY, print)


def test_another_server_is_not_joined(folders, port):
    with pytest.raises(RunError, match="is not the server of the bundle"):
        wait_for_server(f"{LOOPBACK}:{port}", folders[1] / AUTHORITY, print)
    with pytest.raises(RunError, match="expected the server's host:port"):
        wait_for_server(LOOPBACK, folders[0] / AUTHORITY, print)


def test_a_role_joins_once_at_a_time_from_its_folder(tmp_path):
    (tmp_path / SECRETS).mkdir()
    with alone(tmp_path), pytest.raises(RunError, match="has joined already"), alone(tmp_path):
        raise AssertionError
    with alone(tmp_path):
        pass


def test_a_folder_of_no_role_and_one_of_two(tmp_path):
    for found in ("0 files", "2 files"):
        with pytest.raises(RunError, match=found):
            enrolment_in(tmp_path)
        for name in ("a", "b"):
            (tmp_path / f"{name}{ENROLMENT}").touch()
