"""Through the door of the server's machine come nodes' requests, and nothing else."""

import http.client
import http.server
import shutil
import ssl
import threading

import pytest

from pride_jax.deploy.certificates import AUTHORITY, CERTIFICATE, KEY, make_certificates
from pride_jax.deploy.processes import LOOPBACK, free_ports, running, wait_for
from pride_jax.deploy.proxy import proxy_command, write_configuration
from pride_jax.errors import RunError

needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


class Recorder(http.server.BaseHTTPRequestHandler):
    """In the SuperLink's place: remembers what reached it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.reached.append((self.path, content))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_PUT = do_POST  # noqa: N815

    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    make_certificates(folder, [LOOPBACK])
    return folder


@pytest.fixture(scope="module")
def link(server):
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Recorder) as link:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server / CERTIFICATE, server / "secrets" / KEY)
        link.socket = context.wrap_socket(link.socket, server_side=True)
        link.reached = []
        threading.Thread(target=link.serve_forever, daemon=True).start()
        yield link
        link.shutdown()


@pytest.fixture(scope="module")
def post(server, link):
    (port,) = free_ports(1)
    command = proxy_command(server, port, link.server_address[1])
    context = ssl.create_default_context(cafile=server / AUTHORITY)

    def request(path, method="POST", body=b"x", header=("X-Any", "1")):
        connection = http.client.HTTPSConnection(LOOPBACK, port, context=context, timeout=10)
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader(*header)
        connection.endheaders(body)
        status = connection.getresponse().status
        connection.close()
        return status

    with running(server, command, "proxy.log") as process:
        wait_for(f"{LOOPBACK}:{port}", process, server / "proxy.log")
        yield request


@needs_nginx
def test_nodes_requests_pass_as_they_are(post, link):
    link.reached.clear()
    assert post("/v1/fleet/push-object", body=bytes(3_000_000)) == 200
    assert link.reached == [("/v1/fleet/push-object", bytes(3_000_000))]


@needs_nginx
@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/",
        "/docs",
        "/v1/fleet",
        "/v1/fleet/",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet/%2E%2E%2Fcontrol%2Fstart-run",
        "/v1/fleet//../control/start-run",
        "/v1/fleet/./pull-messages",
        "//v1/control/start-run",
        "/v1//control/start-run",
        "/V1/CONTROL/start-run",
        "/v1/fleet/pull-messages?x=/v1/control/start-run",
        "/v1/fleet/pull-messages;/../../control/start-run",
        "/v1/fleet/\\..\\control\\start-run",
        "https://127.0.0.1/v1/control/start-run",
    ],
)
def test_nothing_else_reaches_the_superlink(post, link, path):
    link.reached.clear()
    assert post(path) in (301, 400, 403)
    assert link.reached == []


@needs_nginx
def test_no_other_method_and_no_smuggled_request(post, link):
    link.reached.clear()
    for method in ("GET", "PUT", "CONNECT", "TRACE"):
        assert post("/v1/fleet/pull-messages", method) in (400, 403, 405)
    hidden = b"0\r\n\r\nPOST /v1/control/start-run HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"
    post("/v1/fleet/pull-messages", body=hidden, header=("Transfer-Encoding", "chunked"))
    assert not [path for path, _ in link.reached if "control" in path]


def test_without_nginx_the_server_does_not_begin(server, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match="nginx is not installed"):
        proxy_command(server, 1, 2)


def test_a_folder_that_would_be_configuration(tmp_path):
    with pytest.raises(RunError, match="without blanks"):
        write_configuration(tmp_path / "a; include x", 1, 2)
